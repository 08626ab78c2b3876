/**
 * A physical CPU: runs vcpus one at a time, and executes what they ask of the hypervisor.
 *
 * One `step` looks for news, enters the guest once, and deals with the exit. Whatever may concern a
 * core (a wake-up, a pause, work for its vcpu) kicks it: a count on which it sleeps when idle, and
 * a word in machine memory that ends a run. The word is cleared before the news is looked for, so
 * none is lost.
 *
 * A core is *inside* (host/presence.ts) while its guest runs and while a hypercall reaches the
 * guest's memory: when it enters it finds out what has become untrue of what it has translated and
 * decoded.
 *
 * The registers stay in the processor when a vcpu merely blocks; they are saved all the same, so
 * that others can read them, and loaded again only if somebody else ran here or changed them. What
 * is known of a vcpu's address spaces is kept for longer: see residents.ts.
 */
import { ringCount, sleep } from '../base/shared/doorbell.ts'
import { heldLocks, showHeldLocks } from '../base/shared/lock.ts'
import { Vector } from '../abi/x86/control.ts'
import type { ExitKind } from '../cpu/cpu.ts'
import { P2M_POD } from '../cpu/p2m-format.ts'
import { CPU_CONTEXT_SIZE } from '../cpu/state.ts'
import { type GuestType, type GuestVcpu, WORK_STARTUP } from '../guest/guest-type.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import {
  VcpuState, VPF_blocked, VPF_polling, VPF_timers, VPF_waits, WORK_CONTEXT, WORK_NMI,
} from '../hypervisor/domain/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { CoreState, MAX_CORES } from '../hypervisor/host/state.ts'
import type { Dispatcher } from '../hypervisor/hypercall/dispatch.ts'
import { type Entrance, nowhere, type Translate } from '../hypervisor/memory/guest-memory.ts'
import { p2mType } from '../hypervisor/memory/p2m.ts'
import { populateNow } from '../hypervisor/memory/demand.ts'
import type { CoreScheduler } from '../hypervisor/sched/policy.ts'
import { Scheduler } from '../hypervisor/sched/scheduler.ts'
import { restingRunstate, Timekeeper } from '../hypervisor/time/timekeeper.ts'
import { RUNSTATE_running } from '../abi/xen/vcpu.ts'
import { Budget, type RunBudget } from './budget.ts'
import { answerCpuid, dispatchExit } from './exits.ts'
import { HypercallDoor } from './hypercall.ts'
import { deliverInterrupts, holdInterrupts, settleInterrupts } from './interrupts.ts'
import type { CoreProcessor } from './processor.ts'
import { type Resident, Residents } from './residents.ts'
import { Rest, type Spare } from './rest.ts'
import { OtherTimers } from './timers.ts'

/** No core sleeps longer without looking around. */
const LONGEST_SLEEP_MS = 1000

export interface CoreParts {
  readonly index: number
  readonly host: Host
  readonly dispatcher: Dispatcher
  readonly cpu: CoreProcessor
  readonly guests: GuestType
  /** How long all vcpus run; unless given, each for as long as it is found to take. */
  readonly budget?: RunBudget
  /** Unless given, nothing is given back. */
  readonly spare?: Spare
}

export class Core {
  readonly #index: number
  readonly #host: Host
  readonly #cpu: CoreProcessor
  readonly #guests: GuestType
  readonly #scheduler: CoreScheduler
  readonly #time: Timekeeper
  readonly #door: HypercallDoor
  readonly #timers: OtherTimers
  readonly #rest: Rest | undefined
  readonly #residents: Residents
  readonly #kickCell: number
  readonly #doorbell: number
  readonly #translate: Translate = (linear, write) => this.#reach(linear, write)
  #current: GuestVcpu | undefined
  /** Whose registers are in the processor. */
  #loaded: Vcpu | undefined
  /** Of the vcpu that runs here now or did last. */
  #resident!: Resident
  #memory = 0
  /** Notes on frames that were read. */
  #notes = 0
  #isInside = false
  /** By core, the stay whose end is awaited, as it may store to what was decoded here. */
  readonly #asked = new Int32Array(MAX_CORES)
  readonly #entrance: Entrance = {
    enter: () => this.#enter(), leave: () => this.#leave(),
  }

  constructor(parts: CoreParts) {
    this.#index = parts.index
    this.#host = parts.host
    this.#cpu = parts.cpu
    this.#guests = parts.guests
    this.#residents = new Residents(() => parts.budget ?? new Budget())
    this.#scheduler = Scheduler.of(parts.host)
    this.#time = Timekeeper.of(parts.host)
    this.#door = new HypercallDoor(parts.dispatcher)
    this.#timers = new OtherTimers(parts.host, parts.guests, parts.index)
    this.#rest = parts.spare && new Rest(parts.spare)
    const core = parts.host.core(parts.index)
    this.#kickCell = core.kickWord >>> 2
    this.#doorbell = core.base + CoreState.offsets.doorbell
    showHeldLocks(parts.host.hypervisor.cells, core.base + CoreState.offsets.heldLocks)
  }

  /** The vcpu that runs here now. */
  get current(): Vcpu | undefined {
    return this.#current?.vcpu
  }

  /** Runs until `stopped` says so, which is asked again when the core is kicked; for the worker. */
  run(stopped: () => boolean): void {
    while (!stopped()) {
      const seen = ringCount(this.#host.hypervisor.cells, this.#doorbell)
      if (!this.step()) this.#idle(seen)
    }
    this.letGo()
  }

  /** Looks for news and enters a guest once; false when nobody wants this core. */
  step(): boolean {
    const { cells } = this.#host.machine
    if (Atomics.load(cells, this.#kickCell) !== 0) {
      Atomics.store(cells, this.#kickCell, 0)
      this.#timers.forget()
    }
    const now = this.#host.clock.now()
    this.#timers.expire(now, this.#current?.vcpu)
    const guest = this.#guestAt(now)
    if (!guest) return false
    // Not even with VPF_timers, which another core may just have set: it is prepared once more.
    if (guest.vcpu.state.flags !== 0 || !guest.vcpu.isRunnable) return true
    try {
      this.#runGuest(guest, now)
    } catch (fault) {
      this.#contain(guest, fault)
    }
    return true
  }

  /** Lets go of the current vcpu, which is runnable if it was. */
  letGo(): void {
    if (!this.#current) return
    const { vcpu } = this.#current
    this.#scheduler.stopped(vcpu, this.#index, this.#putDown(this.#current))
  }

  /** Host time at which an idle core must look up. */
  get idleDeadline(): number {
    return Math.min(this.#timers.deadline(undefined), this.#scheduler.idleUntil(this.#index))
  }

  /** Who runs now: the current vcpu if it may go on, or whom the scheduler has take its place. */
  #guestAt(now: number): GuestVcpu | undefined {
    const current = this.#current
    if (!current) return this.#take(this.#scheduler.pick(this.#index, now), now)
    const { vcpu } = current
    this.#prepare(current, now)
    if (vcpu.isRunnable && now < this.#scheduler.sliceEnd(vcpu)) return current
    const stopped = this.#putDown(current)
    return this.#take(this.#scheduler.exchange(vcpu, this.#index, stopped), stopped)
  }

  #take(next: Vcpu | undefined, now: number): GuestVcpu | undefined {
    if (!next) return undefined
    const guest = this.#guests.vcpuOf(next)
    this.#switchIn(guest, now)
    this.#prepare(guest, now)
    return guest
  }

  /** What comes before the guest: its timers, the work asked for, and the end of a wait. */
  #prepare(guest: GuestVcpu, now: number): void {
    const { vcpu } = guest
    if (now >= this.#time.nextDeadline(vcpu)) {
      // To be kicked by itself would end the guest's run before it begins.
      vcpu.beginWork()
      this.#time.expire(vcpu, now)
    }
    if (now >= guest.deadline) guest.expire(now)
    if (vcpu.state.work !== 0) this.#work(guest, vcpu.takeWork())
    vcpu.replaceFlag(VPF_timers, VPF_blocked)
    const { flags } = vcpu.state
    if ((flags & VPF_waits) === 0) return
    // Work that comes from now on finds that the vcpu waits, and wakes it.
    if (this.#isInterrupted(guest, flags) || vcpu.state.work !== 0) vcpu.clearFlag(VPF_waits)
  }

  /** Whether an interrupt ends a wait: SCHEDOP_poll's only if the processor takes it. */
  #isInterrupted(guest: GuestVcpu, flags: number): boolean {
    if (guest.pendingVector() < 0) return false
    return (flags & VPF_polling) === 0 || this.#cpu.canTakeInterrupt()
  }

  #work(guest: GuestVcpu, bits: number): void {
    const { vcpu } = guest
    const anew = (bits & WORK_STARTUP) !== 0 && guest.takeStartup(contextOf(vcpu))
    if (anew || bits & WORK_CONTEXT) this.#load(guest, true)
    if (bits & WORK_NMI) this.#cpu.context.nmiPending = 1
    if (anew || bits & WORK_NMI) vcpu.clearFlag(VPF_waits | VPF_timers)
    guest.work(bits)
  }

  #runGuest(guest: GuestVcpu, now: number): void {
    const { vcpu } = guest
    this.#awaitAsked()
    this.#enter()
    deliverInterrupts(this.#cpu, guest)
    const deadline = Math.min(
      this.#time.nextDeadline(vcpu), guest.deadline, this.#scheduler.sliceEnd(vcpu),
      this.#timers.deadline(vcpu))
    const { budget } = this.#resident
    const instructions = budget.until(deadline - now)
    let kind = this.#execute(guest, instructions)
    settleInterrupts(this.#cpu, guest)
    this.#leave()
    if (kind === 'budget') budget.learn(instructions, this.#host.clock.now() - now)
    if (kind === 'bus-lock') kind = this.#runAlone()
    if (dispatchExit(kind, this.#cpu, guest, this.#door)) return
    this.#enter()
    this.#cpu.injectException(Vector.GP, 0)
    this.#leave()
  }

  /** Has the guest run until something concerns more than its processor: CPUID, which programs
   * execute some fifty times as they start, is answered in between. */
  #execute(guest: GuestVcpu, instructions: number): ExitKind {
    const cpu = this.#cpu
    const { exactly } = this.#resident.budget
    const end = cpu.executed + instructions
    for (;;) {
      const kind = cpu.run(end - cpu.executed, exactly)
      if (kind !== 'cpuid') return kind
      answerCpuid(cpu, guest)
    }
  }

  /** The guest has a locked instruction whose accesses are not one. */
  #runAlone(): ExitKind {
    const { presence } = this.#host
    presence.lockBus(this.#index)
    this.#enter()
    this.#cpu.shareBus(false)
    holdInterrupts(this.#cpu)
    const kind = this.#cpu.run(1, this.#resident.budget.exactly)
    this.#cpu.shareBus(true)
    this.#leave()
    presence.unlockBus(this.#index)
    return kind
  }

  /** From now on translations and decoded code are used, which are true. */
  #enter(): void {
    this.#host.presence.enter(this.#index)
    this.#isInside = true
    this.#readNotes()
    const generation = this.#loaded!.domain.state.p2mGeneration
    if (generation === this.#resident.p2mGeneration) return
    this.#resident.p2mGeneration = generation
    this.#cpu.flushTlb()
  }

  /** Others may take away what was used; they know of all that was stored. */
  #leave(): void {
    this.#readNotes()
    this.#isInside = false
    this.#host.presence.leave(this.#index)
  }

  #readNotes(): void {
    this.#notes = this.#host.frameUses.read(this.#notes, this.#index, this.#cpu)
  }

  /** Code has been decoded from a frame to which others may store. */
  askOthers(mfn: number): void {
    const { frameUses, presence } = this.#host
    const cores = frameUses.ask(mfn, this.#index)
    for (let core = 0; cores >>> core !== 0; core++) {
      if ((cores >>> core & 1) === 0) continue
      this.#asked[core] = presence.stay(core)
      if (this.#asked[core] === 0) continue
      this.#host.kickCore(core)
      // What it decodes now may be of any moment: it looks again before it goes on with it.
      this.#host.kickCore(this.#index)
    }
  }

  /** Waits until those that were asked have told of what they stored until then. */
  #awaitAsked(): void {
    for (let core = 0; core < this.#host.state.coreCount; core++) {
      if (this.#asked[core] === 0) continue
      this.#host.presence.awaitEnd(core, this.#asked[core]!)
      this.#asked[core] = 0
    }
  }

  #switchIn(guest: GuestVcpu, now: number): void {
    const { vcpu } = guest
    this.#current = guest
    this.#resident = this.#residents.of(vcpu)
    const isKnown = this.#resident.serial === vcpu.state.serial
      && this.#scheduler.ranHereLast(vcpu, this.#index) && (vcpu.state.work & WORK_CONTEXT) === 0
    if (isKnown && this.#loaded === vcpu) guest.enter(this.#cpu.context)
    else this.#load(guest, !isKnown)
    this.#time.changeRunstate(vcpu, RUNSTATE_running, now)
    this.#time.showRunstate(vcpu)
  }

  /** Puts the vcpu's saved registers into the processor, which knows of its memory still what was
   * true when it left, unless it is met `anew`. */
  #load(guest: GuestVcpu, anew: boolean): void {
    const { vcpu } = guest
    const cpu = this.#cpu
    const directory = vcpu.domain.state.p2mDirectory * 4096
    if (directory !== this.#memory) {
      this.#memory = directory
      cpu.setMemory(directory)
    }
    const resident = this.#resident
    if (anew) resident.p2mGeneration = vcpu.domain.state.p2mGeneration
    resident.serial = vcpu.state.serial
    cpu.loadContext(this.#saved(vcpu), resident.owner, anew)
    const offset = this.#time.stateOf(vcpu).tscOffset
    cpu.context.tscOffset = BigInt.asUintN(64, BigInt(Math.floor(offset)))
    vcpu.setTranslate(this.#translate, this.#entrance)
    if (this.#loaded !== vcpu) this.#loaded?.setTranslate(nowhere)
    this.#loaded = vcpu
    guest.enter(cpu.context)
  }

  /** The current vcpu is so no more, and others may see its registers; when that was. */
  #putDown(guest: GuestVcpu): number {
    const { vcpu } = guest
    const now = this.#host.clock.now()
    this.#current = undefined
    guest.leave()
    this.#time.changeRunstate(vcpu, restingRunstate(vcpu), now)
    this.#time.showRunstate(vcpu)
    const offset = Number(BigInt.asIntN(64, this.#cpu.context.tscOffset))
    if (offset !== this.#time.stateOf(vcpu).tscOffset) this.#time.setTscOffset(vcpu, offset)
    this.#cpu.saveContext(this.#saved(vcpu))
    this.#timers.consider(guest)
    return now
  }

  /** Where an argument of the loaded vcpu is; what is populated on demand is then there. */
  #reach(linear: number, write: boolean): number {
    const { memory } = this.#cpu
    const { domain } = this.#loaded!
    const address = BigInt.asUintN(64, BigInt(linear))
    const place = memory.reach(address, write, false)
    const gfn = Math.floor(memory.nowhere / 4096)
    if (place >= 0 || p2mType(domain.p2m.get(gfn)) !== P2M_POD) return place
    // Nobody inside waits for a lock.
    this.#leave()
    populateNow(domain, gfn)
    this.#enter()
    return memory.reach(address, write, false)
  }

  #saved(vcpu: Vcpu): Uint8Array {
    const at = vcpu.address + VcpuState.offsets.context
    return this.#host.hypervisor.octets.subarray(at, at + CPU_CONTEXT_SIZE)
  }

  /** Our own mistake while a guest ran ends that guest only, unless it left a lock behind. */
  #contain(guest: GuestVcpu, fault: unknown): void {
    if (heldLocks() > 0) throw fault
    if (this.#isInside) this.#leave()
    const reason = fault instanceof Error ? fault.stack ?? fault.message : String(fault)
    guest.vcpu.domain.crash(`core ${this.#index}: ${reason}`)
    // Letting go shows the guest its runstate, which takes a vcpu that is loaded.
    this.letGo()
    this.#loaded?.setTranslate(nowhere)
    this.#loaded = undefined
    this.#resident.serial = 0
  }

  #idle(seen: number): void {
    const core = this.#host.core(this.#index)
    this.#rest?.look(this.#host.clock.now(), core.idleTimeNs)
    const before = this.#host.clock.now()
    const waitMs = Math.min((this.idleDeadline - before) / 1e6, LONGEST_SLEEP_MS)
    if (waitMs > 0) sleep(this.#host.hypervisor.cells, this.#doorbell, seen, waitMs)
    core.idleTimeNs += this.#host.clock.now() - before
  }
}
