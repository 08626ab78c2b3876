/**
 * A core's generated code, put together: the engine's module, the handlers, the decoded code and
 * the compiled regions, over the core's own memory and the machine's.
 */
import { Vector } from '../abi/x86/control.ts'
import { makeDecoder } from '../isa/decode/decoder.ts'
import { allInstructions } from '../isa/instructions/all.ts'
import { CoreControl, type CoreControlView, coreMap } from './core-memory.ts'
import { noteFault } from './exceptions/event.ts'
import { ExactFloat } from './fpu/exact-float.ts'
import { ExactX87 } from './fpu/exact-x87.ts'
import { CodeCache } from './interpreter/code-cache.ts'
import {
  buildEngine, type EngineExports, type EngineImports,
} from './interpreter/engine-module.ts'
import { type HandlerOptions, HandlerTable } from './interpreter/handler-table.ts'
import { ContextX87 } from './interpreter/machine-adapter.ts'
import { callPure } from './interpreter/pure-calls.ts'
import { fillCrc32Tables } from './interpreter/pure-integers.ts'
import type { RegionCompiler } from './jit/compiler.ts'
import type { JitCounts } from './jit/counts.ts'
import type { CompilingOptions } from './jit/features.ts'
import { Jit } from './jit/jit.ts'
import type { KeptRegions } from './jit/shape.ts'
import { Access } from './mmu/environment.ts'
import { CpuContext, type CpuContextView } from './state.ts'

const PAGE_BYTES = 65536

/** Decodes an instruction of those there are. */
export const decode = makeDecoder(allInstructions)

export interface EngineOptions extends HandlerOptions, CompilingOptions {
  /** The machine's memory: shared, initial equal to maximum. */
  readonly machine: WebAssembly.Memory
  /** Machine address of a word that is not zero while the core should look up. */
  readonly doorbell: number
  /** 32 random bits. */
  random(): number
  /** The host's time stamp counter in ticks, of which only whole ones count. */
  tsc(): number
  /** For how many instructions an answer of `tsc` serves; unless given, each reading asks. */
  readonly tscWindow?: number
  /** Whether something may be at ports (the default); where nothing is, IN reads all ones, and is
   * no exit. */
  readonly hasPorts?: boolean
  /** How often a region's entry is as hot as that before the region goes on where others are
   * entered. */
  readonly busyLimit?: number
  /** Without one, the core compiles hot code itself, and waits for it. */
  readonly compiler?: RegionCompiler
  /** What that compiler can load. */
  readonly kept?: readonly KeptRegions[]
  /** Whom else there is in the machine's memory. */
  readonly shared?: SharedMachine
  /** Makes pages of a buffer zero, and gives their memory back to the system, if that can be. */
  giveBackPages?(buffer: ArrayBuffer, offset: number, bytes: number): boolean
}

/** A processor's place in a machine, and what it tells of itself (mmu/frame-uses.ts). */
export interface SharedMachine {
  /** Machine address of the words of frames, zeroed at first. */
  readonly frameUses: number
  /** Which of the processors this is. */
  readonly processor: number
  /** Whether there are others. */
  readonly others: boolean
  /** Machine address of the latest time stamp that one of several was told: 64 bits. */
  readonly tscTold: number
  /** Machine address of 32 bits by which they exclude one another: see mmu/locked.ts. */
  readonly pairLock: number
  /** About to store to a frame from which others have decoded code. */
  storing(machine: number): void
  /** Decodes code from a frame to which others may store unnoticed. */
  decoding(machine: number): void
}

/** What a processor can do without: see Engine.giveBack. */
export type Spared = 'code' | 'modules'

/** Chosen by measurement: less compiles code that soon lies idle. */
const HEAT_LIMIT = 30_000
/** Entering a region a million times takes as long as compiling it anew. */
const BUSY_LIMIT = 32

/** What of core memory is zero, or not looked at, while no code is decoded. */
const CODE_AREAS = [
  [coreMap.regionLinks, coreMap.tlbTables], [coreMap.records, coreMap.storeEntries],
] as const

export class Engine {
  readonly core: WebAssembly.Memory
  readonly context: CpuContextView
  readonly control: CoreControlView
  readonly exports: EngineExports
  readonly code: CodeCache
  readonly #jit: Jit
  readonly #options: EngineOptions

  /** `service` carries out a record, as EngineImports says. */
  constructor(options: EngineOptions, service: (record: number) => number) {
    this.#options = options
    const corePages = Math.ceil(coreMap.end / PAGE_BYTES)
    this.core = new WebAssembly.Memory({ initial: corePages, maximum: corePages })
    this.context = CpuContext.on(this.core.buffer, coreMap.context)
    this.control = CoreControl.on(this.core.buffer, coreMap.control)
    fillCrc32Tables(this.core.buffer)
    const memories = { core: this.core, machine: options.machine }
    const handlers = new HandlerTable(memories, decode, options)
    const {
      compiler, kept, heatLimit = HEAT_LIMIT, busyLimit = BUSY_LIMIT, preferServices = false,
      tscWindow = 0, without = [],
    } = options
    const machine = options.shared
    const module = buildEngine(handlers.sizes, {
      inline: handlers.inline, pairs: handlers.pairs, usual: handlers.usual, heatLimit,
      preferServices,
      ...machine ? { uses: { table: machine.frameUses } } : {},
      ...machine?.others ? { pairLock: machine.pairLock } : {},
      timeStamp: { window: tscWindow, ...machine?.others ? { toldAt: machine.tscTold } : {} },
    })
    const instance = new WebAssembly.Instance(new WebAssembly.Module(module), {
      env: { ...memories, handlers: handlers.table, ...this.#imports(service, options) },
    })
    handlers.connect(instance.exports)
    this.exports = instance.exports as unknown as EngineExports
    this.exports.resetTlb()
    this.control.busShared = machine?.others ? 1 : 0
    this.control.doorbell = options.doorbell
    this.control.processor = machine?.processor ?? 0
    const shared = {
      core: this.core.buffer, machine: new Uint8Array(options.machine.buffer), decode,
    }
    this.code = new CodeCache({
      ...shared,
      handlerOf: (instruction, mode) => handlers.numberOf(instruction, mode),
      pairUp: (first, end) => handlers.pairUp(first, end),
      execTranslate: (linear) => this.#execTranslate(linear),
      markCode: (machine) => this.exports.markCode(machine),
      clearCode: (machine) => this.exports.clearCode(machine),
      linear: () => this.context.rip + this.control.codeBase & 0xffff_ffff_ffff_ffffn,
      found: (machine, record) => this.#jit.found(machine, record),
      invalidated: (page, lines) => this.#jit.invalidate(page, lines),
      addLines: (page, lines) => this.#jit.addLines(page, lines),
      flushed: () => this.#jit.flushed(),
    })
    this.#jit = new Jit({
      ...shared, heatLimit, busyLimit, without, ...compiler ? { compiler } : {},
      ...kept ? { kept } : {},
      control: this.control,
      code: this.code,
      sizes: handlers.sizes,
      table: handlers.table,
      imports: { env: { ...memories }, engine: instance.exports as WebAssembly.ModuleImports },
      translate: (linear) => this.#probe(linear),
    })
  }

  /** Takes part in compiling; between runs. */
  poll(): void {
    this.#jit.poll()
  }

  /** Forgets all that was made of code. */
  flushCode(): void {
    this.#jit.forgetAll()
    this.code.flush()
  }

  /** Between runs, with memory: all that was made of code, or modules that nothing uses now. */
  giveBack(what: Spared): void {
    if (what === 'modules') {
      this.#jit.dropKept()
      return
    }
    this.flushCode()
    const { giveBackPages } = this.#options
    for (const [from, to] of CODE_AREAS) giveBackPages?.(this.core.buffer, from, to - from)
  }

  /** What the compiler of hot code did so far. */
  get counts(): Readonly<JitCounts> {
    return this.#jit.counts
  }

  #execTranslate(linear: bigint): number {
    const machine = this.exports.execTranslate(BigInt.asIntN(64, linear))
    if (machine >= 0n) return Number(machine)
    if (this.exports.status() === 0) noteFault(this.control, Vector.UD)
    return -1
  }

  /** Machine address of a byte of code, or -1; without a trace. */
  #probe(linear: bigint): number {
    const access = Access.PROBE | (this.context.cpl === 3 ? Access.USER : 0)
    return Number(this.exports.translate(BigInt.asIntN(64, linear), access))
  }

  /** What the engine's module calls. */
  #imports(
    service: (record: number) => number, { tsc, shared }: EngineOptions,
  ): WebAssembly.ModuleImports {
    const float = new ExactFloat(this.context)
    const x87 = new ExactX87(new ContextX87(this.context), this.core.buffer)
    return {
      decode: (machine) => this.code.decode(machine >>> 0),
      decodeAgain: (record) => this.code.decodeAgain(record, this.control.codeMachinePage),
      service,
      float: (number, a, b) => float.compute(number, a, b),
      fused: (number, a, b, c) => float.fused(number, a, b, c),
      floatCheck: () => float.check() ? 1 : 0,
      x87: (form, index, low, high) => x87.compute(form, index, low, high),
      pure: (number) => callPure(this.core.buffer, number),
      tsc,
      codeWritten: (machine, size) => this.code.invalidate(machine >>> 0, size),
      hot: (record) => this.#jit.hot(record),
      storing: (machine) => shared?.storing(machine >>> 0),
      decoding: (machine) => shared?.decoding(machine >>> 0),
    } satisfies EngineImports
  }
}
