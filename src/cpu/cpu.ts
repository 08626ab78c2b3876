/**
 * One logical processor: state in, exit out.
 *
 * `run` executes guest code until something needs the caller, and says what in `exit`. Exceptions
 * of the guest are delivered here; ports, MMIO, hypercalls, CPUID, unknown MSRs and HLT leave. The
 * processor never calls upward; time and randomness are given to it.
 */
import { assert } from '../base/assert.ts'
import { Vector } from '../abi/x86/control.ts'
import { CS, RAX } from '../abi/x86/registers.ts'
import {
  CODE_MODE_LONG, CODE_MODE_STEP, type CoreControlView, coreMap, MMIO_ANSWERS, Stop,
} from './core-memory.ts'
import { TrapOverride, WATCHED_ACCESSES, Watching, watchingOf } from './debug.ts'
import { deliver } from './exceptions/deliver.ts'
import { type CpuEvent, keptEvent, notedFault } from './exceptions/event.ts'
import { Engine, type EngineOptions, type Spared } from './engine.ts'
import {
  AccessExit, GuestFault, type Processor, type ServiceExit, type Thrown,
} from './interfaces.ts'
import { InterruptsAhead } from './interrupts-ahead.ts'
import { MachineAdapter } from './interpreter/machine-adapter.ts'
import { ServiceCalls } from './interpreter/service-calls.ts'
import { TRACE_LIMIT } from './interpreter/code-cache.ts'
import { TSC_UNKNOWN } from './interpreter/time-stamp.ts'
import { REGION_LIMIT } from './jit/jit.ts'
import { MmuMemory } from './mmu/linear-memory.ts'
import {
  CPU_CONTEXT_SIZE, type CpuContextView, RFLAGS, setSystemFlags, Shadow, systemFlagsOf,
} from './state.ts'
import { mustStep, noteTraps, stopsHere } from './stepping.ts'
import { codeModeOf, pcidOf } from './system/mode.ts'

const NO_TAG = 1n
/** What the loop can count. */
const MOST_INSTRUCTIONS = 0x7fff_ffff

export type ExitKind =
  | ServiceExit | 'budget' | 'mmio-read' | 'mmio-write' | 'window' | 'kick'
  /** A locked instruction waits until no other processor runs. */
  | 'bus-lock'
  /** An event that waits meets no memory: it is delivered by the next run. */
  | 'delivery'

/** What an exit says; which fields hold depends on the kind. One object, used again. */
export interface Exit {
  kind: ExitKind
  /** Guest-physical address, port number, or MSR number. */
  address: number
  /** Bytes. */
  size: number
  /** What is written. */
  value: bigint
}

export type CpuOptions = EngineOptions

export class Cpu implements Processor {
  readonly context: CpuContextView
  readonly control: CoreControlView
  readonly memory: MmuMemory
  readonly exit: Exit = { kind: 'budget', address: 0, size: 0, value: 0n }
  readonly code: Engine['code']
  readonly ahead = new InterruptsAhead(this)
  readonly hasPorts: boolean
  readonly #options: CpuOptions
  readonly #engine: Engine
  readonly #bytes: Uint8Array
  readonly #adapter: MachineAdapter
  readonly #services: ServiceCalls
  readonly #thrown: Thrown = { fault: new GuestFault(), accessExit: new AccessExit() }
  /** What the loop was told and what it executed before. */
  #given = 0
  #executed = 0
  /** The kind of exit whose answer is awaited. */
  #awaiting: ExitKind | undefined
  #inputAnswered = false

  constructor(options: CpuOptions) {
    this.#options = options
    this.hasPorts = options.hasPorts ?? true
    this.#engine = new Engine(options, (record) => this.#services.run(record))
    const { core, context, control, exports, code } = this.#engine
    this.context = context
    this.control = control
    this.code = code
    this.#bytes = new Uint8Array(core.buffer)
    const { fault, accessExit } = this.#thrown
    this.memory = new MmuMemory(options.machine, exports, context, control, fault, accessExit)
    this.#adapter = new MachineAdapter(this, core.buffer)
    this.#services = new ServiceCalls(this, this.#adapter, core.buffer, code, this.#thrown)
    this.modeChanged()
  }

  // What the caller may ask.

  /** Runs about `budget` instructions at most, or if `exactly` no more than that. `exit` holds the
   * particulars of what is returned.
   *
   * The loop and regions look at the budget now and then; to run exactly, they are told less by
   * what they may execute until then, and the rest is done step by step. */
  run(budget: number, exactly = false): ExitKind {
    assert(!this.#awaiting, `the ${this.#awaiting} exit is answered before the next run`)
    const { control } = this
    const end = this.#executed + budget
    control.regionReserve = exactly ? REGION_LIMIT : 0
    const reserve = exactly ? TRACE_LIMIT : 0
    let stuck = false
    this.#services.exitRequested = false
    this.#engine.poll()
    for (;;) {
      const failed = this.#deliverWaiting()
      if (failed) return this.#leave(failed)
      if (control.windowWanted && this.canTakeInterrupt()) {
        if (!this.ahead.take()) return this.#leave('window')
        continue
      }
      const before = this.#executed
      const left = end - before - reserve
      if (left + reserve <= 0) return this.#leave('budget')
      const singly = mustStep(this)
      const stop: number = singly || stuck || left <= 0 ? this.#step(singly) : this.#enter(left)
      stuck = stop === Stop.BUDGET && this.#executed === before
      // The last instruction was a jump to what cannot be fetched: that will be found again.
      if (exactly && stop === Stop.FAULT && this.#executed >= end) return this.#leave('budget')
      const kind = this.#handleStop(stop)
      if (kind) return this.#leave(kind)
    }
  }

  /** How many instructions were executed since the processor was made: those that completed, rounds
   * of repeated string instructions as repeat.ts says, and each exception. Holds between runs, and
   * while `tsc` is asked or a service works. */
  get executed(): number {
    return this.#executed + this.#given - this.control.budget
  }

  /** Whether other processors run meanwhile, so that some instructions end in a 'bus-lock' exit. */
  shareBus(shared: boolean): void { this.control.busShared = shared ? 1 : 0 }

  /** Executes one instruction, or delivers what it raised; returns an exit when there is one. */
  step(): ExitKind | undefined {
    const kind = this.#handleStop(this.#step(true)) ?? this.#deliverWaiting()
    return kind && this.#leave(kind)
  }

  /** Answers an 'in' or 'mmio-read' exit with what was read, and acknowledges a 'mmio-write'. */
  complete(value: bigint): void {
    const kind = this.#awaiting
    this.#awaiting = undefined
    if (kind === 'in') {
      if (this.#inputAnswered) {
        this.#answer(value)
        return
      }
      const width = this.exit.size * 8
      this.#adapter.setGpr(RAX, width, value & (1n << BigInt(width)) - 1n)
      return
    }
    assert(kind === 'mmio-read' || kind === 'mmio-write', 'there is something to answer')
    this.#answer(value)
  }

  /** After a 'mmio-read' or 'mmio-write' exit: there is memory now, so the access is made again. */
  retry(): void { this.#awaiting = undefined }

  /** Interrupts are enabled, and no instruction must come first. */
  canTakeInterrupt(): boolean {
    const { context: { interruptShadow, pendingEvent }, control } = this
    return (systemFlagsOf(this.context) & RFLAGS.IF) !== 0
      && (interruptShadow | pendingEvent | control.replayCount) === 0
  }

  injectInterrupt(vector: number): void {
    const inServices = this.#options.preferServices ?? false
    if (!inServices && this.#engine.exports.deliver(vector, 0, 0, 0)) return
    this.#deliver({ vector, kind: 'external', hasErrorCode: false })
  }

  injectNmi(): void {
    this.#deliver({ vector: Vector.NMI, kind: 'nmi', hasErrorCode: false })
  }

  /** In answer to an exit that an instruction asked for (RDMSR, VMMCALL), its own fault. */
  injectException(vector: number, errorCode?: number): void {
    if (this.#services.exitRequested) this.context.rip = this.#adapter.ip
    this.#services.exitRequested = false
    this.context.pendingDebug = 0
    this.#deliver(
      { vector, kind: 'fault', hasErrorCode: errorCode !== undefined, errorCode: errorCode ?? 0 })
  }

  /** `run` returns 'window' as soon as canTakeInterrupt() holds. */
  requestWindow(on: boolean): void { this.control.windowWanted = on ? 1 : 0 }

  /** Takes over another vcpu's state. What is known of its spaces is kept, unless `anew`. */
  loadContext(bytes: Uint8Array, owner = 0, anew = true): void {
    this.#bytes.set(bytes.subarray(0, CPU_CONTEXT_SIZE), coreMap.context)
    this.control.replayCount = 0
    this.#awaiting = undefined
    this.#services.exitRequested = false
    this.memory.switchOwner(owner, pcidOf(this.context))
    if (anew) this.memory.flushAll()
    this.modeChanged()
  }

  saveContext(bytes: Uint8Array): void {
    bytes.set(this.#bytes.subarray(coreMap.context, coreMap.context + CPU_CONTEXT_SIZE))
  }

  /** Selects the memory of the next vcpu's domain: machine address of its p2m directory. */
  setMemory(p2mDirectory: number): void { this.control.p2m = p2mDirectory }

  /** Forgets what is known of the owner's address spaces. */
  flushTlb(): void {
    this.memory.flushAll()
    this.#forgetCodePage()
  }

  /** Forgets decoded code; for frames that changed behind the processor's back. */
  flushCode(): void { this.#engine.flushCode() }

  /** Gives back memory; between runs. */
  giveBack(what: Spared): void { this.#engine.giveBack(what) }

  /** What the compiler of hot code did so far. */
  get jitCounts(): Engine['counts'] { return this.#engine.counts }

  /** The same for the code of one frame. */
  forgetCode(machine: number): void {
    this.code.invalidate(machine)
  }

  /** Stores to the frame at a machine address are noticed again, and others told of those that may
   * not have been. */
  forgetStores(machine: number): void { this.#engine.exports.dropStores(machine | 0) }

  // Processor: what services and exception delivery ask.

  fault(vector: number, errorCode?: number): never {
    const { fault } = this.#thrown
    fault.vector = vector
    fault.errorCode = errorCode ?? 0
    fault.hasErrorCode = errorCode !== undefined
    throw fault
  }

  modeChanged(): void {
    const { context, control } = this
    const mode = codeModeOf(context)
    control.codeMode = mode | control.codeMode & CODE_MODE_STEP
    control.codeBase = mode === CODE_MODE_LONG ? 0n : context.segments.item(CS).base
    const watching = watchingOf(context)
    if (watching & ~control.watching & WATCHED_ACCESSES) this.memory.flushAll()
    control.watching = watching
    this.#engine.exports.selectTables()
    this.#forgetCodePage()
  }

  interruptsEnabled(): void {
    if (this.control.windowWanted) this.#services.redirected = true
  }

  tsc(): bigint { return BigInt.asUintN(64, this.#engine.exports['part.tsc']()) }

  random(): number { return this.#options.random() }

  readPort(port: number, size: number): bigint {
    const { control } = this
    if (control.replayIndex < control.replayCount) {
      return BigInt.asUintN(size * 8, control.replayValues.get(control.replayIndex++))
    }
    this.#inputAnswered = true
    this.#setExit('in', size, port, 0n)
    control.stop = Stop.SERVICE
    throw this.#thrown.accessExit
  }

  requestExit(kind: ServiceExit, size: number, address: number, value: bigint): void {
    this.#inputAnswered = false
    this.#setExit(kind, size, address, value)
    this.#services.exitRequested = true
  }

  // The run loop's parts.

  #leave(kind: ExitKind): ExitKind {
    this.exit.kind = kind
    if (kind === 'in' || kind === 'mmio-read' || kind === 'mmio-write') this.#awaiting = kind
    if (kind === 'halt') this.context.interruptShadow = 0
    return kind
  }

  #enter(budget: number): number {
    const { control } = this
    this.#given = Math.min(budget, MOST_INSTRUCTIONS)
    control.budget = this.#given
    control.tscUntil = TSC_UNKNOWN
    this.#engine.exports.run()
    this.#executed += this.#given - control.budget
    this.#given = control.budget
    return control.stop
  }

  /** Carries out one instruction, and notes the traps that it ends in; `singly`, one round of a
   * repeated one. */
  #step(singly: boolean): number {
    const { control, context } = this
    const shadow = context.interruptShadow
    const flags = systemFlagsOf(context)
    const { rip } = context
    if (!(flags & RFLAGS.RF) && shadow !== Shadow.MOV_SS && stopsHere(this)) return Stop.FAULT
    // RF and shadows hold for one instruction.
    setSystemFlags(context, flags & ~RFLAGS.RF)
    context.interruptShadow = 0
    control.roundByRound = singly ? 1 : 0
    control.codeMode |= CODE_MODE_STEP
    control.replayIndex = 0
    control.debugHits = 0
    control.trapOverride = TrapOverride.NONE
    const stop = this.#enter(1)
    control.codeMode &= ~CODE_MODE_STEP
    control.roundByRound = 0
    const done = stop === Stop.STEP || stop === Stop.BUDGET || stop === Stop.SERVICE
    const ended = done && (stop !== Stop.SERVICE || this.#services.exitRequested)
    if (!ended) context.interruptShadow = shadow
    // A repeated instruction is stopped at once.
    const repeats = ended && context.rip === rip && control.watching & Watching.EXECUTE
    if (repeats) setSystemFlags(context, systemFlagsOf(context) | RFLAGS.RF)
    if (ended) noteTraps(this, (flags & RFLAGS.TF) !== 0)
    else setSystemFlags(context, systemFlagsOf(context) | flags & RFLAGS.RF)
    if (done || stop === Stop.FAULT) control.replayCount = 0
    return stop
  }

  /** Delivers the event that waits, or the debug trap unless it must wait longer. */
  #deliverWaiting(): ExitKind | undefined {
    const { context } = this
    if (context.pendingEvent !== 0) return this.#deliver(keptEvent(context))
    const dr6 = context.pendingDebug
    if (dr6 === 0 || context.interruptShadow === Shadow.MOV_SS) return undefined
    context.pendingDebug = 0
    return this.#deliver({ vector: Vector.DB, kind: 'trap', hasErrorCode: false, dr6 })
  }

  /** Deals with why the loop stopped; returns the exit when the caller must. */
  #handleStop(stop: number): ExitKind | undefined {
    switch (stop) {
      case Stop.FAULT:
        this.#executed += 1
        this.context.interruptShadow = 0
        return this.#deliver(notedFault(this.control))
      case Stop.MMIO_READ: return this.#leaveForAccess('mmio-read')
      case Stop.MMIO_WRITE: return this.#leaveForAccess('mmio-write')
      case Stop.SERVICE:
        if (this.exit.kind === 'halt' && this.context.pendingDebug) {
          this.context.halted = 0
          return undefined
        }
        return this.exit.kind
      case Stop.DEFER: return this.#handleStop(this.#step(true))
      case Stop.POLL: return 'kick'
      case Stop.BUS_LOCK: return 'bus-lock'
      default: return undefined
    }
  }

  #leaveForAccess(kind: 'mmio-read' | 'mmio-write'): ExitKind {
    const { accessSize, accessAddress, accessValue } = this.control
    return this.#setExit(kind, accessSize, Number(accessAddress), accessValue)
  }

  #deliver(event: CpuEvent): ExitKind | undefined {
    const outcome = deliver(this, event)
    return outcome === 'delivered' ? undefined
      : this.#setExit(outcome, 0, this.memory.nowhere, 0n)
  }

  /** No instruction makes as many accesses to MMIO as there is room for answers. */
  #answer(value: bigint): void {
    const { control } = this
    assert(control.replayCount < MMIO_ANSWERS, 'there is room for an answer')
    control.replayValues.set(control.replayCount, value)
    control.replayCount += 1
  }

  #setExit(kind: ExitKind, size: number, address: number, value: bigint): ExitKind {
    this.exit.kind = kind
    this.exit.size = size
    this.exit.address = address
    this.exit.value = value
    return kind
  }

  #forgetCodePage(): void {
    this.control.codePageTag = NO_TAG
    this.#services.redirected = true
  }
}
