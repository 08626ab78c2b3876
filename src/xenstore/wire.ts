/**
 * The xenstore wire protocol: message types, error names, the 16-byte header.
 *
 * Obeys xen/include/public/io/xs_wire.h and docs/misc/xenstore.txt. Integers are little-endian on
 * every transport.
 */

export const XS_CONTROL = 0
export const XS_DIRECTORY = 1
export const XS_READ = 2
export const XS_GET_PERMS = 3
export const XS_WATCH = 4
export const XS_UNWATCH = 5
export const XS_TRANSACTION_START = 6
export const XS_TRANSACTION_END = 7
export const XS_INTRODUCE = 8
export const XS_RELEASE = 9
export const XS_GET_DOMAIN_PATH = 10
export const XS_WRITE = 11
export const XS_MKDIR = 12
export const XS_RM = 13
export const XS_SET_PERMS = 14
export const XS_WATCH_EVENT = 15
export const XS_ERROR = 16
export const XS_IS_DOMAIN_INTRODUCED = 17
export const XS_RESUME = 18
export const XS_SET_TARGET = 19
export const XS_RESET_WATCHES = 21
export const XS_DIRECTORY_PART = 22

export const XENSTORE_PAYLOAD_MAX = 4096
export const XENSTORE_ABS_PATH_MAX = 3072
export const XENSTORE_REL_PATH_MAX = 2048

/** struct xsd_sockmsg: type, req_id, tx_id, len. */
export const HEADER_SIZE = 16

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
  view.setUint32(0, message.type, true)
  view.setUint32(4, message.requestId, true)
  view.setUint32(8, message.transactionId, true)
  view.setUint32(12, message.payload.length, true)
  bytes.set(message.payload, HEADER_SIZE)
  return bytes
}

/** The payload length that the header at `at` announces, unchecked. */
export function announcedLength(bytes: Uint8Array, at = 0): number {
  return new DataView(bytes.buffer, bytes.byteOffset + at).getUint32(12, true)
}

/** Decodes the message at `at`; the caller has checked that all of it is there. */
export function decodeMessage(bytes: Uint8Array, at = 0): Message {
  const view = new DataView(bytes.buffer, bytes.byteOffset + at)
  const length = view.getUint32(12, true)
  return {
    type: view.getUint32(0, true),
    requestId: view.getUint32(4, true),
    transactionId: view.getUint32(8, true),
    payload: bytes.slice(at + HEADER_SIZE, at + HEADER_SIZE + length),
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
