/**
 * Buffers of a device's requests, used again: a fresh one of a request's size costs more than the
 * copy that it is for, and garbage collections on top.
 *
 * Sizes are powers of two. What a buffer held before is overwritten before anybody reads it.
 */
const LEAST_BYTES = 4096
/** Bytes that are kept for later. */
const MOST_KEPT_BYTES = 4 << 20

export class RequestBuffers {
  readonly #free = new Map<number, Uint8Array[]>()
  #keptBytes = 0

  /** A buffer of `lengthBytes`, until it is given back. */
  take(lengthBytes: number): Uint8Array {
    const sizeBytes = sizeFor(lengthBytes)
    const known = this.#free.get(sizeBytes)?.pop()
    if (known) this.#keptBytes -= sizeBytes
    return (known ?? new Uint8Array(sizeBytes)).subarray(0, lengthBytes)
  }

  give(buffer: Uint8Array): void {
    const whole = new Uint8Array(buffer.buffer)
    if (this.#keptBytes + whole.length > MOST_KEPT_BYTES) return
    const free = this.#free.get(whole.length)
    if (free) free.push(whole)
    else this.#free.set(whole.length, [whole])
    this.#keptBytes += whole.length
  }
}

function sizeFor(lengthBytes: number): number {
  let size = LEAST_BYTES
  while (size < lengthBytes) size *= 2
  return size
}
