/**
 * The timer of a local APIC: one-shot, periodic, TSC-deadline (SDM 3A, 10.5.4).
 *
 * It counts at 100 MHz (10 ns a cycle before division), as Xen's. Nothing runs while it counts: the
 * owner asks for the deadline and calls `expire` when it has passed.
 */
import type { Clock } from '../../base/clock.ts'
import { type LapicStateView, REG, TIMER_MODE_SHIFT, TIMER_PERIODIC, TIMER_TSC_DEADLINE } from
  './lapic-state.ts'

const BUS_CYCLE_NS = 10
/** No timer may fire more often than this: a shorter period is served at this rate. */
const SHORTEST_PERIOD_NS = 20_000

export class LapicTimer {
  readonly #state: LapicStateView
  readonly #clock: Clock
  /** What the guest's TSC reads at host time 0, in ns ticks. */
  tscOffset = 0

  constructor(state: LapicStateView, clock: Clock) {
    this.#state = state
    this.#clock = clock
  }

  /** TIMER_ONE_SHOT, TIMER_PERIODIC or TIMER_TSC_DEADLINE. */
  get mode(): number {
    return this.#state.regs.get(REG.LVT_TIMER >>> 2) >>> TIMER_MODE_SHIFT & 3
  }

  /** Begins to count down from the initial count. */
  start(): void {
    const state = this.#state
    state.timerStart = this.#clock.now()
    state.timerDeadline = this.#initial === 0 ? Infinity : state.timerStart + this.#period()
  }

  /** Fires when the guest's TSC reaches MSR TSC_DEADLINE; zero there means never. */
  armDeadline(): void {
    const ticks = this.#state.tdt_msr
    this.#state.timerDeadline = ticks === 0n ? Infinity : Number(ticks) - this.tscOffset
  }

  stop(): void {
    this.#state.timerDeadline = Infinity
    this.#state.tdt_msr = 0n
    this.#state.regs.set(REG.TIMER_INITIAL >>> 2, 0)
  }

  /** Whether the timer fires now; if so, it is set for its next time. */
  expire(now: number): boolean {
    const state = this.#state
    if (now < state.timerDeadline) return false
    if (this.mode === TIMER_PERIODIC) {
      const period = this.#period()
      state.timerStart += Math.floor((now - state.timerStart) / period) * period
      state.timerDeadline = Math.max(state.timerStart + period, now + SHORTEST_PERIOD_NS)
    } else {
      state.timerDeadline = Infinity
      state.tdt_msr = 0n
    }
    return true
  }

  /** What register TIMER_CURRENT reads. */
  currentCount(): number {
    const initial = this.#initial
    const state = this.#state
    const mode = this.mode
    if (initial === 0 || mode === TIMER_TSC_DEADLINE) return 0
    if (state.timerDeadline === Infinity) return 0
    const gone = Math.floor((this.#clock.now() - state.timerStart) / this.#cycle)
    if (mode === TIMER_PERIODIC) return initial - gone % initial
    return Math.max(initial - gone, 0)
  }

  /** Changes the divider; the count goes on from where it is. */
  divide(register: number): void {
    const state = this.#state
    const gone = this.#initial - this.currentCount()
    state.regs.set(REG.TIMER_DIVIDE >>> 2, register & 11)
    state.timer_divisor = 1 << ((register & 3 | (register & 8) >>> 1) + 1 & 7)
    if (state.timerDeadline === Infinity || this.mode === TIMER_TSC_DEADLINE) return
    state.timerStart = this.#clock.now() - gone * this.#cycle
    state.timerDeadline = state.timerStart + this.#period()
  }

  get #initial(): number {
    return this.#state.regs.get(REG.TIMER_INITIAL >>> 2)
  }

  get #cycle(): number {
    return BUS_CYCLE_NS * Math.max(this.#state.timer_divisor, 1)
  }

  #period(): number {
    return Math.max(this.#initial, 1) * this.#cycle
  }
}
