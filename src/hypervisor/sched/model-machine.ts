/**
 * For tests only: a machine with many cores whose vcpus do nothing but run, sleep and yield, under
 * a clock that jumps from one event to the next.
 *
 * Each core does what core/core.ts does between guests. After every event all that must always be
 * true is checked.
 */
import { assert } from '../../base/assert.ts'
import { XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_CREDIT2, XEN_SCHEDULER_RTDS } from
  '../../abi/xen/domctl.ts'
import { VPF_blocked, VPF_down } from '../domain/state.ts'
import type { Domain } from '../domain/domain.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { sampleMachine } from '../host/sample-machine.ts'
import { addCore, moveDomain, removeCore } from './cpupools.ts'
import { onlineCore, withdrawCore } from './hotplug.ts'
import { Scheduler } from './scheduler.ts'

/** What a vcpu does: runs for `runNs`, sleeps for `sleepNs`, and so on; for ever, if left out. */
export interface Work {
  readonly runNs?: number
  readonly sleepNs?: number
}

/** A step of a random story. */
export interface Step {
  readonly kind: string
  readonly who?: number
  readonly ns?: number
  readonly hard?: number
  readonly soft?: number
}

interface Life {
  readonly vcpu: Vcpu
  work: Work
  /** What is left of its stretch of running. */
  left: number
  wakeAt: number
  wokenAt: number
  /** From each wake-up until it ran. */
  readonly delays: number[]
  ranNs: number
}

interface CoreLife {
  current: Life | undefined
  since: number
  runs: number
  migrations: number
}

export class ModelMachine {
  readonly machine
  readonly scheduler: Scheduler
  readonly lives = new Map<Vcpu, Life>()
  readonly cores: readonly CoreLife[]
  /** How often the machine was woken or kicked to do anything. */
  events = 0

  constructor(cores: number, commandLine = '') {
    this.machine = sampleMachine(16, cores, commandLine)
    this.scheduler = Scheduler.of(this.machine.host)
    this.machine.clock.nowNs = 1e9
    this.cores = Array.from({ length: cores }, () =>
      ({ current: undefined, since: 0, runs: 0, migrations: 0 }))
  }

  get now(): number {
    return this.machine.clock.nowNs
  }

  /** A domain of `vcpus` vcpus that all do `work`; it runs at once. */
  guest(vcpus = 1, work: Work = {}, terms: { weight?: number, cap?: number } = {}): Domain {
    const { domain } = this.machine.guest(1, vcpus)
    Object.assign(domain.state.sched, terms)
    for (let id = 0; id < vcpus; id++) {
      const vcpu = domain.vcpu(id)
      assert(vcpu, 'a vcpu of the guest')
      vcpu.state.initialised = 1
      vcpu.clearFlag(VPF_down)
      this.lives.set(vcpu, {
        vcpu, work, left: work.runNs ?? Infinity, wakeAt: Infinity, wokenAt: -1, delays: [],
        ranNs: 0,
      })
    }
    domain.setControllerPause(false)
    return domain
  }

  life(domain: Domain, id = 0): Life {
    const vcpu = domain.vcpu(id)
    const life = vcpu && this.lives.get(vcpu)
    assert(life, 'a life of the model')
    return life
  }

  /** Nanoseconds that the domain has run. */
  ran(domain: Domain): number {
    let sum = 0
    for (let id = 0; id < domain.vcpuCount; id++) sum += this.life(domain, id).vcpu.cpuTimeNs()
    return sum
  }

  pin(domain: Domain, hard: number, soft = 0xffff_ffff, id = 0): void {
    const { vcpu } = this.life(domain, id)
    vcpu.state.hardAffinity.set(0, hard)
    vcpu.state.softAffinity.set(0, soft >>> 0)
    this.scheduler.affinityChanged(vcpu)
    this.settle()
  }

  /** Lets the vcpu sleep, wherever it is. */
  block(life: Life): void {
    life.vcpu.setFlag(VPF_blocked)
    life.wakeAt = Infinity
    const core = life.vcpu.state.running - 1
    if (core >= 0) this.#look(core)
    else this.scheduler.sleep(life.vcpu)
    this.settle()
  }

  /** Has the vcpu give up its turn, if it runs. */
  yield(vcpu: Vcpu): void {
    const core = vcpu.state.running - 1
    if (core < 0) return
    this.scheduler.yield(vcpu)
    this.#look(core)
    this.settle()
  }

  wake(life: Life): void {
    if (life.vcpu.clearFlag(VPF_blocked)) life.wokenAt = this.now
    life.wakeAt = Infinity
    life.vcpu.wake()
    this.settle()
  }

  /** Ends a domain, which lets go of its cores first. */
  destroy(domain: Domain): void {
    domain.pauseNoSync()
    this.settle()
    for (let id = 0; id < domain.vcpuCount; id++) this.lives.delete(this.life(domain, id).vcpu)
    assert(destroyDomain(domain) === 0, 'the books agree')
    this.settle()
  }

  /** One step of a random story about `guests`. */
  play(guests: Domain[], { kind, who = 0, ns = 0, hard = 0, soft = 0 }: Step): void {
    const lives = [...this.lives.values()]
    const life = lives[who % Math.max(lives.length, 1)]
    if (kind === 'pass') this.run(ns)
    else if (kind === 'add core') addCore(this.scheduler, hard % 2, soft % this.cores.length)
    else if (kind === 'remove core') {
      removeCore(this.scheduler, hard % 2, soft % this.cores.length)
    }
    else if (kind === 'offline') withdrawCore(this.scheduler, soft % this.cores.length)
    else if (kind === 'online') onlineCore(this.scheduler, soft % this.cores.length)
    else if (kind === 'create' && guests.length < 8) guests.push(this.guest(1 + who % 3))
    if (!life) return
    const { domain } = life.vcpu
    switch (kind) {
      case 'wake': this.wake(life); break
      case 'block': this.block(life); break
      case 'yield': this.yield(life.vcpu); break
      case 'pause': domain.pauseNoSync(); break
      case 'unpause': if (domain.state.pauseCount > 0) domain.unpause(); break
      case 'move':
        // It would wait for its vcpus to stop, and nobody would stop them.
        domain.pauseNoSync()
        this.settle()
        moveDomain(this.scheduler, domain, hard % 2)
        domain.unpause()
        break
      case 'pin': this.pin(domain, hard, soft, life.vcpu.id); break
      case 'destroy':
        this.destroy(domain)
        guests.splice(guests.indexOf(domain), 1)
        break
      default: break
    }
    this.settle()
  }

  /** Lets `ns` pass. */
  run(ns: number): void {
    const end = this.now + ns
    this.settle()
    for (let next = this.#nextEvent(); next <= end; next = this.#nextEvent()) {
      this.machine.clock.nowNs = Math.max(next, this.now)
      this.events++
      for (const life of this.lives.values()) if (life.wakeAt <= this.now) this.wake(life)
      this.cores.forEach((_, core) => { if (this.#due(core) <= this.now) this.#look(core) })
      this.settle()
    }
    this.machine.clock.nowNs = end
  }

  /** Lets cores that were kicked look, until all is quiet; then checks what must be true. */
  settle(): void {
    const { host } = this.machine
    for (let turns = 0, quiet = false; !quiet; turns++) {
      assert(turns < 1000, 'cores kick one another without end')
      quiet = true
      for (let core = 0; core < this.cores.length; core++) {
        const cell = host.core(core).kickWord >>> 2
        if (Atomics.exchange(host.machine.cells, cell, 0) === 0) continue
        quiet = false
        this.events++
        this.#look(core)
      }
    }
    this.check()
  }

  /** When a core has something to do by itself. */
  #due(core: number): number {
    const { current, since } = this.cores[core]!
    if (!current) return this.scheduler.idleUntil(core)
    return Math.min(this.scheduler.sliceEnd(current.vcpu), since + current.left)
  }

  #nextEvent(): number {
    let next = Infinity
    this.cores.forEach((_, core) => { next = Math.min(next, this.#due(core)) })
    for (const life of this.lives.values()) next = Math.min(next, life.wakeAt)
    return next
  }

  /** A core's step: the current vcpu goes on or makes room, and another is picked. */
  #look(core: number): void {
    const own = this.cores[core]!
    const { current } = own
    const { now } = this
    let next: Vcpu | undefined
    if (current) {
      this.#account(core)
      // Times are fractions; what is left of one may be too little to add to a clock.
      if (current.left < 1) this.#fallAsleep(current)
      const goesOn = current.vcpu.isRunnable && now < this.scheduler.sliceEnd(current.vcpu)
      if (goesOn) return
      own.current = undefined
      next = this.scheduler.exchange(current.vcpu, core, now)
    } else next = this.scheduler.pick(core, now)
    const life = next && this.lives.get(next)
    assert((next === undefined) === (life === undefined), 'the books agree')
    own.current = life
    own.since = now
    if (!life) return
    own.runs++
    if (!this.scheduler.ranHereLast(life.vcpu, core)) own.migrations++
    if (life.wokenAt >= 0) life.delays.push(now - life.wokenAt)
    life.wokenAt = -1
  }

  #account(core: number): void {
    const own = this.cores[core]!
    const { current } = own
    if (!current) return
    const ran = this.now - own.since
    current.left -= ran
    current.ranNs += ran
    own.since = this.now
  }

  #fallAsleep(life: Life): void {
    life.vcpu.setFlag(VPF_blocked)
    life.left = life.work.runNs ?? Infinity
    life.wakeAt = this.now + (life.work.sleepNs ?? 0)
  }

  /** Every vcpu that may run runs on one core, where it may, or waits in one queue. */
  check(): void {
    const { queues } = this.scheduler
    const seen = new Set<number>()
    queues.queues.forEach((queue, slot) => {
      let length = 0
      for (let at = queue.head; at !== 0; at = queues.nextOf(at)) {
        const vcpu = queues.vcpuAt(at)
        assert(vcpu && vcpu.isRunnable, 'who waits may run')
        assert(vcpu.state.sched.queued === slot + 1, 'the books agree')
        assert(vcpu.state.running === 0, 'the books agree')
        assert(!seen.has(at), 'a vcpu waits once')
        seen.add(at)
        length++
      }
      assert(queue.length === length, 'the books agree')
    })
    this.cores.forEach(({ current }, core) => {
      const { currentVcpu } = this.machine.host.core(core)
      assert(currentVcpu === (current?.vcpu.address ?? 0), 'the books agree')
      if (!current) return
      assert(this.machine.host.core(core).online !== 0, 'who is offline runs nothing')
      const { vcpu } = current
      assert(vcpu.state.running === core + 1, 'the books agree')
      assert((queues.allowed(vcpu) >>> core & 1) === 1, 'a vcpu runs where it may')
      assert(!seen.has(vcpu.address), 'who runs does not wait')
      seen.add(vcpu.address)
    })
    for (const { vcpu } of this.lives.values()) {
      if (vcpu.domain.isDying) continue
      assert(seen.has(vcpu.address) === vcpu.isRunnable, 'no vcpu is lost')
      const { cores } = queues.poolOf(vcpu)
      assert(vcpu.state.running !== 0 || (cores >>> vcpu.state.core & 1) === 1,
        'whose timers count, a core of the pool looks after them')
    }
    this.#checkIdle(queues)
  }

  /** No core idles while one waits in its queue that could run there, unless a policy says so. */
  #checkIdle(queues: Scheduler['queues']): void {
    let idle = 0
    // One that is about to look, for it is time, has not looked in vain.
    this.cores.forEach(({ current }, core) => {
      if (!current && this.#due(core) > this.now) idle |= 1 << core
    })
    for (const { vcpu } of this.lives.values()) {
      const { queued } = vcpu.state.sched
      if (queued === 0 || !mayRunNow(queues, vcpu)) continue
      const { cores } = queues.queues[queued - 1]!
      assert((queues.allowed(vcpu) & cores & idle) === 0, 'a core idles beside one who waits')
    }
  }
}

/** Whether it waits for a core only. */
function mayRunNow(queues: Scheduler['queues'], vcpu: Vcpu): boolean {
  const { policy } = vcpu.state.sched
  const { cap, budget } = vcpu.domain.state.sched
  switch (queues.poolOf(vcpu).schedId) {
    case XEN_SCHEDULER_CREDIT2: return cap === 0 || budget > 0
    case XEN_SCHEDULER_CREDIT: return policy.credit.halted === 0
    case XEN_SCHEDULER_RTDS: return policy.rtds.left > 0
    default: return false
  }
}
