/**
 * credit, Xen's policy before credit2: turns of a fixed length, and credit that decides who is
 * under and who over its share.
 *
 * Vcpus under their share run before those over it, each kind in turn; one that wakes and is under
 * is boosted until its next charge. Running costs credit; at the end of each accounting period the
 * vcpus that took part are given what the pool's cores had, by weight. A capped domain is given no
 * more than its cap, and waits while it is too far over.
 *
 * Accounting is done by whoever schedules after the period has passed, so that an idle pool does
 * nothing. Obeys xl(1) and xen's docs/misc/xen-command-line.pandoc (sched_credit_tslice_ms). All
 * cores of a pool share one queue, so the migration delay is kept and has no effect.
 */
import { assert } from '../../base/assert.ts'
import { XEN_SCHEDULER_CREDIT } from '../../abi/xen/domctl.ts'
import { VcpuState } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Policy } from './policy.ts'
import { countBits, lowest, type PoolView, type RunQueues } from './run-queues.ts'
import { CreditVcpuState, NEVER, VcpuSchedState } from './state.ts'

const DEFAULT_SLICE_MS = 30
const DEFAULT_RATELIMIT_US = 1000

/** Where a vcpu's struct has the next of those that take part. */
const ACTIVE_NEXT = VcpuState.offsets.sched + VcpuSchedState.offsets.policy
  + CreditVcpuState.offsets.activeNext

const BOOSTED = 0
const UNDER = 1
const OVER = 2

export class Credit implements Policy {
  readonly id = XEN_SCHEDULER_CREDIT
  readonly name = 'credit'
  readonly #queues: RunQueues
  readonly #sliceMs: number

  constructor(queues: RunQueues, sliceMs: number | undefined) {
    this.#queues = queues
    this.#sliceMs = sliceMs ?? DEFAULT_SLICE_MS
  }

  preparePool(pool: PoolView): void {
    pool.sliceMs = this.#sliceMs
    pool.ratelimitUs = DEFAULT_RATELIMIT_US
  }

  sharesQueue(): boolean {
    return true
  }

  admit(vcpu: Vcpu): void {
    const own = vcpu.state.sched.policy.credit
    own.credit = 0
    own.active = 0
    own.activeNext = 0
    own.boosted = 0
    own.halted = 0
  }

  expel(vcpu: Vcpu): void {
    this.#deactivate(this.#queues.poolOf(vcpu), vcpu)
  }

  enqueue(vcpu: Vcpu, now: number, woken: boolean): void {
    const queues = this.#queues
    const pool = queues.poolOf(vcpu)
    const own = vcpu.state.sched.policy.credit
    this.#account(pool, now)
    this.#activate(pool, vcpu, now)
    if (woken && own.credit >= 0 && own.halted === 0) own.boosted = 1
    queues.insert(queues.cores[lowest(pool.cores)]!.queue, vcpu)
  }

  isReady(vcpu: Vcpu): boolean {
    return vcpu.state.sched.policy.credit.halted === 0
  }

  /** One that matters less makes room; otherwise all do when their turns end. */
  press(vcpu: Vcpu): void {
    const queues = this.#queues
    const pool = queues.poolOf(vcpu)
    const order = orderOf(vcpu)
    for (let left = queues.allowed(vcpu); left !== 0; left &= left - 1) {
      const core = lowest(left)
      const runs = queues.runningOn(core)
      if (!runs) continue
      const matters = order >= orderOf(runs)
      const turn = matters ? pool.sliceMs * 1e6 : pool.ratelimitUs * 1e3
      queues.bound(runs, core, runs.state.runningSinceNs + turn)
      if (!matters) return
    }
  }

  pick(core: number, now: number): Vcpu | undefined {
    const queues = this.#queues
    const { pool: number, queue: slot } = queues.cores[core]!
    const pool = queues.pools[number - 1]!
    this.#account(pool, now)
    let best: Vcpu | undefined
    let rivals = 0
    for (let at = queues.queues[slot]!.head; at !== 0; at = queues.nextOf(at)) {
      const vcpu = queues.vcpuAt(at)
      if (!vcpu || !vcpu.isRunnable || queues.isOfferedElsewhere(vcpu, core)) continue
      if ((queues.allowed(vcpu) >>> core & 1) === 0) continue
      rivals++
      if (vcpu.state.sched.policy.credit.halted !== 0) continue
      if (!best || isBefore(vcpu, best, core)) best = vcpu
    }
    const accounting = pool.accountedAt + pool.sliceMs * 1e6
    if (!best) {
      queues.cores[core]!.wakeAt = rivals > 0 ? accounting : NEVER
      return undefined
    }
    queues.remove(best)
    const { sched } = best.state
    sched.sliceEnd = rivals > 1 ? now + pool.sliceMs * 1e6 : NEVER
    if (best.domain.state.sched.cap !== 0) sched.sliceEnd = Math.min(sched.sliceEnd, accounting)
    return best
  }

  charge(vcpu: Vcpu, now: number): void {
    const { sched } = vcpu.state
    const own = sched.policy.credit
    const ran = Math.max(0, now - sched.chargedAt)
    own.credit -= ran
    if (ran > 0) own.boosted = 0
    sched.chargedAt = now
  }

  #activate(pool: PoolView, vcpu: Vcpu, now: number): void {
    const own = vcpu.state.sched.policy.credit
    if (own.active !== 0) return
    if (pool.activeHead === 0) pool.accountedAt = now
    own.active = 1
    vcpu.domain.state.sched.active++
    own.activeNext = pool.activeHead
    pool.activeHead = vcpu.address
  }

  #deactivate(pool: PoolView, vcpu: Vcpu): void {
    const own = vcpu.state.sched.policy.credit
    if (own.active === 0) return
    const { words } = this.#queues.host.hypervisor
    // By address: those before it may be of a domain that nobody finds any more.
    let before = 0
    for (let at = pool.activeHead; at !== vcpu.address; at = words[at + ACTIVE_NEXT >>> 2]!) {
      assert(at !== 0, 'an active vcpu is among the active')
      before = at
    }
    if (before === 0) pool.activeHead = own.activeNext
    else words[before + ACTIVE_NEXT >>> 2] = own.activeNext
    own.active = 0
    own.activeNext = 0
    vcpu.domain.state.sched.active--
  }

  /** Shares out what the cores had since the last accounting, if a period is over. */
  #account(pool: PoolView, now: number): void {
    // In the very words in which `pick` says when: times are fractions, and are rounded.
    if (now < pool.accountedAt + pool.sliceMs * 1e6 || pool.activeHead === 0) return
    const passed = now - pool.accountedAt
    pool.accountedAt = now
    let weights = 0
    for (let vcpu = this.#first(pool); vcpu; vcpu = this.#next(vcpu)) {
      if (vcpu.state.running !== 0) this.charge(vcpu, now)
      weights += vcpu.domain.state.sched.weight
    }
    let total = passed * countBits(pool.cores)
    const fair = total / weights
    // What caps do not let their domains have is for the others.
    for (let vcpu = this.#first(pool); vcpu; vcpu = this.#next(vcpu)) {
      const { weight } = vcpu.domain.state.sched
      const limit = limitOf(vcpu, passed)
      if (limit > fair * weight) continue
      total -= limit
      weights -= weight
    }
    for (let vcpu = this.#first(pool); vcpu;) {
      const next = this.#next(vcpu)
      const { weight } = vcpu.domain.state.sched
      const share = weights > 0 ? total / weights * weight : Infinity
      this.#give(pool, vcpu, Math.min(share, limitOf(vcpu, passed)))
      vcpu = next
    }
  }

  /** A vcpu's share of a period; what it does not use up makes it leave the accounting. */
  #give(pool: PoolView, vcpu: Vcpu, share: number): void {
    const own = vcpu.state.sched.policy.credit
    const period = pool.sliceMs * 1e6
    own.credit += share
    if (own.credit >= 0) own.halted = 0
    else if (own.credit < -limitOf(vcpu, period)) own.halted = 1
    if (own.credit <= period) return
    own.credit = period / 2
    this.#deactivate(pool, vcpu)
  }

  #first(pool: PoolView): Vcpu | undefined {
    return this.#queues.vcpuAt(pool.activeHead)
  }

  #next(vcpu: Vcpu): Vcpu | undefined {
    return this.#queues.vcpuAt(vcpu.state.sched.policy.credit.activeNext)
  }
}

function orderOf(vcpu: Vcpu): number {
  const own = vcpu.state.sched.policy.credit
  if (own.boosted !== 0) return BOOSTED
  return own.credit >= 0 ? UNDER : OVER
}

/** Whether a vcpu that waits further behind shall run before `best` on this core. */
function isBefore(vcpu: Vcpu, best: Vcpu, core: number): boolean {
  const given = best.state.sched.yielded
  if (vcpu.state.sched.yielded !== given) return given !== 0
  const [mine, its] = [orderOf(vcpu), orderOf(best)]
  if (mine !== its) return mine < its
  const liked = (one: Vcpu): boolean => (one.state.softAffinity.get(0) >>> core & 1) === 1
  return liked(vcpu) && !liked(best)
}

/** What the cap of its domain lets a vcpu have of `ns`. */
function limitOf(vcpu: Vcpu, ns: number): number {
  const { cap, active } = vcpu.domain.state.sched
  return cap === 0 ? Infinity : ns * cap / 100 / Math.max(active, 1)
}
