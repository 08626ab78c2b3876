/**
 * rtds, real-time deferrable server: each vcpu may run for its budget in each of its periods, and
 * the earliest end of a period goes first.
 *
 * One whose budget is used up waits for its next period, unless it may have extra time: then it is
 * given its budget again at a lower level, behind all of a higher one. Obeys xl(1) (sched-rtds) and
 * domctl.h. All cores of a pool share one queue (global EDF).
 */
import { XEN_SCHEDULER_RTDS } from '../../abi/xen/domctl.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Policy } from './policy.ts'
import { lowest, type RunQueues } from './run-queues.ts'
import { NEVER } from './state.ts'

/** What a vcpu may reserve for itself, in the units of the ABI. */
export interface Reservation {
  readonly periodUs: number
  readonly budgetUs: number
  /** It may run beyond its budget when nobody else wants the core. */
  readonly extra: boolean
}

export const RTDS_DEFAULTS: Reservation = { periodUs: 10_000, budgetUs: 4_000, extra: true }
const LEAST_US = 10
const MOST_US = 10_000_000

export class Rtds implements Policy {
  readonly id = XEN_SCHEDULER_RTDS
  readonly name = 'rtds'
  readonly #queues: RunQueues

  constructor(queues: RunQueues) {
    this.#queues = queues
  }

  sharesQueue(): boolean {
    return true
  }

  admit(vcpu: Vcpu, now: number): void {
    setReservation(vcpu, RTDS_DEFAULTS, now)
  }

  enqueue(vcpu: Vcpu, now: number): void {
    const queues = this.#queues
    replenish(vcpu, now)
    const { cores } = queues.poolOf(vcpu)
    queues.insert(queues.cores[lowest(cores)]!.queue, vcpu)
  }

  isReady(vcpu: Vcpu, now: number): boolean {
    replenish(vcpu, now)
    return vcpu.state.sched.policy.rtds.left > 0
  }

  /** Who is to be ready last makes room; all look again when this one's period ends. */
  press(vcpu: Vcpu, now: number): void {
    const queues = this.#queues
    const allowed = queues.allowed(vcpu)
    const own = vcpu.state.sched.policy.rtds
    let victim: Vcpu | undefined
    let at = -1
    for (let left = allowed; left !== 0; left &= left - 1) {
      const core = lowest(left)
      const runs = queues.runningOn(core)
      if (!runs) continue
      queues.bound(runs, core, own.deadline)
      if (victim && !isBefore(victim, runs)) continue
      victim = runs
      at = core
    }
    if (victim && own.left > 0 && isBefore(vcpu, victim)) queues.bound(victim, at, now)
  }

  pick(core: number, now: number): Vcpu | undefined {
    const queues = this.#queues
    const { queue: slot } = queues.cores[core]!
    let best: Vcpu | undefined
    let next = NEVER
    for (let at = queues.queues[slot]!.head; at !== 0; at = queues.nextOf(at)) {
      const vcpu = queues.vcpuAt(at)
      if (!vcpu || !vcpu.isRunnable || queues.isOfferedElsewhere(vcpu, core)) continue
      if ((queues.allowed(vcpu) >>> core & 1) === 0) continue
      replenish(vcpu, now)
      const own = vcpu.state.sched.policy.rtds
      next = Math.min(next, own.deadline)
      if (own.left > 0 && (!best || isBefore(vcpu, best))) best = vcpu
    }
    if (!best) {
      queues.cores[core]!.wakeAt = next
      return undefined
    }
    queues.remove(best)
    const { sched } = best.state
    sched.sliceEnd = Math.min(now + sched.policy.rtds.left, next, sched.policy.rtds.deadline)
    return best
  }

  charge(vcpu: Vcpu, now: number): void {
    const { sched } = vcpu.state
    const own = sched.policy.rtds
    own.left -= Math.max(0, now - sched.chargedAt)
    sched.chargedAt = now
    if (own.left <= 0 && own.extra !== 0) {
      own.level++
      own.left = own.budget
    }
    replenish(vcpu, now)
  }
}

/** Begins a first period with other terms; false if nobody may have such. */
export function setReservation(
  vcpu: Vcpu, { periodUs, budgetUs, extra }: Reservation, now: number,
): boolean {
  if (periodUs < LEAST_US || periodUs > MOST_US) return false
  if (budgetUs < LEAST_US || budgetUs > periodUs) return false
  const own = vcpu.state.sched.policy.rtds
  own.period = periodUs * 1e3
  own.budget = budgetUs * 1e3
  own.extra = extra ? 1 : 0
  own.deadline = now + own.period
  own.left = own.budget
  own.level = 0
  return true
}

/** Begins the period in which `now` lies, if that is a new one. */
function replenish(vcpu: Vcpu, now: number): void {
  const own = vcpu.state.sched.policy.rtds
  if (now < own.deadline) return
  own.deadline += (Math.floor((now - own.deadline) / own.period) + 1) * own.period
  own.left = own.budget
  own.level = 0
}

function isBefore(one: Vcpu, other: Vcpu): boolean {
  const a = one.state.sched.policy.rtds
  const b = other.state.sched.policy.rtds
  return a.level !== b.level ? a.level < b.level : a.deadline < b.deadline
}
