/**
 * The host's clock: one time for all its threads.
 *
 * A thread's performance.now() begins when the thread does; the monotonic clock behind it is the
 * system's. So each thread learns once how far apart the two are.
 */
import type { Clock } from '../base/clock.ts'

const NS_A_MS = 1e6

/** The system's monotonic clock in nanoseconds. */
export function monotonicNs(): number {
  const [seconds, ns] = process.hrtime()
  return seconds * 1e9 + ns
}

export class HostClock implements Clock {
  readonly #offsetNs: number

  /** `startNs` is monotonicNs() when the host started, the same in all threads. */
  constructor(startNs: number) {
    this.#offsetNs = monotonicNs() - performance.now() * NS_A_MS - startNs
  }

  now(): number {
    return performance.now() * NS_A_MS + this.#offsetNs
  }

  wallClockMs(): number {
    return Date.now()
  }
}
