/**
 * Time that follows what is executed: a clock, and timers by it.
 *
 * It stands while nothing is executed, until somebody moves it on. What is to be done later is done
 * when `runDue` is called, in the order of its times, and of asking where they are equal: so it
 * depends on nothing but what was executed before.
 */
import type { Clock } from './clock.ts'

const NS_A_MS = 1e6

interface Timer {
  readonly dueNs: number
  readonly work: () => void
}

export class VirtualTime implements Clock {
  /** Is called when there is something to do later. */
  changed: () => void = () => {}
  readonly #startMs: number
  /** By time. */
  #timers: Timer[] = []
  #skippedNs = 0
  #executed: () => number = () => 0

  /** `startMs` is the time of day at which it begins. */
  constructor(startMs: number) {
    this.#startMs = startMs
  }

  /** From now on a nanosecond is an instruction, of which `executed` says how many there were. */
  follow(executed: () => number): void {
    this.#skippedNs = this.now() - executed()
    this.#executed = executed
  }

  now(): number {
    return this.#skippedNs + this.#executed()
  }

  wallClockMs(): number {
    return this.#startMs + Math.floor(this.now() / NS_A_MS)
  }

  /** Does `work` once `ms` have passed; the result cancels it. */
  after(ms: number, work: () => void): () => void {
    const timer: Timer = { dueNs: this.now() + Math.max(0, ms) * NS_A_MS, work }
    const behind = this.#timers.findIndex(({ dueNs }) => dueNs > timer.dueNs)
    this.#timers.splice(behind < 0 ? this.#timers.length : behind, 0, timer)
    this.changed()
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer)
    }
  }

  /** When something is to be done next; never if nothing is. */
  get next(): number {
    return this.#timers[0]?.dueNs ?? Infinity
  }

  /** Does what is due now, but not what is asked for meanwhile; whether there was anything. */
  runDue(): boolean {
    const now = this.now()
    const due = this.#timers.filter(({ dueNs }) => dueNs <= now)
    for (const timer of due) {
      // One that another of them has cancelled is no longer there.
      const at = this.#timers.indexOf(timer)
      if (at < 0) continue
      this.#timers.splice(at, 1)
      timer.work()
    }
    return due.length > 0
  }

  /** Nothing happens until then. */
  skipTo(ns: number): void {
    this.#skippedNs += Math.max(0, Math.ceil(ns - this.now()))
  }
}
