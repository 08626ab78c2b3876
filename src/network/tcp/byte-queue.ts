/**
 * Bytes that wait, in the pieces in which they came: put in at the end, dropped from the front,
 * read anywhere.
 */
export class ByteQueue {
  readonly #pieces: Uint8Array[] = []
  /** Bytes of the first piece that are gone already. */
  #gone = 0
  #length = 0

  get length(): number {
    return this.#length
  }

  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return
    this.#pieces.push(bytes)
    this.#length += bytes.length
  }

  /** Drops the first `count` bytes. */
  drop(count: number): void {
    this.#length -= count
    this.#gone += count
    let whole = 0
    for (; whole < this.#pieces.length; whole++) {
      const size = this.#pieces[whole]?.length ?? 0
      if (this.#gone < size) break
      this.#gone -= size
    }
    this.#pieces.splice(0, whole)
  }

  /** `count` bytes that begin `offset` bytes from the front. */
  slice(offset: number, count: number): Uint8Array {
    let skip = this.#gone + offset
    let result: Uint8Array | undefined
    let filled = 0
    for (const piece of this.#pieces) {
      if (skip >= piece.length) {
        skip -= piece.length
        continue
      }
      const part = piece.subarray(skip, skip + count - filled)
      if (part.length === count) return part
      result ??= new Uint8Array(count)
      result.set(part, filled)
      filled += part.length
      if (filled === count) break
      skip = 0
    }
    return result ?? new Uint8Array(0)
  }
}
