/**
 * A token bucket: an average rate with bursts, as libxl's rate= means it.
 *
 * Credit of `bytes` is given every `intervalMs`, and never more than that is kept; so many bytes
 * may go in one interval, and on average over all of them.
 */
export class TokenBucket {
  readonly #bytes: number
  readonly #intervalMs: number
  #credit: number
  #filledMs: number

  constructor(bytes: number, intervalMs: number, nowMs: number) {
    this.#bytes = bytes
    this.#intervalMs = intervalMs
    this.#credit = bytes
    this.#filledMs = nowMs
  }

  /**
   * Takes `size` bytes of credit: 0 when they may go, else the milliseconds until they may. What is
   * larger than a whole bucket may go when the bucket is full.
   */
  take(size: number, nowMs: number): number {
    const intervals = Math.floor((nowMs - this.#filledMs) / this.#intervalMs)
    if (intervals > 0) {
      this.#credit = this.#bytes
      this.#filledMs += intervals * this.#intervalMs
    }
    if (size <= this.#credit || this.#credit === this.#bytes) {
      this.#credit = Math.max(0, this.#credit - size)
      return 0
    }
    return Math.max(1, this.#filledMs + this.#intervalMs - nowMs)
  }
}
