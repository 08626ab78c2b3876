/**
 * credit2, Xen's default policy: general purpose, fair by weight, with caps.
 *
 * A running vcpu burns credit, the slower the greater its domain's weight, and who has most runs
 * next. When the next one has none left, all vcpus of the run queue are given the same again: the
 * queue's epoch counts that, and each vcpu is brought up to date when it is looked at. Who slept
 * keeps little of what it had saved, so that it comes first when it wakes, but not for long.
 *
 * A run queue serves several cores (`credit2_runqueue`). A vcpu that last ran on another core must
 * be ahead by some credit (migration resistance), and the more so where soft affinity does not want
 * it. Queues that become empty take from others, and loads are evened out now and then.
 *
 * A cap is a budget for each period, drawn from by all vcpus of the domain; overdrafts are paid
 * back. No timer runs: who waits for the budget bounds the run of the core that would take it.
 *
 * Obeys xen's docs/misc/xen-command-line.pandoc (credit2_runqueue, sched_ratelimit_us) and xl(1).
 * It differs in that credit does not depend on the greatest weight in the queue.
 */
import { XEN_SCHEDULER_CREDIT2 } from '../../abi/xen/domctl.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { QueueBalance } from './balance.ts'
import type { Policy } from './policy.ts'
import { type CoreView, lowest, type PoolView, type QueueView, type RunQueues } from
  './run-queues.ts'
import { NEVER } from './state.ts'

const INITIAL_CREDIT = 10e6
/** How much of what it saved a sleeper keeps at a new epoch. */
const CARRIED_CREDIT = 0.5e6
const MIGRATION_RESISTANCE = 0.5e6
const DISPREFERENCE = 2.5e6
const YIELD_BIAS = 1e6
const SHORTEST_SLICE_NS = 0.5e6
const LONGEST_SLICE_NS = 10e6
const BUDGET_PERIOD_NS = 10e6
const LEAST_SHARE_NS = 0.25e6
/** A vcpu of this weight burns one credit a nanosecond. */
const UNIT_WEIGHT = 256
const DEFAULT_RATELIMIT_US = 1000

export const RUNQUEUE_KINDS = ['all', 'node', 'socket', 'core', 'cpu'] as const
export type RunqueueKind = typeof RUNQUEUE_KINDS[number]

export class Credit2 implements Policy {
  readonly id = XEN_SCHEDULER_CREDIT2
  readonly name = 'credit2'
  readonly #kind: RunqueueKind
  readonly #queues: RunQueues
  readonly #balance: QueueBalance

  constructor(queues: RunQueues, kind: RunqueueKind) {
    this.#queues = queues
    this.#kind = kind
    this.#balance = new QueueBalance(queues)
  }

  preparePool(pool: PoolView): void {
    pool.ratelimitUs = DEFAULT_RATELIMIT_US
  }

  sharesQueue(one: CoreView, other: CoreView): boolean {
    switch (this.#kind) {
      case 'all': return true
      case 'node': return one.node === other.node
      case 'socket': return one.socket === other.socket
      // A core has one thread.
      case 'core': case 'cpu': return one.base === other.base
    }
  }

  admit(vcpu: Vcpu): void {
    const own = vcpu.state.sched.policy.credit2
    own.credit = INITIAL_CREDIT
    own.epoch = 0
    vcpu.state.sched.home = 0
  }

  enqueue(vcpu: Vcpu, now: number, woken: boolean): void {
    const slot = this.#balance.slotFor(vcpu, woken, now)
    this.#join(vcpu, slot)
    this.#queues.insert(slot, vcpu, this.#hasLess)
  }

  isReady(vcpu: Vcpu, now: number): boolean {
    return this.#hasBudget(vcpu.domain, now)
  }

  pick(core: number, now: number): Vcpu | undefined {
    const slot = this.#queues.cores[core]!.queue
    const moved = this.#balance.push(core, now, this.#take)
    if (moved && !this.#queues.offer(moved)) this.press(moved, now)
    let chosen = this.#best(core, slot, now)
    if (!chosen) {
      const found = this.#balance.steal(core, slot, (other) => this.#best(core, other, now))
      if (found) this.#take(found, slot)
      chosen = found
    }
    if (!chosen) {
      this.#queues.cores[core]!.wakeAt = this.#nextRefill(core, slot, now)
      return undefined
    }
    this.#queues.remove(chosen)
    this.#renew(chosen, slot)
    const { sched } = chosen.state
    sched.sliceEnd = this.#sliceEnd(chosen, core, slot, now)
    return chosen
  }

  charge(vcpu: Vcpu, now: number): void {
    const { sched } = vcpu.state
    const ran = Math.max(0, now - sched.chargedAt)
    const { sched: terms } = vcpu.domain.state
    sched.chargedAt = now
    sched.policy.credit2.credit -= ran * UNIT_WEIGHT / terms.weight
    if (terms.cap !== 0) terms.budget -= ran
    // It had no rival: at the end of each slice it would have been the next, with none left.
    if (sched.sliceEnd === NEVER) this.#renew(vcpu, sched.home - 1)
  }

  readonly #hasLess = (waiting: Vcpu, added: Vcpu): boolean => {
    const queue = this.#queues.queues[added.state.sched.home - 1]!
    return creditOf(waiting, queue) < creditOf(added, queue)
  }

  /** Moves a vcpu, waiting or not, to another queue; one that waits goes on waiting there. */
  readonly #take = (vcpu: Vcpu, slot: number): void => {
    const waits = vcpu.state.sched.queued !== 0
    this.#queues.remove(vcpu)
    this.#join(vcpu, slot)
    if (waits) this.#queues.insert(slot, vcpu, this.#hasLess)
  }

  /** Makes the queue the vcpu's home. Epochs are a queue's own, so the credit comes along as is. */
  #join(vcpu: Vcpu, slot: number): void {
    const { sched } = vcpu.state
    if (sched.home === slot + 1) return
    if (sched.home !== 0) creditOf(vcpu, this.#queues.queues[sched.home - 1]!)
    sched.home = slot + 1
    sched.policy.credit2.epoch = this.#queues.queues[slot]!.epoch
  }

  /** The waiting vcpu of a queue that the core should run. */
  #best(core: number, slot: number, now: number): Vcpu | undefined {
    const queues = this.#queues
    const queue = queues.queues[slot]!
    let best: Vcpu | undefined
    let most = -Infinity
    for (let at = queue.head; at !== 0; at = queues.nextOf(at)) {
      const vcpu = queues.vcpuAt(at)
      if (!vcpu || !vcpu.isRunnable || queues.isOfferedElsewhere(vcpu, core)) continue
      const credit = creditOf(vcpu, queue)
      if (credit <= most) break
      const allowed = queues.allowed(vcpu)
      if ((allowed >>> core & 1) === 0 || !this.#hasBudget(vcpu.domain, now)) continue
      const score = credit - this.#reluctance(vcpu, core, allowed)
        - (vcpu.state.sched.yielded !== 0 ? YIELD_BIAS : 0)
      if (score <= most) continue
      best = vcpu
      most = score
    }
    return best
  }

  /** How much credit it costs to run the vcpu on a core that it does not know or should not use. */
  #reluctance(vcpu: Vcpu, core: number, allowed: number): number {
    return (vcpu.state.core === core ? 0 : MIGRATION_RESISTANCE)
      + (this.#queues.preferred(vcpu, allowed) >>> core & 1 ? 0 : DISPREFERENCE)
  }

  /** Gives all vcpus of the queue as much credit as makes that of `chosen` positive. */
  #renew(chosen: Vcpu, slot: number): void {
    const queue = this.#queues.queues[slot]!
    const credit = creditOf(chosen, queue)
    if (credit > 0) return
    queue.epoch += Math.floor(-credit / INITIAL_CREDIT) + 1
    creditOf(chosen, queue)
  }

  /** Until its credit has fallen to that of the first rival; until its budget is used up. */
  #sliceEnd(chosen: Vcpu, core: number, slot: number, now: number): number {
    const queues = this.#queues
    const queue = queues.queues[slot]!
    const { sched: terms } = chosen.domain.state
    let end = terms.cap === 0 ? NEVER
      : now + Math.max(terms.budget / chosen.domain.vcpuCount, LEAST_SHARE_NS)
    const least = Math.max(queues.poolOf(chosen).ratelimitUs * 1e3, SHORTEST_SLICE_NS)
    let rivals = 0
    for (let at = queue.head; at !== 0; at = queues.nextOf(at)) {
      const rival = queues.vcpuAt(at)
      if (!rival) continue
      const allowed = queues.allowed(rival)
      if ((allowed >>> core & 1) === 0) continue
      if (!this.#hasBudget(rival.domain, now)) {
        end = Math.min(end, rival.domain.state.sched.refillAt)
      } else if (rivals++ === 0) {
        const lead = creditOf(chosen, queue) - creditOf(rival, queue)
          + this.#reluctance(rival, core, allowed)
        const slice = Math.min(lead * terms.weight / UNIT_WEIGHT, LONGEST_SLICE_NS)
        end = Math.min(end, now + Math.max(slice, least))
      }
    }
    return end
  }

  /** The one with the least credit makes room, if that is less; others when it has become so. */
  press(vcpu: Vcpu, now: number): void {
    const queues = this.#queues
    const allowed = queues.allowed(vcpu)
    const queue = queues.queues[vcpu.state.sched.queued - 1]!
    const within = allowed & queue.cores
    const from = this.#hasBudget(vcpu.domain, now) ? now : vcpu.domain.state.sched.refillAt
    let victim = -1
    let least = 0
    for (let left = within; left !== 0; left &= left - 1) {
      const core = lowest(left)
      const runs = queues.runningOn(core)
      if (!runs) continue
      this.charge(runs, now)
      const lead = creditOf(runs, queue) - creditOf(vcpu, queue)
        + this.#reluctance(vcpu, core, allowed)
      if (lead < least) {
        victim = core
        least = lead
      }
      const slice = lead * runs.domain.state.sched.weight / UNIT_WEIGHT
      if (lead >= 0) this.#bound(runs, core, from + Math.min(slice, LONGEST_SLICE_NS))
    }
    const runs = victim < 0 ? undefined : queues.runningOn(victim)
    if (runs) this.#bound(runs, victim, from)
  }

  /** Lets it run until `end`, but not less than the rate limit asks for. */
  #bound(vcpu: Vcpu, core: number, end: number): void {
    const least = Math.max(this.#queues.poolOf(vcpu).ratelimitUs * 1e3, SHORTEST_SLICE_NS)
    this.#queues.bound(vcpu, core, Math.max(end, vcpu.state.runningSinceNs + least))
  }

  /** Refills the domain's budget if it is time, and says whether any is left. */
  #hasBudget(domain: Domain, now: number): boolean {
    const { sched } = domain.state
    if (sched.cap === 0) return true
    if (now >= sched.refillAt) {
      const quota = BUDGET_PERIOD_NS * sched.cap / 100
      const periods = Math.floor((now - sched.refillAt) / BUDGET_PERIOD_NS) + 1
      sched.budget = Math.min(sched.budget + periods * quota, quota)
      sched.refillAt += periods * BUDGET_PERIOD_NS
    }
    return sched.budget > 0
  }

  /** When the first of those who wait for a budget, and could run on the core, has one. */
  #nextRefill(core: number, slot: number, now: number): number {
    const queues = this.#queues
    let next = NEVER
    for (let at = queues.queues[slot]!.head; at !== 0; at = queues.nextOf(at)) {
      const vcpu = queues.vcpuAt(at)
      if (!vcpu || (queues.allowed(vcpu) >>> core & 1) === 0) continue
      if (!this.#hasBudget(vcpu.domain, now)) {
        next = Math.min(next, vcpu.domain.state.sched.refillAt)
      }
    }
    return next
  }
}

/** Its credit, brought up to date with the queue's epoch. */
function creditOf(vcpu: Vcpu, queue: QueueView): number {
  const own = vcpu.state.sched.policy.credit2
  const epochs = queue.epoch - own.epoch
  if (epochs !== 0) {
    own.credit = Math.min(own.credit + epochs * INITIAL_CREDIT, INITIAL_CREDIT + CARRIED_CREDIT)
    own.epoch = queue.epoch
  }
  return own.credit
}
