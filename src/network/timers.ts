/**
 * Time for protocols: injected, so that a whole network can run in simulated time.
 */
export interface Timers {
  /** Milliseconds, monotonic. */
  now(): number
  /** Runs `work` after `ms`; the result cancels it. */
  after(ms: number, work: () => void): () => void
}
