/**
 * The xenstore wire protocol: error names, messages and the 16-byte header, strings.
 *
 * Obeys xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt. Integers are little-endian on
 * every transport.
 */
import { XsdSockmsg } from '../abi/xen/io/xs_wire.ts'

/** struct xsd_sockmsg: type, req_id, tx_id, len. */
export const HEADER_SIZE = XsdSockmsg.size
const at = XsdSockmsg.offsets

/** The errors the protocol can name; a refusal travels as its name. */
export type Refusal =
  | 'EINVAL' | 'EACCES' | 'EEXIST' | 'EISDIR' | 'ENOENT' | 'ENOMEM' | 'ENOSPC' | 'EIO'
  | 'ENOTEMPTY' | 'ENOSYS' | 'EROFS' | 'EBUSY' | 'EAGAIN' | 'EISCONN' | 'E2BIG' | 'EPERM'

/** One message of either direction, header decoded, payload its own copy. */
export interface Message {
  readonly type: number
  readonly requestId: number
  readonly transactionId: number
  readonly payload: Uint8Array
}

/** A message as it travels. */
export function encodeMessage(message: Message): Uint8Array {
  const bytes = new Uint8Array(HEADER_SIZE + message.payload.length)
  const view = new DataView(bytes.buffer)
  view.setUint32(at.type, message.type, true)
  view.setUint32(at.req_id, message.requestId, true)
  view.setUint32(at.tx_id, message.transactionId, true)
  view.setUint32(at.len, message.payload.length, true)
  bytes.set(message.payload, HEADER_SIZE)
  return bytes
}

/** The payload length that the header at `start` announces, unchecked. */
export function announcedLength(bytes: Uint8Array, start = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset + start).getUint32(at.len, true)
}

/** Decodes the message at `start`; the caller has checked that all of it is there. */
export function decodeMessage(bytes: Uint8Array, start = 0): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset + start)
  const length = view.getUint32(at.len, true)
  return {
    type: view.getUint32(at.type, true),
    requestId: view.getUint32(at.req_id, true),
    transactionId: view.getUint32(at.tx_id, true),
    payload: bytes.slice(start + HEADER_SIZE, start + HEADER_SIZE + length),
  }
}

/** The bytes of an 8-bit string; what came in as bytes goes out unchanged. */
export function bytesOf(text: string): Uint8Array {
  const bytes = new Uint8Array(text.length)
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i)
  return bytes
}

/** Bytes as an 8-bit string, one character a byte. */
export function textOf(bytes: Uint8Array): string {
  let text = ''
  for (let i = 0; i < bytes.length; i += 1024) {
    text += String.fromCharCode(...bytes.subarray(i, i + 1024))
  }
  return text
}

/** NUL-terminated strings one after the other, as most requests carry them. */
export function joinStrings(strings: readonly string[]): Uint8Array {
  return bytesOf(strings.map((text) => `${text}\0`).join(''))
}

/** The strings of a payload that ends with a NUL; a refusal when it does not. */
export function splitStrings(payload: Uint8Array): string[] | 'EINVAL' {
  if (payload.length === 0 || payload[payload.length - 1] !== 0) return 'EINVAL'
  return textOf(payload.subarray(0, payload.length - 1)).split('\0')
}
