/**
 * What the processor does about interrupts without leaving its caller's run, who hears of it
 * afterwards: it takes one that waits as soon as it can, as with AMD's virtual interrupts (APM 2,
 * 15.21.4), and notes an EOI from which nothing else follows.
 */
import type { Processor } from './interfaces.ts'

type Interrupted = Pick<Processor, 'context' | 'control'> & {
  injectInterrupt(vector: number): void
}

export class InterruptsAhead {
  readonly #cpu: Interrupted
  #offered = 0
  #taken = 0
  #mayEnd = false

  constructor(cpu: Interrupted) {
    this.#cpu = cpu
  }

  /** For the next run: the vector that may be taken when the window opens, or 0, and whether an EOI
   * may be noted. */
  allow(vector: number, quietEoi: boolean): void {
    this.#offered = vector
    this.#taken = 0
    this.#mayEnd = quietEoi
    this.#cpu.control.quietEoi = quietEoi ? 1 : 0
  }

  /** Takes what was offered, while interrupts can be taken; whether there was something. */
  take(): boolean {
    const vector = this.#offered
    if (vector >>> 4 <= Number(this.#cpu.context.cr8)) return false
    this.#offered = 0
    this.#taken = vector
    this.#cpu.control.windowWanted = 0
    this.#cpu.injectInterrupt(vector)
    return true
  }

  /** The vector that may be taken still, or 0. */
  get offered(): number { return this.#offered }

  /** The vector that was taken since `allow`, or 0. */
  get taken(): number { return this.#taken }

  /** Whether an EOI was noted since `allow`. */
  get ended(): boolean { return this.#mayEnd && this.#cpu.control.quietEoi === 0 }
}
