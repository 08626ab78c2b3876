/**
 * Frames on a stream of bytes, each after its length in 16 bits: what Open vSwitch's dummy devices
 * speak (lib/netdev-dummy.c), and QEMU's sockets nearly.
 */
import { ETHERNET_HEADER, putU16, u16At } from './frame.ts'

const LENGTH_BYTES = 2
const MOST = 0xffff

/** A frame with its length; undefined for one that is too long to say so. */
export function lengthPrefixed(frame: Uint8Array): Uint8Array | undefined {
  if (frame.length > MOST) return undefined
  const bytes = new Uint8Array(LENGTH_BYTES + frame.length)
  putU16(bytes, 0, frame.length)
  bytes.set(frame, LENGTH_BYTES)
  return bytes
}

/** Puts frames together again, however the stream cuts them. */
export class FrameReader {
  #rest: Uint8Array = new Uint8Array(0)

  /** Hands on the frames that are whole by now; false when what comes are no frames. */
  take(bytes: Uint8Array, deliver: (frame: Uint8Array) => void): boolean {
    let all = bytes
    if (this.#rest.length > 0) {
      all = new Uint8Array(this.#rest.length + bytes.length)
      all.set(this.#rest)
      all.set(bytes, this.#rest.length)
    }
    let at = 0
    while (all.length - at >= LENGTH_BYTES) {
      const length = u16At(all, at)
      if (length < ETHERNET_HEADER) return false
      const end = at + LENGTH_BYTES + length
      if (end > all.length) break
      deliver(all.slice(at + LENGTH_BYTES, end))
      at = end
    }
    this.#rest = all.slice(at)
    return true
  }
}
