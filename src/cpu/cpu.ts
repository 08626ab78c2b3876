/**
 * One logical processor: state in, exit out.
 *
 * `run` executes guest code until something needs the caller, and says what in `exit`. Exceptions
 * of the guest are delivered here; ports, MMIO, hypercalls, CPUID, unknown MSRs and HLT leave. The
 * processor never calls upward; time and randomness are given to it.
 */
import { DR6_BS } from '../abi/x86/control.ts'
import { assert } from '../base/assert.ts'
import { makeDecoder } from '../isa/decode/decoder.ts'
import { float, floatFlags } from '../isa/float/float.ts'
import { BEFORE_COMPUTING } from '../isa/float/round.ts'
import { allInstructions } from '../isa/instructions/all.ts'
import type { Instruction } from '../isa/operand.ts'
import { pureByNumber } from '../isa/pure.ts'
import {
  CODE_MODE_16, CODE_MODE_32, CODE_MODE_LONG, CODE_MODE_STACK32, CODE_MODE_STEP, CoreControl,
  type CoreControlView, coreMap, MMIO_ANSWERS, Stop,
} from './core-memory.ts'
import {
  BREAKPOINTS, instructionHits, TrapOverride, WATCHED_ACCESSES, Watching, watchingOf,
} from './debug.ts'
import { deliver } from './exceptions/deliver.ts'
import type { CpuEvent } from './exceptions/event.ts'
import {
  AccessExit, GuestFault, type Processor, type ServiceExit,
} from './interfaces.ts'
import { FLOAT_DOUBLE, FLOAT_OP_MASK, floatOps } from './fpu/float-number.ts'
import { CodeCache } from './interpreter/code-cache.ts'
import { buildEngine, buildHandlerModule, type EngineImports } from './interpreter/engine.ts'
import { hotInstructions } from './interpreter/hot-instructions.ts'
import { type InlineHandler, ServiceResult } from './interpreter/loop.ts'
import { MachineAdapter } from './interpreter/machine-adapter.ts'
import { field, Special } from './interpreter/record.ts'
import type { InstructionShape } from './interpreter/parts.ts'
import { type CodeModeShape, keyOf, shapeOf } from './interpreter/shape.ts'
import { MmuMemory } from './mmu/linear-memory.ts'
import type { MmuExports } from './mmu/mmu.ts'
import {
  CPU_CONTEXT_SIZE, CpuContext, type CpuContextView, flagsOf, RFLAGS, SEGMENT_DB, SEGMENT_L,
  setSystemFlags, systemFlagsOf,
} from './state.ts'
import { allServices } from './system/services.ts'

const PAGE_BYTES = 65536
const CR4_SMAP = 1 << 21
const MXCSR_MASKS = 0x1f80
const EFER_LMA = 1 << 10
const PF = 14
const DB = 1
/** Interrupt shadows: STI's, and that of a load of SS, which also holds off debug exceptions. */
const MOV_SS = 2
const UD = 6
const NO_TAG = 1n
const CS = 1
const SS = 2

export type ExitKind =
  | ServiceExit | 'budget' | 'mmio-read' | 'mmio-write' | 'window' | 'kick'

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

export interface CpuOptions {
  /** The machine's memory: shared, initial equal to maximum. */
  readonly machine: WebAssembly.Memory
  /** Machine address of a word that is not zero while the core should look up. */
  readonly doorbell: number
  /** The host's time stamp counter in ticks. */
  tsc(): bigint
  /** 32 random bits. */
  random(): number
  /** Every instruction gets a body of its own with constants for operands: how compiled code reads
   * the semantics. Slow, for tests. */
  readonly bakeOperands?: boolean
}

interface EngineExports extends MmuExports {
  run(): void
}

const decode = makeDecoder(allInstructions)


export class Cpu implements Processor {
  readonly context: CpuContextView
  readonly control: CoreControlView
  readonly memory: MmuMemory
  readonly exit: Exit = { kind: 'budget', address: 0, size: 0, value: 0n }
  readonly code: CodeCache
  readonly #options: CpuOptions
  readonly #core: WebAssembly.Memory
  readonly #bytes: Uint8Array
  readonly #exports: EngineExports
  readonly #handlers: WebAssembly.Table
  readonly #handlerNumbers = new Map<number, number>()
  readonly #firstHandler: number
  readonly #adapter: MachineAdapter
  readonly #fault = new GuestFault()
  readonly #accessExit = new AccessExit()
  #windowWanted = false
  #exitRequested = false
  #redirected = false
  #floatCollected = 0
  /** The kind of exit whose answer is awaited. */
  #awaiting: ExitKind | undefined
  #inputAnswered = false

  constructor(options: CpuOptions) {
    this.#options = options
    const corePages = Math.ceil(coreMap.end / PAGE_BYTES)
    this.#core = new WebAssembly.Memory({ initial: corePages, maximum: corePages })
    this.#bytes = new Uint8Array(this.#core.buffer)
    this.context = CpuContext.on(this.#core.buffer, coreMap.context)
    this.control = CoreControl.on(this.#core.buffer, coreMap.control)
    this.#handlers = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
    const handlers = this.#inlineHandlers(hotInstructions(decode))
    this.#firstHandler = Special.FIRST_FREE + handlers.length
    const module = new WebAssembly.Module(buildEngine(this.#sizes, options.doorbell, handlers))
    const instance = new WebAssembly.Instance(module, {
      env: {
        core: this.#core, machine: options.machine, handlers: this.#handlers, ...this.#imports(),
      },
    })
    this.#exports = instance.exports as unknown as EngineExports
    this.memory = new MmuMemory(
      this.#exports, this.context, this.control, this.#fault, this.#accessExit)
    this.#adapter = new MachineAdapter(this, this.#core.buffer)
    this.control.emptyTag = emptyTagFrom(options.random())
    this.#exports.resetTlb()
    this.code = new CodeCache({
      core: this.#core.buffer,
      machine: new Uint8Array(options.machine.buffer),
      decode,
      handlerOf: (instruction, mode, offset) => this.#handlerOf(instruction, mode, offset),
      execTranslate: (linear) => this.#execTranslate(linear),
      markCode: (machine) => this.#exports.markCode(machine),
      clearCode: (machine) => this.#exports.clearCode(machine),
      linear: () => this.context.rip + this.control.codeBase & 0xffff_ffff_ffff_ffffn,
    })
    this.modeChanged()
  }

  // What the caller may ask.

  /** Runs about `budget` instructions at most. `exit` holds the particulars of what is returned. */
  run(budget: number): ExitKind {
    assert(!this.#awaiting, `the ${this.#awaiting} exit is answered before the next run`)
    let left = budget
    this.#exitRequested = false
    for (;;) {
      if (this.context.pendingDebug) {
        const kind = this.#deliverTrap()
        if (kind) return this.#leave(kind)
      }
      if (this.#windowWanted && this.canTakeInterrupt()) return this.#leave('window')
      if (left <= 0) return this.#leave('budget')
      const single = this.#mustStep()
      const stop = single ? this.#step() : this.#enter(left)
      left -= single ? 1 : left - this.control.budget
      const kind = this.#handleStop(stop)
      if (kind) return this.#leave(kind)
    }
  }

  /** Executes one instruction, or delivers what it raised; returns an exit when there is one. */
  step(): ExitKind | undefined {
    const kind = this.#handleStop(this.#step()) ?? this.#deliverTrap()
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
      this.#adapter.setGpr(0, width, value & (1n << BigInt(width)) - 1n)
      return
    }
    assert(kind === 'mmio-read' || kind === 'mmio-write', 'there is something to answer')
    this.#answer(value)
  }

  /** Interrupts are enabled, and no instruction must come first. */
  canTakeInterrupt(): boolean {
    return (Number(this.context.systemFlags) & RFLAGS.IF) !== 0
      && this.context.interruptShadow === 0 && this.control.replayCount === 0
  }

  injectInterrupt(vector: number): void {
    this.#deliver({ vector, kind: 'external', hasErrorCode: false })
  }

  injectNmi(): void {
    this.#deliver({ vector: 2, kind: 'nmi', hasErrorCode: false })
  }

  /** In answer to an exit that an instruction asked for (RDMSR, VMMCALL), its own fault. */
  injectException(vector: number, errorCode?: number): void {
    if (this.#exitRequested) this.context.rip = this.#adapter.ip
    this.#exitRequested = false
    this.context.pendingDebug = 0
    this.#deliver(errorCode === undefined
      ? { vector, kind: 'fault', hasErrorCode: false }
      : { vector, kind: 'fault', hasErrorCode: true, errorCode })
  }

  /** `run` returns 'window' as soon as canTakeInterrupt() holds. */
  requestWindow(on: boolean): void {
    this.#windowWanted = on
  }

  /** Takes over another vcpu's state. */
  loadContext(bytes: Uint8Array): void {
    this.#bytes.set(bytes.subarray(0, CPU_CONTEXT_SIZE), coreMap.context)
    this.control.replayCount = 0
    this.#awaiting = undefined
    this.#exitRequested = false
    this.memory.flushAll()
    this.modeChanged()
  }

  saveContext(bytes: Uint8Array): void {
    bytes.set(this.#bytes.subarray(coreMap.context, coreMap.context + CPU_CONTEXT_SIZE))
  }

  /** Selects the guest-physical address space: machine address of its p2m directory. */
  setMemory(p2mDirectory: number): void {
    this.control.p2m = p2mDirectory
    this.flushTlb()
  }

  flushTlb(): void {
    this.memory.flushAll()
    this.#forgetCodePage()
  }

  /** Forgets decoded code; for frames that changed behind the processor's back. */
  flushCode(): void {
    this.code.flush()
  }

  // Processor: what services and exception delivery ask.

  fault(vector: number, errorCode?: number): never {
    this.#fault.vector = vector
    this.#fault.errorCode = errorCode ?? 0
    this.#fault.hasErrorCode = errorCode !== undefined
    throw this.#fault
  }

  modeChanged(): void {
    const { context, control } = this
    const long = (Number(context.efer) & EFER_LMA) !== 0
    const code = context.segments.item(CS)
    const is64 = long && (code.attributes & SEGMENT_L) !== 0
    let mode = is64 ? CODE_MODE_LONG : code.attributes & SEGMENT_DB ? CODE_MODE_32 : CODE_MODE_16
    if (!is64 && context.segments.item(SS).attributes & SEGMENT_DB) mode |= CODE_MODE_STACK32
    control.codeMode = mode | control.codeMode & CODE_MODE_STEP
    control.codeBase = is64 ? 0n : code.base
    const ac = (Number(context.systemFlags) & RFLAGS.AC) !== 0
    control.smapActive = Number(context.cr4) & CR4_SMAP && !ac ? 1 : 0
    const watching = watchingOf(context)
    if (watching & ~control.watching & WATCHED_ACCESSES) this.memory.flushAll()
    control.watching = watching
    this.#exports.selectTables()
    this.#forgetCodePage()
  }

  interruptsEnabled(): void {
    if (this.#windowWanted) this.#redirected = true
  }

  tsc(): bigint {
    return this.#options.tsc()
  }

  random(): number {
    return this.#options.random()
  }

  readPort(port: number, size: number): bigint {
    const { control } = this
    if (control.replayIndex < control.replayCount) {
      return BigInt.asUintN(size * 8, control.replayValues.get(control.replayIndex++))
    }
    this.#inputAnswered = true
    this.#setExit('in', size, port, 0n)
    control.stop = Stop.SERVICE
    throw this.#accessExit
  }

  requestExit(kind: ServiceExit, size: number, address: number, value: bigint): void {
    this.#inputAnswered = false
    this.#setExit(kind, size, address, value)
    this.#exitRequested = true
  }

  // The run loop's parts.

  #leave(kind: ExitKind): ExitKind {
    this.exit.kind = kind
    if (kind === 'in' || kind === 'mmio-read' || kind === 'mmio-write') this.#awaiting = kind
    if (kind === 'halt') this.context.interruptShadow = 0
    return kind
  }

  #enter(budget: number): number {
    this.control.budget = budget
    this.#exports.run()
    return this.control.stop
  }

  /** One instruction at a time: traps after it, shadows before it, answers for it. */
  #mustStep(): boolean {
    const { context, control } = this
    return (systemFlagsOf(context) & RFLAGS.TF) !== 0 || control.replayCount > 0
      || (control.watching & BREAKPOINTS) !== 0 || (context.interruptShadow !== 0 && this.#windowWanted)
  }

  #step(): number {
    const { control, context } = this
    const shadow = context.interruptShadow
    const flags = systemFlagsOf(context)
    const { rip } = context
    if (!(flags & RFLAGS.RF) && shadow !== MOV_SS && this.#stopsHere()) return Stop.FAULT
    // RF holds for one instruction.
    setSystemFlags(context, flags & ~RFLAGS.RF)
    control.codeMode |= CODE_MODE_STEP
    control.replayIndex = 0
    control.debugHits = 0
    control.trapOverride = TrapOverride.NONE
    const stop = this.#enter(1)
    control.codeMode &= ~CODE_MODE_STEP
    const done = stop === Stop.STEP || stop === Stop.BUDGET || stop === Stop.SERVICE
    const ended = done && (stop !== Stop.SERVICE || this.#exitRequested)
    if (ended && context.interruptShadow === shadow) context.interruptShadow = 0
    // A repeated instruction is stopped at once.
    const repeats = ended && context.rip === rip && control.watching & Watching.EXECUTE
    if (repeats) setSystemFlags(context, systemFlagsOf(context) | RFLAGS.RF)
    if (ended) this.#noteTraps((flags & RFLAGS.TF) !== 0)
    else setSystemFlags(context, systemFlagsOf(context) | flags & RFLAGS.RF)
    if (done || stop === Stop.FAULT) control.replayCount = 0
    return stop
  }

  /** An instruction breakpoint stands here: the fault is noted. */
  #stopsHere(): boolean {
    const { control, context } = this
    if (!(control.watching & Watching.EXECUTE) || control.replayCount > 0) return false
    const hits = instructionHits(context, context.rip + control.codeBase)
    if (hits === 0) return false
    control.faultVector = DB
    control.faultHasErrorCode = 0
    control.debugHits = hits
    return true
  }

  /** The traps that an instruction ends in. MOV SS holds off its step's, and defers others. */
  #noteTraps(stepping: boolean): void {
    const { control, context } = this
    const { trapOverride } = control
    const traced = trapOverride === TrapOverride.NONE ? stepping
      : trapOverride === TrapOverride.TRAP
    context.pendingDebug |= control.debugHits
    if (traced && context.interruptShadow !== MOV_SS) context.pendingDebug |= DR6_BS
  }

  /** Delivers the debug trap that waits, unless it must wait longer. */
  #deliverTrap(): ExitKind | undefined {
    const { context } = this
    const dr6 = context.pendingDebug
    if (dr6 === 0 || context.interruptShadow === MOV_SS) return undefined
    context.pendingDebug = 0
    return this.#deliver({ vector: DB, kind: 'trap', hasErrorCode: false, dr6 })
  }

  /** Deals with why the loop stopped; returns the exit when the caller must. */
  #handleStop(stop: number): ExitKind | undefined {
    switch (stop) {
      case Stop.FAULT: return this.#deliverFault()
      case Stop.MMIO_READ:
      case Stop.MMIO_WRITE: {
        const { control } = this
        this.#setExit(stop === Stop.MMIO_READ ? 'mmio-read' : 'mmio-write', control.accessSize,
          Number(control.accessAddress), control.accessValue)
        return this.exit.kind
      }
      case Stop.SERVICE:
        if (this.exit.kind === 'halt' && this.context.pendingDebug) {
          this.context.halted = 0
          return undefined
        }
        return this.exit.kind
      case Stop.POLL:
        return 'kick'
      default:
        return undefined
    }
  }

  #deliverFault(): ExitKind | undefined {
    const { control } = this
    const event = {
      vector: control.faultVector,
      kind: 'fault' as const,
      hasErrorCode: control.faultHasErrorCode !== 0,
      errorCode: control.faultErrorCode,
    }
    if (event.vector === PF) return this.#deliver({ ...event, address: control.faultAddress })
    if (event.vector === DB) return this.#deliver({ ...event, dr6: control.debugHits })
    return this.#deliver(event)
  }

  #deliver(event: CpuEvent): ExitKind | undefined {
    if (deliver(this, event) === 'delivered') return undefined
    this.#setExit('shutdown', 0, 0, 0n)
    return 'shutdown'
  }

  /** No instruction makes as many accesses to MMIO as there is room for answers. */
  #answer(value: bigint): void {
    const { control } = this
    assert(control.replayCount < MMIO_ANSWERS, 'there is room for an answer')
    control.replayValues.set(control.replayCount, value)
    control.replayCount += 1
  }

  #setExit(kind: ExitKind, size: number, address: number, value: bigint): void {
    this.exit.kind = kind
    this.exit.size = size
    this.exit.address = address
    this.exit.value = value
  }

  #forgetCodePage(): void {
    this.control.codePageTag = NO_TAG
    this.#redirected = true
  }

  #execTranslate(linear: bigint): number {
    const machine = this.#exports.execTranslate(BigInt.asIntN(64, linear))
    if (machine >= 0n) return Number(machine)
    if (this.#exports.status() === 0) {
      this.control.faultVector = UD
      this.control.faultHasErrorCode = 0
      this.control.stop = Stop.FAULT
    }
    return -1
  }

  // Handlers.

  get #sizes(): { corePages: number, machinePages: number } {
    return {
      corePages: this.#core.buffer.byteLength / PAGE_BYTES,
      machinePages: this.#options.machine.buffer.byteLength / PAGE_BYTES,
    }
  }

  #inlineHandlers(instructions: readonly Instruction[]): InlineHandler[] {
    const handlers: InlineHandler[] = []
    for (const instruction of instructions) {
      const shape = shapeOf(instruction, { long: true, stackWidth: 64 })
      const key = keyOf(instruction, shape)
      if (instruction.definition.service || this.#handlerNumbers.has(key)) continue
      this.#handlerNumbers.set(key, Special.FIRST_FREE + handlers.length)
      handlers.push({ instruction, shape })
    }
    return handlers
  }

  #handlerOf(instruction: Instruction, mode: CodeModeShape, offset: number): number {
    if (instruction.definition.service) return -1
    const shape = shapeOf(instruction, mode)
    if (this.#options.bakeOperands) return this.#addHandler(instruction, shape, offset)
    const key = keyOf(instruction, shape)
    const known = this.#handlerNumbers.get(key)
    if (known !== undefined) return known
    const number = this.#addHandler(instruction, shape)
    this.#handlerNumbers.set(key, number)
    return number
  }

  /** Puts one more handler into the table, and returns its number. */
  #addHandler(instruction: Instruction, shape: InstructionShape, bakedAt?: number): number {
    const bytes = buildHandlerModule(this.#sizes, instruction, shape, bakedAt)
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { core: this.#core, machine: this.#options.machine },
      engine: this.#exports as unknown as WebAssembly.ModuleImports,
    })
    return this.#firstHandler + this.#handlers.grow(1, instance.exports['handler'])
  }

  // What the engine calls.

  #imports(): EngineImports & WebAssembly.ModuleImports {
    const imports: EngineImports = {
      decode: (machine) => this.code.decode(machine >>> 0),
      decodeAgain: (record) => this.code.decodeAgain(record, this.control.codeMachinePage),
      service: (record) => this.#service(record),
      float: (number, a, b) => this.#float(number, a, b),
      floatCheck: () => {
        const { mxcsr } = this.context
        const unmasked = this.#floatCollected & ~(mxcsr >> 7) & 0x3f
        // An unmasked exception found before computing hides those found after, in all lanes.
        this.context.mxcsr = mxcsr | (unmasked & BEFORE_COMPUTING
          ? this.#floatCollected & BEFORE_COMPUTING : this.#floatCollected)
        this.#floatCollected = 0
        return unmasked ? 1 : 0
      },
      pure: (number) => this.#pure(number),
      codeWritten: (machine) => this.code.invalidate(machine >>> 0),
    }
    return imports as EngineImports & WebAssembly.ModuleImports
  }

  #float(number: number, a: bigint, b: bigint): bigint {
    const op = floatOps[number & FLOAT_OP_MASK]!
    const width = number & FLOAT_DOUBLE ? 64 : 32
    const result = float(op, width, BigInt.asUintN(64, a), BigInt.asUintN(64, b),
      this.context.mxcsr)
    // The check that follows asks here only while some exception is not masked.
    const mxcsr = this.context.mxcsr
    if ((mxcsr & MXCSR_MASKS) === MXCSR_MASKS) this.context.mxcsr = mxcsr | floatFlags
    else this.#floatCollected |= floatFlags
    return BigInt.asIntN(64, result)
  }

  #pure(number: number): void {
    const { operands, result, run } = pureByNumber(number)
    const view = new DataView(this.#core.buffer, coreMap.scratch)
    const values: bigint[] = []
    for (let i = 0; i < operands.length; i++) {
      const low = view.getBigUint64(16 * i, true)
      values.push(operands[i] === 'v' ? low | view.getBigUint64(16 * i + 8, true) << 64n : low)
    }
    const value = run(...values)
    view.setBigUint64(0, BigInt.asUintN(64, value), true)
    if (result === 'v') view.setBigUint64(8, BigInt.asUintN(64, value >> 64n), true)
  }

  #service(record: number): number {
    const { context, control } = this
    const instruction = this.code.instructionOf(record)
    const bytes = this.#bytes
    const offset = bytes[record + field.pageOffset]! | bytes[record + field.pageOffset + 1]! << 8
    const mask = (control.codeMode & 3) === CODE_MODE_LONG
      ? 0xffff_ffff_ffff_ffffn : 0xffff_ffffn
    const rip = control.codePage + BigInt(offset) - control.codeBase & mask
    const next = rip + BigInt(instruction.length) & mask
    context.rip = next
    this.#redirected = false
    this.#exitRequested = false
    control.trapOverride = TrapOverride.NONE
    this.#adapter.begin(instruction, rip, next)
    const routine = allServices[instruction.definition.service!]
    assert(routine, `there is a service ${instruction.definition.service}`)
    try {
      routine(this.#adapter, this, instruction)
    } catch (error) {
      context.rip = rip
      if (error === this.#accessExit) return ServiceResult.LEAVE
      if (error !== this.#fault) throw error
      this.#noteFault()
      return ServiceResult.LEAVE
    }
    if (this.#exitRequested) {
      control.stop = Stop.SERVICE
      return ServiceResult.LEAVE
    }
    if (control.trapOverride === TrapOverride.TRAP) context.pendingDebug |= DR6_BS
    const stepping = this.#mustStep()
    if (!this.#redirected && context.rip === next && !stepping) return ServiceResult.NEXT
    if (!this.#windowWanted && !stepping) return ServiceResult.JUMP
    control.stop = Stop.BUDGET
    return ServiceResult.LEAVE
  }

  #noteFault(): void {
    const { control } = this
    control.faultVector = this.#fault.vector
    control.faultErrorCode = this.#fault.errorCode
    control.faultHasErrorCode = this.#fault.hasErrorCode ? 1 : 0
    control.stop = Stop.FAULT
  }
}

/** A tag that no canonical address has in its upper half. */
function emptyTagFrom(random: number): number {
  return (0x4000_0000 | random >>> 2) >>> 0
}

/** RFLAGS of a processor, for those who look on. */
export function rflagsOf(cpu: Cpu): number {
  return flagsOf(cpu.context)
}
