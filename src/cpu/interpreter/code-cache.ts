/**
 * Decoded code: traces of records, found by the machine address of their first instruction and the
 * mode that it was decoded for.
 *
 * A trace runs from its entry through conditional branches to an unconditional one, the end of the
 * page, an instruction of another trace, or TRACE_LIMIT instructions; it may be entered at any of
 * its instructions. It lies in one page of code; an instruction that crosses into the next page is
 * a trace of its own, which checks first that the second page is still the one it was decoded from.
 * When a line with code is written to, every record of a trace that has code there becomes a
 * LOOK_UP, also the one about to be executed, so that self-modifying code takes effect at once.
 * Record memory is handed out in order; when it is used up, everything is forgotten.
 */
import { assert } from '../../base/assert.ts'
import { type Decode, MAX_LENGTH } from '../../isa/decode/decoder.ts'
import type { Instruction } from '../../isa/operand.ts'
import { CODE_HASH_BITS, CODE_MODE_STEP, coreMap } from '../core-memory.ts'
import { firstPlace, otherPlace, placeFor } from './code-hash.ts'
import { CodeLines, linesAt } from './code-lines.ts'
import { codeModeOf, hasRegions, modeShapeOf } from './code-mode.ts'
import { controlAt } from './core-fields.ts'
import { fillRecord, type RecordWords } from './fill-record.ts'
import { field, RECORD_BYTES, Special } from './record.ts'
import { RecordTemplates } from './record-templates.ts'
import type { CodeModeShape } from './shape.ts'
import { linesOf, type Trace, Traces } from './traces.ts'

/** The interpreter executes no more instructions than that until it looks at the budget again. */
export const TRACE_LIMIT = 64
const PAGE = 4096
const PAGE_SHIFT = 12
const UD = 6
const GP = 13

/** What the cache needs of the engine around it. */
export interface CodeCacheNeeds {
  readonly core: ArrayBuffer
  readonly machine: Uint8Array
  readonly decode: Decode
  /** Number of the handler for an instruction; -1: a service does it. */
  handlerOf(instruction: Instruction, mode: CodeModeShape): number
  /** Gives pairs among the records from `first` to before `end` handlers of theirs. */
  pairUp(first: number, end: number): void
  /** Machine address for fetching at a linear address, or -1 when that faults. */
  execTranslate(linear: bigint): number
  markCode(machine: number): void
  clearCode(machine: number): void
  /** Linear address of the instruction to decode. */
  linear(): bigint
  /** A record for the code at a machine address was found, in a mode whose code is compiled. */
  found(machine: number, record: number): void
  /** The code in lines of a frame is gone. */
  invalidated(page: number, lines: CodeLines): void
  /** Adds the lines of a frame that are watched for others. */
  addLines(page: number, lines: CodeLines): void
  /** All records are gone, and no frame is watched. */
  flushed(): void
}

export class CodeCache {
  readonly #needs: CodeCacheNeeds
  readonly #u8: Uint8Array
  readonly #u16: Uint16Array
  readonly #u32: Uint32Array
  readonly #words: RecordWords
  readonly #traces: Traces
  readonly #templates: RecordTemplates
  /** Instructions of records that services carry out, always or at times. */
  readonly #serviced = new Map<number, Instruction>()
  readonly #window = new Uint8Array(MAX_LENGTH)
  readonly #lines = new CodeLines()
  #free: number = coreMap.records
  #turn = false
  /** Offset behind the last instruction decoded. */
  #end = 0
  /** How many instructions were decoded, for statistics. */
  decoded = 0

  constructor(needs: CodeCacheNeeds) {
    this.#needs = needs
    this.#u8 = new Uint8Array(needs.core)
    this.#u16 = new Uint16Array(needs.core)
    this.#u32 = new Uint32Array(needs.core)
    this.#words = {
      u8: this.#u8, u16: this.#u16, i32: new Int32Array(needs.core),
      i64: new BigInt64Array(needs.core),
    }
    this.#traces = new Traces(needs.core)
    this.#templates = new RecordTemplates(needs.core, needs.machine)
  }

  /** Of records. */
  get bytes(): number {
    return this.#free - coreMap.records
  }

  /** The instruction of a record that a service carries out. */
  instructionOf(record: number): Instruction {
    const instruction = this.#serviced.get(record)
    assert(instruction, 'the record is a service')
    return instruction
  }

  /** The record for the code at `machine` in the current mode, decoded if it is not yet; 0 when the
   * fetch of its second page faults. */
  decode(machine: number): number {
    const mode = this.#u32[controlAt('codeMode') >>> 2]!
    const record = this.#find(machine, mode) || this.#decode(machine, mode)
    if (hasRegions(mode) && record !== 0) this.#needs.found(machine, record)
    return record
  }

  /** The record for the code at `machine` if it is decoded already, else 0. */
  recordAt(machine: number, mode: number): number {
    return this.#find(machine, mode)
  }

  #decode(machine: number, mode: number): number {
    if (this.#free + (TRACE_LIMIT + 3) * RECORD_BYTES > coreMap.codeLines) this.flush()
    // The target of a jump is never the next record: that would be no jump for the loop.
    const first = this.#free += RECORD_BYTES
    const page = (machine & -PAGE) >>> 0
    // What is written before a frame is marked is read here; all else is told of.
    this.#mark(page)
    const crosses = this.#decodeTrace(machine, mode)
    if (crosses === undefined) {
      if (this.#hasNoLines(page)) this.#needs.clearCode(page)
      return 0
    }
    if (!(mode & CODE_MODE_STEP)) this.#needs.pairUp(first, this.#free)
    const records = (this.#free - first) / RECORD_BYTES
    this.#remember(page, { machine, mode, first, records, crosses, end: this.#end })
    this.#enter(machine, first, mode)
    return first
  }

  #enter(machine: number, record: number, mode: number): void {
    this.#turn = !this.#turn
    const place = placeFor(this.#u32, machine, this.#turn)
    this.#u32[place] = machine
    this.#u32[place + 1] = record | mode
  }

  /** The record of an instruction that stands in some trace already, or 0. */
  #find(machine: number, mode: number): number {
    const record = this.#traces.recordAt(machine, mode)
    if (record !== 0) this.#enter(machine, record, mode)
    return record
  }

  /** The records of the instruction at `machine`, in all traces for `mode` that have it. */
  recordsAt(machine: number, mode: number): readonly number[] {
    return this.#traces.recordsAt(machine, mode)
  }

  /** How often the instruction at `machine` was jumped to; -1 when no trace for `mode` has it. */
  heatAt(machine: number, mode: number): number {
    return this.#traces.heatAt(machine, mode)
  }

  /** Sees to it that writes to lines of a frame are noticed, whether it has records or not. */
  watch(page: number, lines: CodeLines): void {
    this.#mark(page)
    const place = linesAt(page)
    this.#u32[place]! |= lines.low
    this.#u32[place + 1]! |= lines.high
  }

  /** From now on writes to a frame by others are told of. */
  #mark(page: number): void {
    this.#traces.watch(page)
    if (this.#hasNoLines(page)) this.#needs.markCode(page)
  }

  #hasNoLines(page: number): boolean {
    const place = linesAt(page)
    return (this.#u32[place]! | this.#u32[place + 1]!) === 0
  }

  /** Lets a record enter a compiled region. */
  enterRegion(record: number, tableIndex: number, entry: number): void {
    this.#u16[record + field.handler >>> 1] = Special.REGION
    this.#u32[record + field.link >>> 2] = tableIndex
    this.#u32[record + field.immediate >>> 2] = entry
    this.cool(record, 0xffff)
  }

  /** Sets how often a record seems to have been jumped to. */
  cool(record: number, heat: number): void {
    this.#u16[record + field.heat >>> 1] = heat
  }

  /** Makes the record that entered a region look up its own address again. */
  leaveRegion(machine: number, mode: number): void {
    const record = this.#find(machine, mode)
    if (record === 0 || this.#u16[record + field.handler >>> 1] !== Special.REGION) return
    this.cool(record, 0)
    this.#forgetRecord(record, machine, mode)
  }

  /** As decode, for the trace that `record` begins, in place of it. */
  decodeAgain(record: number, machinePage: number): number {
    const machine = (machinePage | this.#u16[record + field.pageOffset >>> 1]!) >>> 0
    const stale = this.#traces.takeFirst(machinePage >>> 0, record)
    if (stale) this.#forget(stale)
    return this.#decode(machine, this.#u32[controlAt('codeMode') >>> 2]!)
  }

  /** Forgets the code in the lines of `bytes` bytes in a frame: all of the frame's from `machine`
   * on unless said otherwise. */
  invalidate(machine: number, bytes: number = PAGE): void {
    const page = (machine & -PAGE) >>> 0
    if (!this.#traces.knows(page)) return
    const written = new CodeLines(machine & PAGE - 1, bytes)
    for (const trace of this.#traces.take(page, written)) this.#forget(trace)
    const left = this.#traces.linesIn(page)
    this.#needs.invalidated(page, written)
    this.#needs.addLines(page, left)
    const place = linesAt(page)
    this.#u32[place] = left.low
    this.#u32[place + 1] = left.high
    if (left.isEmpty) this.#needs.clearCode(page)
  }

  /** Makes every record of a trace look up its own address, and lets no lookup find it. */
  #forget(trace: Trace): void {
    const page = trace.machine & -PAGE
    for (let i = 0; i < trace.records; i++) {
      const record = trace.first + i * RECORD_BYTES
      this.#forgetRecord(record, page + this.#u16[record + field.pageOffset >>> 1]!, trace.mode)
    }
  }

  #forgetRecord(record: number, machine: number, mode: number): void {
    const first = firstPlace(machine)
    for (const place of [first, otherPlace(first, machine)]) {
      if (this.#u32[place + 1] === (record | mode)) this.#u32[place + 1] = 0
    }
    this.#u16[record + field.handler >>> 1] = Special.LOOK_UP
  }

  /** Forgets everything. No record may be in use but the one that asked for decoding. */
  flush(): void {
    for (const frame of this.#traces.frames()) {
      const page = frame << PAGE_SHIFT >>> 0
      this.#needs.clearCode(page)
      this.#u32.fill(0, linesAt(page), linesAt(page) + 2)
    }
    this.#traces.clear()
    this.#serviced.clear()
    const hash = coreMap.codeHash >>> 2
    this.#u32.fill(0, hash, hash + (2 << CODE_HASH_BITS))
    this.#free = coreMap.records
    this.#needs.flushed()
    this.#u32[controlAt('codeGeneration') >>> 2]! += 1
  }

  #remember(page: number, trace: Trace): void {
    linesOf(trace, page, this.#lines)
    this.watch(page, this.#lines)
    for (const gone of this.#traces.add(page, trace)) this.#forget(gone)
  }

  /** Appends a trace's records; whether it crosses into the next page, undefined if that faults. */
  #decodeTrace(machine: number, mode: number): boolean | undefined {
    const page = (machine & -PAGE) >>> 0
    const codeMode = codeModeOf(mode)
    const shape = modeShapeOf(mode)
    const limit = mode & CODE_MODE_STEP ? 1 : TRACE_LIMIT
    let bytes: Uint8Array | undefined
    let offset = machine & PAGE - 1
    // Where the next trace begins that this one may run into; not sought yet.
    let next = 0
    for (let count = 0; count < limit; count++) {
      if (count > 0 && offset >= next) {
        const known = this.#find(page + offset, mode)
        if (known !== 0) {
          this.#appendJoin(offset, known)
          return false
        }
        next = this.#traces.nextAt(page + offset + 1, mode)
      }
      const length = codeMode.long && offset <= PAGE - MAX_LENGTH
        ? this.#fill(page + offset) : 0
      if (length > 0) {
        this.#end = offset += length
        if (this.#templates.endsTrace || offset >= PAGE) break
        continue
      }
      bytes ??= this.#needs.machine.subarray(page, page + PAGE)
      const instruction = this.#needs.decode(bytes, codeMode, offset)
      if (instruction === 'truncated') {
        if (count > 0) break
        return this.#decodeCrossing(page, offset, mode)
      }
      if (typeof instruction === 'string') {
        this.#appendRaise(offset, instruction === 'too-long' ? GP : UD)
        return false
      }
      const record = this.#free
      this.#append(instruction, offset, shape)
      if (codeMode.long) this.#templates.learn(page + offset, record, instruction)
      offset += instruction.length
      this.#end = offset
      if (endsTrace(instruction) || offset >= PAGE) break
    }
    // Behind a jump too: the next trace must not begin there, since a handler that returns the next
    // record has not jumped.
    this.#appendSpecial(mode & CODE_MODE_STEP ? Special.STEP_END : Special.LOOK_UP, offset)
    return false
  }

  /** Appends the record of a familiar instruction, and returns its length; or 0. */
  #fill(machine: number): number {
    const length = this.#templates.fill(machine, this.#free)
    if (length === 0) return 0
    this.#free += RECORD_BYTES
    this.decoded += 1
    return length
  }

  /** An instruction that crosses into the following page. */
  #decodeCrossing(page: number, offset: number, mode: number): true | undefined {
    const nextLinear = (this.#needs.linear() | 0xfffn) + 1n
    const second = this.#needs.execTranslate(nextLinear)
    if (second < 0) return undefined
    this.#mark(second)
    const head = this.#needs.machine.subarray(page + offset, page + PAGE)
    this.#window.set(head)
    this.#window.set(
      this.#needs.machine.subarray(second, second + MAX_LENGTH - head.length), head.length)
    const first = this.#free
    this.#appendSpecial(Special.CHECK_NEXT_PAGE, offset)
    this.#u32[first + field.immediate >>> 2] = second
    const instruction = this.#needs.decode(this.#window, codeModeOf(mode))
    if (typeof instruction === 'string') {
      this.#appendRaise(offset, instruction === 'invalid' ? UD : GP)
    } else {
      this.#append(instruction, offset, modeShapeOf(mode))
      this.#appendSpecial(mode & CODE_MODE_STEP ? Special.STEP_END : Special.LOOK_UP,
        offset + instruction.length)
    }
    const machine = page + offset
    const records = (this.#free - first) / RECORD_BYTES
    this.#end = PAGE
    this.#remember(second, { machine, mode, first, records, crosses: true, end: PAGE })
    return true
  }

  #claim(handler: number, offset: number, length: number): number {
    const record = this.#free
    this.#free += RECORD_BYTES
    for (let at = record >>> 2; at < record + RECORD_BYTES >>> 2; at++) this.#u32[at] = 0
    this.#u16[record + field.handler >>> 1] = handler
    this.#u16[record + field.pageOffset >>> 1] = offset
    this.#u8[record + field.length] = length
    return record
  }

  #appendSpecial(handler: number, offset: number): void {
    this.#claim(handler, offset, 0)
  }

  #appendJoin(offset: number, known: number): void {
    this.#u32[this.#claim(Special.JOIN, offset, 0) + field.link >>> 2] = known
  }

  #appendRaise(offset: number, vector: number): void {
    const record = this.#claim(Special.RAISE, offset, 0)
    this.#u32[record + field.immediate >>> 2] = vector
    this.#u8[record + field.scaleAndSegment] = vector === GP ? 1 : 0
    this.#end = Math.min(offset + MAX_LENGTH, PAGE)
  }

  #append(instruction: Instruction, offset: number, shape: CodeModeShape): void {
    this.decoded += 1
    const { length } = instruction
    const handler = this.#needs.handlerOf(instruction, shape)
    if (handler < 0) {
      const record = this.#claim(Special.SERVICE, offset, length)
      this.#serviced.set(record, instruction)
      return
    }
    const record = this.#claim(handler, offset, length)
    if (instruction.definition.service) this.#serviced.set(record, instruction)
    fillRecord(this.#words, record, instruction, offset + length)
  }
}

function endsTrace(instruction: Instruction): boolean {
  return instruction.definition.fields.endsBlock === true
}
