/**
 * Bytes kept for a reader who is not there yet: bounded, the oldest go first.
 */
export class ConsoleBuffer {
  readonly #limit: number
  #chunks: Uint8Array[] = []
  #size = 0

  constructor(limit: number) {
    this.#limit = limit
  }

  get size(): number {
    return this.#size
  }

  /** Adds a copy of `bytes` and drops what no longer fits, from the front. */
  push(bytes: Uint8Array): void {
    const kept = bytes.length > this.#limit ? bytes.slice(-this.#limit) : bytes.slice()
    const last = this.#chunks.at(-1)
    // Many small pieces would cost more than the bytes they hold.
    if (last && last.length + kept.length <= 4096) {
      const joined = new Uint8Array(last.length + kept.length)
      joined.set(last)
      joined.set(kept, last.length)
      this.#chunks[this.#chunks.length - 1] = joined
    } else {
      this.#chunks.push(kept)
    }
    this.#size += kept.length
    while (this.#size > this.#limit) this.#drop(this.#size - this.#limit)
  }

  /** All that is kept, leaving nothing. */
  takeAll(): Uint8Array {
    const all = new Uint8Array(this.#size)
    let at = 0
    for (const chunk of this.#chunks) {
      all.set(chunk, at)
      at += chunk.length
    }
    this.#chunks = []
    this.#size = 0
    return all
  }

  #drop(count: number): void {
    const first = this.#chunks[0]
    if (!first) return
    if (first.length <= count) {
      this.#chunks.shift()
      this.#size -= first.length
    } else {
      this.#chunks[0] = first.subarray(count)
      this.#size -= count
    }
  }
}
