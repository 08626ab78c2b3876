/**
 * The numbers of handlers: first those that no instruction has (Special), then those of pairs of
 * instructions, then those in the loop, then the functions of a table, to which a handler is added
 * when the first instruction of its shape is decoded.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import type { Instruction } from '../../isa/operand.ts'
import { transferOf } from '../privilege/transfers.ts'
import { buildHandlerModule, type MemorySizes, usualHandler } from './engine-module.ts'
import { hotEncodings, instructionsOf } from './hot-instructions.ts'
import { hotPairs } from './hot-pairs.ts'
import type { HandlerExample, HandlerPair } from './loop.ts'
import type { InstructionShape } from './parts.ts'
import { field, RECORD_BYTES, Special } from './record.ts'
import { type CodeModeShape, keyOf, rowKeyOf, shapeOf } from './shape.ts'
import { usualEncodings } from './usual-instructions.ts'

const PAGE_BYTES = 65536
/** Of the code that has handlers from the start. */
const LONG_SHAPE: CodeModeShape = { long: true, stackWidth: 64 }

/** What handler modules import. */
export interface HandlerMemories {
  readonly core: WebAssembly.Memory
  readonly machine: WebAssembly.Memory
}

export interface HandlerOptions {
  /** For tests: what has a service is carried out by it, even where `execute` could. */
  readonly preferServices?: boolean
}

const transferSpecials = {
  syscall: Special.SYSCALL, sysret: Special.SYSRET, iret: Special.IRET,
} as const

export class HandlerTable {
  readonly table = new WebAssembly.Table({ element: 'anyfunc', initial: 0 })
  /** Those in the loop, and those that the engine's module has as functions. */
  readonly inline: readonly HandlerExample[]
  readonly usual: readonly HandlerExample[]
  /** Of those in the loop. */
  readonly pairs: readonly HandlerPair[]
  readonly sizes: MemorySizes
  readonly #memories: HandlerMemories
  readonly #options: HandlerOptions
  readonly #records: Uint16Array
  /** By keyOf, and by rowKeyOf. */
  readonly #numbers = new Map<number, number>()
  readonly #rowNumbers = new Map<number, number>()
  readonly #firstInTable: number
  /** Numbers of pairs by those of the first and of the second instruction's handler. */
  readonly #pairNumbers: (Uint16Array | undefined)[] = []
  #engine: WebAssembly.Exports = {}

  constructor(memories: HandlerMemories, decode: Decode, options: HandlerOptions) {
    this.#memories = memories
    this.#options = options
    this.#records = new Uint16Array(memories.core.buffer)
    this.sizes = {
      corePages: memories.core.buffer.byteLength / PAGE_BYTES,
      machinePages: memories.machine.buffer.byteLength / PAGE_BYTES,
    }
    const firstInLoop = Special.FIRST_FREE + hotPairs.length
    this.inline = this.#number(instructionsOf(hotEncodings, decode), firstInLoop)
    this.#firstInTable = firstInLoop + this.inline.length
    this.usual = this.#number(instructionsOf(usualEncodings, decode), this.#firstInTable)
    this.pairs = hotPairs.map((encodings, index) =>
      this.#pair(instructionsOf({ encodings }, decode), Special.FIRST_FREE + index))
  }

  /** Handlers are added from now on; `engine` exports the parts that they import. */
  connect(engine: WebAssembly.Exports): void {
    this.#engine = engine
    this.usual.forEach((_, index) => this.table.grow(1, engine[usualHandler(index)]))
  }

  /** Number of the handler for an instruction; -1: a service does it. */
  numberOf(instruction: Instruction, mode: CodeModeShape): number {
    const key = rowKeyOf(instruction, mode)
    const known = this.#rowNumbers.get(key)
    if (known !== undefined) return known
    const number = this.#numberOfShape(instruction, mode)
    this.#rowNumbers.set(key, number)
    return number
  }

  #numberOfShape(instruction: Instruction, mode: CodeModeShape): number {
    if (!this.#handles(instruction)) return this.#transferOf(instruction, mode)
    const shape = shapeOf(instruction, mode)
    const key = keyOf(instruction, shape)
    const known = this.#numbers.get(key)
    if (known !== undefined) return known
    const number = this.#add(instruction, shape)
    this.#numbers.set(key, number)
    return number
  }

  /** It has a handler; otherwise its service carries it out. */
  #handles({ definition }: Instruction): boolean {
    if (this.#options.preferServices && definition.service) return false
    return definition.fields.execute !== undefined
  }

  /** What the loop does instead of a service, or -1: transfers in 64-bit code. */
  #transferOf(instruction: Instruction, { long }: CodeModeShape): number {
    const transfer = transferOf(instruction)
    return !long || this.#options.preferServices || !transfer ? -1 : transferSpecials[transfer]
  }

  /** Gives numbers from `first` on to the handlers of instructions, but to those that have one. */
  #number(instructions: readonly Instruction[], first: number): HandlerExample[] {
    const handlers: HandlerExample[] = []
    for (const instruction of instructions) {
      const shape = shapeOf(instruction, LONG_SHAPE)
      const key = keyOf(instruction, shape)
      if (!this.#handles(instruction) || this.#numbers.has(key)) continue
      this.#numbers.set(key, first + handlers.length)
      handlers.push({ instruction, shape })
    }
    return handlers
  }

  /** Number of the handler for an instruction and the next by the numbers of theirs; 0: none. */
  pairOf(first: number, second: number): number {
    return this.#pairNumbers[first]?.[second] ?? 0
  }

  /** Has one handler carry out an instruction and the next where there is such, among the records
   * from `first` to before `end`. The second's record stays what it is, as it may be jumped to. */
  pairUp(first: number, end: number): void {
    for (let at = first; at < end - RECORD_BYTES; at += RECORD_BYTES) {
      const handler = at + field.handler >>> 1
      const next = handler + (RECORD_BYTES >>> 1)
      const pair = this.pairOf(this.#records[handler]!, this.#records[next]!)
      if (pair === 0) continue
      this.#records[handler] = pair
      at += RECORD_BYTES
    }
  }

  /** Gives a number to two instructions that have handlers in the loop. */
  #pair(instructions: readonly Instruction[], number: number): HandlerPair {
    const [first, second] = instructions.map((instruction) =>
      this.numberOf(instruction, LONG_SHAPE)) as [number, number]
    const row = this.#pairNumbers[first] ??= new Uint16Array(this.#firstInTable)
    row[second] = number
    return { first, second }
  }

  /** Puts one more handler into the table, and returns its number. */
  #add(instruction: Instruction, shape: InstructionShape): number {
    const bytes = buildHandlerModule(this.sizes, { instruction, shape })
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), {
      env: { ...this.#memories },
      engine: this.#engine as WebAssembly.ModuleImports,
    })
    return this.#firstInTable + this.table.grow(1, instance.exports['handler'])
  }
}
