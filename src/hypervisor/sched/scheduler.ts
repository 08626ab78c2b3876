/**
 * The scheduler: which vcpu a core runs next, by the policy of its cpupool.
 *
 * All that it knows lies in hypervisor memory under one lock, sched: pools, run queues, and what
 * the policies keep for each vcpu (state.ts). A vcpu that may run either runs on one core or waits
 * in one run queue. No timer ticks: a core is told until when its vcpu may run, or when to look
 * again, and is kicked when that changes.
 */
import { assert } from '../../base/assert.ts'
import { readText } from '../../base/layout/text.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { ENODEV } from '../../abi/xen/errno.ts'
import type { Domain } from '../domain/domain.ts'
import { VcpuState } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { Host } from '../host/host.ts'
import type { SchedulerService, Subsystem } from '../host/services.ts'
import { HostState, LOCK_RANK } from '../host/state.ts'
import { restingRunstate, Timekeeper } from '../time/timekeeper.ts'
import { Credit } from './credit.ts'
import { Credit2 } from './credit2.ts'
import { Null } from './null.ts'
import { schedOptions } from './options.ts'
import type { CoreScheduler, Policy } from './policy.ts'
import { lowest, type PoolView, RunQueues } from './run-queues.ts'
import { Rtds } from './rtds.ts'
import { NEVER, SchedState } from './state.ts'

export const DEFAULT_WEIGHT = 256

export class Scheduler implements SchedulerService, Subsystem, CoreScheduler {
  readonly name = 'sched'
  readonly host: Host
  readonly queues: RunQueues
  readonly policies: readonly Policy[]
  readonly #default: Policy
  readonly #lock: RankedLock

  constructor(host: Host) {
    this.host = host
    const first = host.state.schedAt === 0
    if (first) host.state.schedAt = host.heap.allocate(SchedState.size)
    assert(host.state.schedAt !== 0, 'no room for the run queues')
    this.#lock = new RankedLock(host.hypervisor.cells, LOCK_RANK.sched, 'sched')
    this.queues = new RunQueues(host)
    const options = schedOptions(readText(host.state.commandLine))
    const credit2 = new Credit2(this.queues, options.runqueue)
    this.policies = [
      credit2, new Credit(this.queues, options.creditSliceMs), new Rtds(this.queues),
      new Null(this.queues),
    ]
    this.#default = this.policies.find(({ name }) => name === options.policy) ?? credit2
    if (!first) return
    this.foundPool(0, this.#default)
    const pool = this.queues.pools[0]!
    if (options.ratelimitUs !== undefined) pool.ratelimitUs = options.ratelimitUs
    for (let core = 0; core < host.state.coreCount; core++) {
      const own = this.queues.cores[core]!
      own.node = host.core(core).node
      own.socket = own.node
      if (host.core(core).online === 0) continue
      own.pool = 1
      pool.cores |= 1 << core
    }
    this.regroup(pool, 0, 0)
  }

  static of(host: Host): Scheduler {
    const scheduler = host.services.scheduler
    assert(scheduler instanceof Scheduler, 'the host was assembled without a scheduler')
    return scheduler
  }

  get defaultPolicy(): Policy {
    return this.#default
  }

  policyOf(pool: PoolView): Policy {
    const policy = this.policies.find(({ id }) => id === pool.schedId)
    assert(policy, 'a pool has a policy')
    return policy
  }

  /** Does `work` with the sched lock held, then kicks the cores that it concerns. */
  exclusively<T>(work: (now: number) => T): T {
    this.#acquire()
    const result = work(this.host.clock.now())
    this.#release()
    return result
  }

  /** Makes pool `id` an empty one. */
  foundPool(id: number, policy: Policy): void {
    const pool = this.queues.pools[id]!
    pool.exists = 1
    pool.schedId = policy.id
    pool.cores = 0
    pool.domainCount = 0
    pool.activeHead = 0
    policy.preparePool?.(pool)
  }

  /** Arranges a pool's run queues anew, for its cores have changed; `former` are those it had. */
  regroup(pool: PoolView, former: number, now: number): void {
    const { queues, cores } = this.queues
    const policy = this.policyOf(pool)
    const waiting: Vcpu[] = []
    for (let left = former | pool.cores; left !== 0; left &= left - 1) {
      const queue = queues[lowest(left)]!
      for (let vcpu = this.queues.vcpuAt(queue.head); vcpu;) {
        this.queues.remove(vcpu)
        waiting.push(vcpu)
        vcpu = this.queues.vcpuAt(queue.head)
      }
      queue.cores = 0
    }
    for (let left = pool.cores; left !== 0; left &= left - 1) {
      const core = cores[lowest(left)]!
      let slot = lowest(left)
      for (let before = pool.cores; lowest(before) < slot; before &= before - 1) {
        if (policy.sharesQueue(cores[lowest(before)]!, core)) slot = lowest(before)
      }
      core.queue = slot
      queues[slot]!.cores |= 1 << lowest(left)
    }
    for (const vcpu of waiting) this.#wait(vcpu, policy, now)
    for (let left = pool.cores; left !== 0; left &= left - 1) {
      const core = lowest(left)
      const runs = this.queues.runningOn(core)
      if (runs && (this.queues.allowed(runs) >>> core & 1) === 0) {
        this.queues.bound(runs, core, now)
      }
    }
  }

  domainCreated(domain: Domain): number {
    const pool = this.queues.pools[domain.state.cpupool]
    return this.exclusively(() => {
      if (!pool || pool.exists === 0 || pool.cores === 0) return -ENODEV
      pool.domainCount++
      domain.state.sched.weight = DEFAULT_WEIGHT
      domain.state.inPool = 1
      return 0
    })
  }

  domainDestroyed(domain: Domain): void {
    if (domain.state.inPool === 0) return
    domain.state.inPool = 0
    this.exclusively(() => { this.queues.pools[domain.state.cpupool]!.domainCount-- })
  }

  vcpuCreated(vcpu: Vcpu): number {
    this.exclusively((now) => this.admit(vcpu, now))
    return 0
  }

  vcpuDestroyed(vcpu: Vcpu): void {
    this.exclusively(() => this.expel(vcpu))
  }

  /** Gives a vcpu to the policy of its domain's pool, with a core of that pool. */
  admit(vcpu: Vcpu, now: number): void {
    const { state } = vcpu
    const pool = this.queues.poolOf(vcpu)
    if ((pool.cores >>> state.core & 1) === 0) {
      const rank = vcpu.id % this.host.state.coreCount
      const from = pool.cores & -1 << rank
      state.core = lowest(from !== 0 ? from : pool.cores)
    }
    this.policyOf(pool).admit(vcpu, now)
    state.sched.present = 1
  }

  /** Takes a vcpu, which does not run, from its policy. */
  expel(vcpu: Vcpu): void {
    if (vcpu.state.sched.present === 0) return
    this.queues.remove(vcpu)
    this.policyOf(this.queues.poolOf(vcpu)).expel?.(vcpu)
    vcpu.state.sched.present = 0
    vcpu.state.sched.home = 0
  }

  wake(vcpu: Vcpu, looking = 0): void {
    const { sched } = vcpu.state
    if (vcpu.domain.isControl) return
    this.#acquire()
    if (sched.present !== 0 && sched.queued === 0 && vcpu.state.running === 0) {
      const now = this.host.clock.now()
      this.#rest(vcpu, now)
      if (vcpu.isRunnable) this.#wait(vcpu, this.#policyFor(vcpu), now)
      // Its timers count again, if it was paused.
      else if (vcpu.domain.state.pauseCount === 0) this.queues.kicks |= 1 << vcpu.state.core
    }
    this.queues.kicks &= ~looking
    this.#release()
  }

  sleep(vcpu: Vcpu): void {
    const { sched } = vcpu.state
    this.#acquire()
    if (sched.present !== 0 && vcpu.state.running === 0) {
      this.queues.remove(vcpu)
      this.#rest(vcpu, this.host.clock.now())
    }
    this.#release()
  }

  /** Ends the vcpu's turn, if another waits; its core has left it, and is about to look. */
  yield(vcpu: Vcpu): void {
    vcpu.state.sched.yielded = 1
    vcpu.state.sched.sliceEnd = 0
  }

  /** The vcpu's affinity has changed: it leaves a core or queue where it may not be any more. */
  affinityChanged(vcpu: Vcpu): void {
    const { state } = vcpu
    if (state.sched.present === 0 || vcpu.domain.isControl) return
    this.exclusively((now) => {
      const allowed = this.queues.allowed(vcpu)
      if (state.running !== 0) {
        const core = state.running - 1
        if ((allowed >>> core & 1) === 0) this.queues.bound(vcpu, core, now)
        return
      }
      if ((allowed >>> state.core & 1) === 0) {
        state.core = lowest(this.queues.preferred(vcpu, allowed))
      }
      this.queues.kicks |= 1 << state.core
      if (state.sched.queued === 0) return
      this.queues.remove(vcpu)
      this.#wait(vcpu, this.#policyFor(vcpu), now)
    })
  }

  /** The domain's weight or limits have changed: its vcpus are looked at anew. */
  termsChanged(domain: Domain): void {
    if (domain.isControl) return
    this.exclusively((now) => {
      for (let i = 0; i < domain.vcpuCount; i++) {
        const vcpu = domain.vcpu(i)
        if (!vcpu) continue
        const { running, sched } = vcpu.state
        if (running !== 0) this.queues.bound(vcpu, running - 1, now)
        if (sched.queued === 0) continue
        this.queues.remove(vcpu)
        this.#wait(vcpu, this.#policyFor(vcpu), now)
      }
    })
  }

  pick(core: number, now: number): Vcpu | undefined {
    this.#acquire()
    const chosen = this.#next(core, now)
    this.#release()
    return chosen
  }

  #next(core: number, now: number): Vcpu | undefined {
    const own = this.queues.cores[core]!
    own.tickled = 0
    own.wakeAt = NEVER
    const pool = own.pool === 0 ? undefined : this.queues.pools[own.pool - 1]
    return pool && this.#choose(core, pool, now)
  }

  #choose(core: number, pool: PoolView, now: number): Vcpu | undefined {
    const own = this.queues.cores[core]!
    const policy = this.policyOf(pool)
    // Until it has chosen, nobody is offered this core.
    own.tickled = 1
    const chosen = policy.pick(core, now)
    own.tickled = 0
    if (chosen) this.#begin(chosen, core, now)
    this.#spread(pool, policy, now)
    const left = this.queues.vcpuAt(own.left)
    own.left = 0
    // By its own pool's policy: the core may have changed hands since.
    if (left && left.state.sched.queued !== 0) this.#policyFor(left).press(left, now)
    return chosen
  }

  /** Offers a pool's idle cores to all who wait for nothing but a core. */
  #spread(pool: PoolView, policy: Policy, now: number): void {
    if (this.queues.idle(pool.cores) === 0) return
    for (let left = pool.cores; left !== 0; left &= left - 1) {
      // The queue of a slot that is not in use is empty.
      let at = this.queues.queues[lowest(left)]!.head
      for (; at !== 0; at = this.queues.nextOf(at)) {
        const vcpu = this.queues.vcpuAt(at)
        if (vcpu && policy.isReady(vcpu, now)) this.#offer(vcpu, policy)
      }
    }
  }

  /** A vcpu waits from now on, and no core knows of it. */
  #wait(vcpu: Vcpu, policy: Policy, now: number): void {
    policy.enqueue(vcpu, now, true)
    if (!this.#offer(vcpu, policy)) policy.press(vcpu, now)
  }

  #offer(vcpu: Vcpu, policy: Policy): boolean {
    return this.queues.offer(vcpu, policy.placesFor?.(vcpu) ?? this.queues.allowed(vcpu))
  }

  #begin(vcpu: Vcpu, core: number, now: number): void {
    const { state } = vcpu
    assert(state.running === 0 && state.sched.queued === 0, 'a vcpu runs once')
    state.sched.ranBefore = state.sched.ranNow
    state.sched.ranNow = core + 1
    state.sched.chargedAt = now
    state.sched.yielded = 0
    state.core = core
    state.runningSinceNs = now
    state.running = core + 1
    this.host.core(core).currentVcpu = vcpu.address
  }

  stopped(vcpu: Vcpu, core: number, now: number): void {
    this.#acquire()
    this.#stop(vcpu, core, now)
    this.#release()
    notifyStopped(vcpu)
  }

  exchange(vcpu: Vcpu, core: number, now: number): Vcpu | undefined {
    this.#acquire()
    this.#stop(vcpu, core, now)
    const chosen = this.#next(core, now)
    this.#release()
    if (chosen !== vcpu) notifyStopped(vcpu)
    return chosen
  }

  #stop(vcpu: Vcpu, core: number, now: number): void {
    const { state } = vcpu
    const policy = this.#policyFor(vcpu)
    policy.charge(vcpu, now)
    state.cpuTimeNs += Math.max(0, now - state.runningSinceNs)
    state.running = 0
    this.host.core(core).currentVcpu = 0
    this.#settleAway(vcpu, core)
    // A wake-up that came while it was made to stop has found it running.
    this.#rest(vcpu, now)
    if (!vcpu.isRunnable) return
    if ((this.queues.allowed(vcpu) >>> core & 1) === 0) this.#wait(vcpu, policy, now)
    else policy.enqueue(vcpu, now, false)
    this.queues.cores[core]!.left = vcpu.address
  }

  /** The core that it ran on has left its pool: its timers become another's. */
  #settleAway(vcpu: Vcpu, core: number): void {
    const { cores } = this.queues.poolOf(vcpu)
    if (cores === 0 || cores >>> core & 1) return
    vcpu.state.core = lowest(this.queues.preferred(vcpu, this.queues.allowed(vcpu)))
    this.queues.kicks |= 1 << vcpu.state.core
  }

  sliceEnd(vcpu: Vcpu): number {
    return vcpu.state.sched.sliceEnd
  }

  idleUntil(core: number): number {
    return this.queues.cores[core]!.wakeAt
  }

  ranHereLast(vcpu: Vcpu, core: number): boolean {
    return vcpu.state.sched.ranBefore === core + 1
  }

  #policyFor(vcpu: Vcpu): Policy {
    return this.policyOf(this.queues.poolOf(vcpu))
  }

  /** Begins the runstate of a vcpu that does not run, if that is another now. */
  #rest(vcpu: Vcpu, now: number): void {
    const time = Timekeeper.of(this.host)
    const runstate = restingRunstate(vcpu)
    if (time.stateOf(vcpu).runstate !== runstate) time.changeRunstate(vcpu, runstate, now)
  }

  #acquire(): void {
    this.#lock.acquire(HostState.offsets.schedLock)
  }

  #release(): void {
    const { kicks } = this.queues
    this.queues.kicks = 0
    this.#lock.release(HostState.offsets.schedLock)
    for (let left = kicks; left !== 0; left &= left - 1) this.host.kickCore(lowest(left))
  }
}

/** Whoever waits until the vcpu has stopped sleeps on this word. */
function notifyStopped({ state }: Vcpu): void {
  Atomics.notify(state.cells, state.origin + state.base + VcpuState.offsets.running >>> 2)
}
