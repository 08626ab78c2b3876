/**
 * How many instructions to run until a time: the processor counts instructions, not nanoseconds.
 */
const LEAST = 2_000
const MOST = 1_000_000
const FIRST_PER_NS = 0.05
const SMOOTHING = 0.25

export class Budget {
  #perNs = FIRST_PER_NS

  /** Instructions for about `ns`; bounded, so that a wrong guess costs little. */
  until(ns: number): number {
    if (!(ns > 0)) return LEAST
    return Math.floor(Math.min(Math.max(ns * this.#perNs, LEAST), MOST))
  }

  /** A whole budget took `ns`. */
  learn(instructions: number, ns: number): void {
    if (ns > 0) this.#perNs += (instructions / ns - this.#perNs) * SMOOTHING
  }
}
