/**
 * How many instructions a vcpu is to run until a time: the processor counts instructions, not
 * nanoseconds.
 *
 * Some instructions take a thousand times as long as others, and which they are is the guest's
 * choice. So each vcpu has a rate of its own, low at first, slow to rise and quick to fall: no
 * guest holds the core for long on the strength of what another did.
 */
const LEAST = 2_000
const MOST = 1_000_000
const FIRST_PER_NS = 0.002
const RISE = 0.25

/** Says how long the processor runs. */
export interface RunBudget {
  /** No more instructions than that, but for none. */
  readonly exactly: boolean
  /** Instructions for about `ns`. */
  until(ns: number): number
  /** A whole budget took `ns`. */
  learn(instructions: number, ns: number): void
}

export class Budget implements RunBudget {
  readonly exactly = false
  #perNs = FIRST_PER_NS

  /** Bounded, so that a wrong guess costs little. */
  until(ns: number): number {
    if (!(ns > 0)) return LEAST
    return Math.floor(Math.min(Math.max(ns * this.#perNs, LEAST), MOST))
  }

  learn(instructions: number, ns: number): void {
    if (!(ns > 0)) return
    const rate = instructions / ns
    this.#perNs = rate < this.#perNs ? rate : this.#perNs + (rate - this.#perNs) * RISE
  }
}
