/**
 * A core that runs on the control thread, in turns with it, so that the order of all that happens
 * is a matter of instructions and not of threads.
 *
 * In a turn either the control domain does all that it has to do, or guests run: for a while by
 * virtual time, no further than to the next timer, and until the control domain has an event. When
 * nothing is runnable, time goes on to whatever comes next.
 */
import type { VirtualTime } from '../base/virtual-time.ts'
import type { PolledUpcalls } from '../hypervisor/events/upcall.ts'
import type { RunBudget } from './budget.ts'
import type { Core } from './core.ts'

/** How long guests run before the outside may have a word. */
const TURN_NS = 500_000
/** Entries into guests in a turn: some take no time. */
const TURN_STEPS = 5_000

/** To the instruction at which the turn, or what the core waits for, is over. */
export class TurnBudget implements RunBudget {
  readonly exactly = true
  readonly #time: VirtualTime
  #endNs = 0

  constructor(time: VirtualTime) {
    this.#time = time
  }

  begin(endNs: number): void {
    this.#endNs = endNs
  }

  get isOver(): boolean {
    return this.#time.now() >= this.#endNs
  }

  until(ns: number): number {
    return Math.max(1, Math.ceil(Math.min(ns, this.#endNs - this.#time.now())))
  }

  learn(): void {}
}

export interface TurnParts {
  readonly core: Core
  readonly time: VirtualTime
  readonly budget: TurnBudget
  readonly upcalls: PolledUpcalls
}

export class Turns {
  readonly #parts: TurnParts

  constructor(parts: TurnParts) {
    this.#parts = parts
  }

  /** Takes a turn; false when there is nothing to do until something comes from outside. */
  take(): boolean {
    const { core, time, upcalls } = this.#parts
    // What it does may make for more, which comes before the guests' turn.
    const served = upcalls.deliver()
    if (time.runDue() || served) return true
    if (this.#runGuests()) return true
    const next = Math.min(core.idleDeadline, time.next)
    if (next === Infinity) return false
    time.skipTo(next)
    return true
  }

  #runGuests(): boolean {
    const { core, time, budget, upcalls } = this.#parts
    budget.begin(Math.min(time.now() + TURN_NS, time.next))
    let ran = false
    for (let steps = 0; steps < TURN_STEPS && !budget.isOver && !upcalls.arePending; steps++) {
      if (!core.step()) break
      ran = true
    }
    // Whoever stops a vcpu does not wait for one that cannot run meanwhile.
    core.letGo()
    return ran
  }
}
