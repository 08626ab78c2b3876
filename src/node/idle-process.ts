/**
 * What the control thread does once its process is idle: it gives back what it holds of garbage,
 * and what all threads have touched of Node's own file. Cores do the like with what they made of
 * code (src/core/rest.ts), earlier than this.
 */
import { flushCompileCache } from 'node:module'
import { giveBackGarbage } from './garbage.ts'
import { dropProgramPages } from './program-pages.ts'

/** How long a look lasts, and in how many, one after the other, there must be little to do. */
const PERIOD_MS = 5000
const PERIODS = 3
/** After as many more, and again: what looks after heaps meanwhile touches much of Node's file. */
const PERIODS_OF_PROGRAM = 5
/** Of a period, the most CPU time that an idle process takes, on all threads together: what some
 * dozens of idle guests do. */
const AWAKE = 0.2

/** Tells what a process shall give back that has fallen idle, or stays so. */
export class Idleness {
  #sinceMs = 0
  #cpuMs = 0
  #periods = 0

  /** To be called each period, with the CPU time that the process ever took. */
  look(nowMs: number, cpuMs: number): 'garbage' | 'program' | undefined {
    const awake = (cpuMs - this.#cpuMs) / (nowMs - this.#sinceMs)
    this.#sinceMs = nowMs
    this.#cpuMs = cpuMs
    this.#periods = awake > AWAKE ? 0 : this.#periods + 1
    const longer = this.#periods - PERIODS
    if (longer === 0) return 'garbage'
    return longer > 0 && longer % PERIODS_OF_PROGRAM === 0 ? 'program' : undefined
  }
}

/** Has this thread give memory back whenever its process is idle, for as long as it runs. */
export function restWhenIdle(): void {
  const idleness = new Idleness()
  setInterval(() => {
    const { user, system } = process.cpuUsage()
    const what = idleness.look(performance.now(), (user + system) / 1000)
    if (what === 'program') dropProgramPages()
    if (what !== 'garbage') return
    // What was compiled is still there now, and processes may end otherwise than by themselves.
    flushCompileCache()
    giveBackGarbage()
  }, PERIOD_MS).unref()
}
