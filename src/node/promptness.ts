/**
 * Whether a file is likely to be read and written as fast as memory, so that it may be done on the
 * spot: a way through a thread of Node's pool and back costs more than to copy out of the page
 * cache. Whether something is in the cache Node cannot ask, so it is learned.
 *
 * Until something took long, all is done on the spot. Then some go through the pool, twice as many
 * each time it happens again: a file on a slow device holds the thread up seldom. As a busy host
 * makes anything slow now and then, what is fast counts against that.
 */
const LEAST_POOLED = 16
const MOST_POOLED = 4096
/** What is still fast: a time, and bytes in a millisecond. */
const FAST_MS = 0.5
const FAST_BYTES = 512 * 1024

export class Promptness {
  /** How many are still to go through the pool. */
  #pooled = 0
  #penalty = LEAST_POOLED

  /** Asked for each read and write: whether to do it on the spot, and say what it took. */
  isLikely(): boolean {
    if (this.#pooled === 0) return true
    this.#pooled--
    return false
  }

  took(ms: number, bytes: number): void {
    if (ms > FAST_MS + bytes / FAST_BYTES) {
      this.#pooled = this.#penalty
      this.#penalty = Math.min(this.#penalty * 2, MOST_POOLED)
    } else if (this.#penalty > LEAST_POOLED) {
      this.#penalty /= 2
    }
  }
}
