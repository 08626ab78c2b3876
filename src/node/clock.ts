/**
 * The host's clock: one time for all its threads.
 *
 * A thread's performance.now() begins when the thread does; the monotonic clock behind it is the
 * system's. So each thread learns once how far apart the two are: closer than threads can tell one
 * another of the time, so that guests find the TSCs of their processors in step.
 */
import { performance } from 'node:perf_hooks'
import type { Clock } from '../base/clock.ts'

const NS_A_MS = 1e6
const SAMPLES = 200

/** The system's monotonic clock in nanoseconds. */
export function monotonicNs(): number {
  const [seconds, ns] = process.hrtime()
  return seconds * 1e9 + ns
}

/** The monotonic clock's time less performance.now()'s, which each sample bounds on both sides. */
function apart(): number {
  let [least, most] = [-Infinity, Infinity]
  for (let i = 0; i < SAMPLES; i++) {
    const before = monotonicNs()
    const own = performance.now() * NS_A_MS
    const after = monotonicNs()
    least = Math.max(least, before - own)
    most = Math.min(most, after - own)
  }
  return (least + most) / 2
}

export class HostClock implements Clock {
  readonly #offsetNs: number

  /** `startNs` is monotonicNs() when the host started, the same in all threads. */
  constructor(startNs: number) {
    this.#offsetNs = apart() - startNs
  }

  now(): number {
    return performance.now() * NS_A_MS + this.#offsetNs
  }

  wallClockMs(): number {
    return Date.now()
  }
}
