/**
 * What the control thread does once its process is idle: it gives back what it holds of garbage,
 * and what all threads have touched of Node's own file. Cores do the like with what they made of
 * code (src/core/rest.ts), earlier than this.
 */
import { flushCompileCache } from 'node:module'
import { giveBackGarbage } from './garbage.ts'

/** How long a look lasts, and in how many, one after the other, there must be little to do. */
const PERIOD_MS = 5000
const PERIODS = 3
/** Of a period, the most CPU time that an idle process takes, on all threads together: what some
 * dozens of idle guests do. */
const AWAKE = 0.2

/** Tells when a process has fallen idle: once, until it has had something to do again. */
export class Idleness {
  #sinceMs = 0
  #cpuMs = 0
  #left = PERIODS

  /** To be called each period, with the CPU time that the process ever took. */
  hasBegun(nowMs: number, cpuMs: number): boolean {
    const awake = (cpuMs - this.#cpuMs) / (nowMs - this.#sinceMs)
    this.#sinceMs = nowMs
    this.#cpuMs = cpuMs
    if (awake > AWAKE) this.#left = PERIODS
    else if (this.#left > 0) return --this.#left === 0
    return false
  }
}

/** Has this thread give memory back whenever its process falls idle, for as long as it runs. */
export function restWhenIdle(): void {
  const idleness = new Idleness()
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    if (!idleness.hasBegun(performance.now(), (user + system) / 1000)) return
    // What was compiled is still there now, and processes may end otherwise than by themselves.
    flushCompileCache()
    giveBackGarbage()
  }, PERIOD_MS).unref()
}
