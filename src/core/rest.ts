/**
 * When a core gives back memory: once its guests have let it sleep for most of some seconds.
 *
 * What guests do while they idle has some of it made again at once. So what counts is growth beyond
 * what was there soon after the last time; and compiled modules, which can be loaded again but take
 * longer to be of use, are only let go of when idle guests have not used them since.
 */
import type { Spared } from '../cpu/engine.ts'

/** What a core holds and can make again. */
export interface Spare {
  /** In bytes. */
  held(): number
  giveBack(what: Spared): void
}

const PERIOD_NS = 5e9
/** Of a period, the most that an idle core is awake. */
const AWAKE = 0.1
const GROWTH_BYTES = 4 << 20
/** Until modules follow. */
const PERIODS = 6

export class Rest {
  readonly #spare: Spare
  #since = 0
  #asleepNs = 0
  /** What is held however idle the guests are; not known soon after it was given back. At first it
   * is given back however little it is, with what is left of the start. */
  #leastBytes: number | undefined = -Infinity

  /** How many idle periods are left until modules are given back; 0: they were. */
  #left = 0

  constructor(spare: Spare) {
    this.#spare = spare
  }

  /** To be called before the core sleeps, with the time that it ever slept. */
  look(now: number, asleepNs: number): void {
    const period = now - this.#since
    if (period < PERIOD_NS) return
    const awake = period - (asleepNs - this.#asleepNs)
    this.#since = now
    this.#asleepNs = asleepNs
    if (awake > period * AWAKE) {
      this.#leastBytes ??= 0
      return
    }
    const held = this.#spare.held()
    this.#leastBytes ??= held
    if (held >= this.#leastBytes * 2 + GROWTH_BYTES) {
      this.#spare.giveBack('code')
      this.#leastBytes = undefined
      this.#left = PERIODS
    } else if (this.#left > 0 && --this.#left === 0) {
      this.#spare.giveBack('modules')
    }
  }
}
