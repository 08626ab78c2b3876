/**
 * The timer of a local APIC: one-shot, periodic, TSC-deadline (SDM 3A, 10.5.4).
 *
 * It counts at 100 MHz (10 ns a cycle before division), as Xen's. Nothing runs while it counts: the
 * owner asks for the deadline and calls `expire` when it has passed.
 */
import type { Clock } from '../../base/clock.ts'
import {
  type LapicRestView, type LapicStateView, REG, TIMER_MODE_SHIFT, TIMER_PERIODIC,
  TIMER_TSC_DEADLINE,
} from './lapic-state.ts'

const BUS_CYCLE_NS = 10
/** No timer may fire more often than this: a shorter period is served at this rate. */
const SHORTEST_PERIOD_NS = 20_000

export class LapicTimer {
  readonly #state: LapicStateView
  readonly #rest: LapicRestView
  readonly #clock: Clock
  /** What the guest's TSC reads at host time 0, in ticks. */
  tscOffset = 0
  ticksPerNs = 1

  constructor(state: LapicStateView, rest: LapicRestView, clock: Clock) {
    this.#state = state
    this.#rest = rest
    this.#clock = clock
  }

  /** TIMER_ONE_SHOT, TIMER_PERIODIC or TIMER_TSC_DEADLINE. */
  get mode(): number {
    return this.#state.regs.get(REG.LVT_TIMER >>> 2) >>> TIMER_MODE_SHIFT & 3
  }

  /** Begins to count down from the initial count. */
  start(): void {
    const rest = this.#rest
    rest.timerStart = this.#clock.now()
    rest.timerDeadline = this.#initial === 0 ? Infinity : rest.timerStart + this.#period()
  }

  /** Fires when the guest's TSC reaches MSR TSC_DEADLINE; zero there means never. */
  armDeadline(): void {
    const ticks = this.#state.tdt_msr
    this.#rest.timerDeadline = ticks === 0n ? Infinity
      : (Number(ticks) - this.tscOffset) / this.ticksPerNs
  }

  stop(): void {
    this.#rest.timerDeadline = Infinity
    this.#state.tdt_msr = 0n
    this.#state.regs.set(REG.TIMER_INITIAL >>> 2, 0)
  }

  /** Whether the timer fires now; if so, it is set for its next time. */
  expire(now: number): boolean {
    const rest = this.#rest
    if (now < rest.timerDeadline) return false
    if (this.mode === TIMER_PERIODIC) {
      const period = this.#period()
      rest.timerStart += Math.floor((now - rest.timerStart) / period) * period
      rest.timerDeadline = Math.max(rest.timerStart + period, now + SHORTEST_PERIOD_NS)
    } else {
      rest.timerDeadline = Infinity
      this.#state.tdt_msr = 0n
    }
    return true
  }

  /** What register TIMER_CURRENT reads. */
  currentCount(): number {
    const initial = this.#initial
    const rest = this.#rest
    const mode = this.mode
    if (initial === 0 || mode === TIMER_TSC_DEADLINE) return 0
    if (rest.timerDeadline === Infinity) return 0
    const gone = Math.floor((this.#clock.now() - rest.timerStart) / this.#cycle)
    if (mode === TIMER_PERIODIC) return initial - gone % initial
    return Math.max(initial - gone, 0)
  }

  /** Changes the divider; the count goes on from where it is. */
  divide(register: number): void {
    const state = this.#state
    const rest = this.#rest
    const gone = this.#initial - this.currentCount()
    state.regs.set(REG.TIMER_DIVIDE >>> 2, register & 11)
    state.timer_divisor = 1 << ((register & 3 | (register & 8) >>> 1) + 1 & 7)
    if (rest.timerDeadline === Infinity || this.mode === TIMER_TSC_DEADLINE) return
    rest.timerStart = this.#clock.now() - gone * this.#cycle
    rest.timerDeadline = rest.timerStart + this.#period()
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
