/**
 * Decoded code: traces of records, found by the machine address of their first instruction and the
 * mode that it was decoded for.
 *
 * A trace runs from its entry through conditional branches to an unconditional one, the end of the
 * page, an instruction of another trace, or TRACE_LIMIT instructions; it may be entered at any of
 * its instructions. It lies in one page of code; an instruction that crosses into
 * the next page is a trace of its own, which checks first that the second page is still the one it
 * was decoded from. When a frame with code is written to, every record decoded from it becomes a
 * LOOK_UP, also the one about to be executed, so that self-modifying code takes effect at once.
 * Record memory is handed out in order; when it is used up, everything is forgotten.
 */
import { assert } from '../../base/assert.ts'
import { type Decode, MAX_LENGTH } from '../../isa/decode/decoder.ts'
import type { Instruction, Operand } from '../../isa/operand.ts'
import { isX87, opcodeOf } from '../../isa/x87/unit.ts'
import { CODE_HASH_BITS, CODE_MODE_STEP, coreMap } from '../core-memory.ts'
import { CpuContext } from '../state.ts'
import { codeModeOf, modeShapeOf } from './code-mode.ts'
import { controlAt } from './core-fields.ts'
import { field, RECORD_BYTES, registerAddress, registerFields, Special } from './record.ts'
import type { CodeModeShape } from './shape.ts'

const TRACE_LIMIT = 64
/** Bytes of records that must be free for a region's entries. */
const ROOM = 1 << 20
const PAGE = 4096
const at = CpuContext.offsets
const UD = 6
const GP = 13

interface Trace {
  readonly machine: number
  readonly mode: number
  readonly first: number
  readonly records: number
  /** It begins with a check of the following page: no entry but its first record. */
  readonly crosses: boolean
}

/** What the cache needs of the engine around it. */
export interface CodeCacheNeeds {
  readonly core: ArrayBuffer
  readonly machine: Uint8Array
  readonly decode: Decode
  /** Number of the handler for an instruction; -1: a service does it. */
  handlerOf(instruction: Instruction, mode: CodeModeShape): number
  /** Machine address for fetching at a linear address, or -1 when that faults. */
  execTranslate(linear: bigint): number
  markCode(machine: number): void
  clearCode(machine: number): void
  /** Linear address of the instruction to decode. */
  linear(): bigint
  /** The code of a frame is gone, and all code. */
  invalidated(machine: number): void
  flushed(): void
}

export class CodeCache {
  readonly #needs: CodeCacheNeeds
  readonly #u8: Uint8Array
  readonly #u16: Uint16Array
  readonly #u32: Uint32Array
  readonly #i64: BigInt64Array
  readonly #pages = new Map<number, Trace[]>()
  /** Instructions of records that services carry out, always or at times. */
  readonly #serviced = new Map<number, Instruction>()
  readonly #window = new Uint8Array(MAX_LENGTH)
  #free: number = coreMap.records
  /** How many instructions were decoded, for statistics. */
  decoded = 0

  constructor(needs: CodeCacheNeeds) {
    this.#needs = needs
    this.#u8 = new Uint8Array(needs.core)
    this.#u16 = new Uint16Array(needs.core)
    this.#u32 = new Uint32Array(needs.core)
    this.#i64 = new BigInt64Array(needs.core)
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
    return this.#find(machine, mode) || this.#decode(machine, mode)
  }

  #decode(machine: number, mode: number): number {
    if (this.#free + (TRACE_LIMIT + 2) * RECORD_BYTES > coreMap.heat) this.flush()
    const first = this.#free
    const crosses = this.#decodeTrace(machine, mode)
    if (crosses === undefined) return 0
    const records = (this.#free - first) / RECORD_BYTES
    this.#remember(machine & -PAGE, { machine, mode, first, records, crosses })
    this.#enter(machine, first, mode)
    return first
  }

  #enter(machine: number, record: number, mode: number): void {
    const entry = hashEntry(machine)
    this.#u32[entry] = machine
    this.#u32[entry + 1] = record | mode
  }

  /** The record of an instruction that stands in some trace already, or 0. */
  #find(machine: number, mode: number): number {
    const traces = this.#pages.get((machine & -PAGE) >>> 0)
    if (!traces) return 0
    for (const trace of traces) {
      if (trace.mode !== mode || trace.machine > machine) continue
      const record = trace.crosses
        ? trace.machine === machine ? trace.first : 0
        : this.#recordIn(trace, machine & PAGE - 1)
      if (record === 0 || !this.#isEntry(record)) continue
      this.#enter(machine, record, mode)
      return record
    }
    return 0
  }

  /** A record that only looks up its own address would lead back to itself. */
  #isEntry(record: number): boolean {
    const handler = this.#u16[record + field.handler >>> 1]!
    return handler !== Special.LOOK_UP && handler !== Special.STEP_END
  }

  /** The record of a trace's instruction at `offset`, or 0; offsets ascend in a trace. */
  #recordIn(trace: Trace, offset: number): number {
    let low = 0
    let high = trace.records - 1
    while (low <= high) {
      const middle = low + high >> 1
      const record = trace.first + middle * RECORD_BYTES
      const found = this.#u16[record + field.pageOffset >>> 1]!
      if (found === offset) return record
      if (found < offset) low = middle + 1
      else high = middle - 1
    }
    return 0
  }

  /** Whether some trace has the instruction at `machine`, decoded for `mode`. */
  knows(machine: number, mode: number): boolean {
    const traces = this.#pages.get((machine & -PAGE) >>> 0) ?? []
    return traces.some((trace) => trace.mode === mode && trace.machine <= machine
      && !trace.crosses && this.#recordIn(trace, machine & PAGE - 1) !== 0)
  }

  /** Whether records can be decoded without forgetting others. */
  get hasRoom(): boolean {
    return this.#free + ROOM < coreMap.heat
  }

  /** Sees to it that writes to a frame are noticed, whether it has records or not. */
  watch(page: number): void {
    if (this.#pages.has(page)) return
    this.#pages.set(page, [])
    this.#needs.markCode(page)
  }

  /** Lets a record enter a compiled region. */
  enterRegion(record: number, tableIndex: number, entry: number): void {
    this.#u16[record + field.handler >>> 1] = Special.REGION
    this.#u32[record + field.link >>> 2] = tableIndex
    this.#u32[record + field.immediate >>> 2] = entry
    this.#u16[(coreMap.heat >>> 1) + (record - coreMap.records) / RECORD_BYTES] = 0xffff
  }

  /** Makes a record that entered a region look up its own address again. */
  leaveRegion(record: number, machine: number, mode: number): void {
    if (this.#u16[record + field.handler >>> 1] !== Special.REGION) return
    this.#forgetRecord(record, machine, mode)
  }

  /** As decode, for the trace that `record` begins, in place of it. */
  decodeAgain(record: number, machinePage: number): number {
    const machine = (machinePage | this.#u16[record + field.pageOffset >>> 1]!) >>> 0
    const traces = this.#pages.get(machinePage >>> 0)
    const stale = traces?.findIndex((trace) => trace.first === record) ?? -1
    if (traces && stale >= 0) this.#forget(traces.splice(stale, 1)[0]!)
    return this.#decode(machine, this.#u32[controlAt('codeMode') >>> 2]!)
  }

  /** Forgets all code of the frame that `machine` lies in. */
  invalidate(machine: number): void {
    const page = (machine & -PAGE) >>> 0
    const traces = this.#pages.get(page)
    this.#needs.clearCode(page)
    if (!traces) return
    this.#pages.delete(page)
    for (const trace of traces) this.#forget(trace)
    this.#needs.invalidated(page)
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
    const entry = hashEntry(machine)
    if (this.#u32[entry + 1] === (record | mode)) this.#u32[entry + 1] = 0
    this.#u16[record + field.handler >>> 1] = Special.LOOK_UP
  }

  /** Forgets everything. No record may be in use but the one that asked for decoding. */
  flush(): void {
    for (const page of this.#pages.keys()) this.#needs.clearCode(page)
    this.#pages.clear()
    this.#serviced.clear()
    const hash = coreMap.codeHash >>> 2
    this.#u32.fill(0, hash, hash + (2 << CODE_HASH_BITS))
    const heat = coreMap.heat >>> 1
    this.#u16.fill(0, heat, heat + (this.#free - coreMap.records) / RECORD_BYTES)
    this.#free = coreMap.records
    this.#needs.flushed()
    this.#u32[controlAt('codeGeneration') >>> 2]! += 1
  }

  #remember(page: number, trace: Trace): void {
    const key = page >>> 0
    const traces = this.#pages.get(key)
    if (traces) {
      traces.push(trace)
      return
    }
    this.#pages.set(key, [trace])
    this.#needs.markCode(key)
  }

  /** Appends a trace's records; whether it crosses into the next page, undefined if that faults. */
  #decodeTrace(machine: number, mode: number): boolean | undefined {
    const page = (machine & -PAGE) >>> 0
    const codeMode = codeModeOf(mode)
    const shape = modeShapeOf(mode)
    const limit = mode & CODE_MODE_STEP ? 1 : TRACE_LIMIT
    let offset = machine & PAGE - 1
    for (let count = 0; count < limit; count++) {
      const from = page + offset
      const known = count > 0 ? this.#find(from, mode) : 0
      if (known !== 0) {
        this.#appendJoin(offset, known)
        return false
      }
      const bytes = this.#needs.machine.subarray(from, Math.min(from + MAX_LENGTH, page + PAGE))
      const instruction = this.#needs.decode(bytes, codeMode)
      if (instruction === 'truncated') {
        if (count > 0) break
        return this.#decodeCrossing(page, offset, mode)
      }
      if (typeof instruction === 'string') {
        this.#appendRaise(offset, instruction === 'too-long' ? GP : UD)
        return false
      }
      this.#append(instruction, offset, shape)
      offset += instruction.length
      if (leaves(instruction)) return false
      if (endsTrace(instruction) || offset >= PAGE) break
    }
    this.#appendSpecial(mode & CODE_MODE_STEP ? Special.STEP_END : Special.LOOK_UP, offset)
    return false
  }

  /** An instruction that crosses into the following page. */
  #decodeCrossing(page: number, offset: number, mode: number): true | undefined {
    const nextLinear = (this.#needs.linear() | 0xfffn) + 1n
    const second = this.#needs.execTranslate(nextLinear)
    if (second < 0) return undefined
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
      if (!leaves(instruction)) {
        this.#appendSpecial(mode & CODE_MODE_STEP ? Special.STEP_END : Special.LOOK_UP,
          offset + instruction.length)
      }
    }
    const machine = page + offset
    const records = (this.#free - first) / RECORD_BYTES
    this.#remember(second, { machine, mode, first, records, crosses: true })
    return true
  }

  #claim(handler: number, offset: number, nextOffset: number): number {
    const record = this.#free
    this.#free += RECORD_BYTES
    this.#u8.fill(0, record, record + RECORD_BYTES)
    this.#u16[record + field.handler >>> 1] = handler
    this.#u16[record + field.pageOffset >>> 1] = offset
    this.#u16[record + field.nextOffset >>> 1] = nextOffset
    return record
  }

  #appendSpecial(handler: number, offset: number): void {
    this.#claim(handler, offset, offset)
  }

  #appendJoin(offset: number, known: number): void {
    this.#u32[this.#claim(Special.JOIN, offset, offset) + field.link >>> 2] = known
  }

  #appendRaise(offset: number, vector: number): void {
    const record = this.#claim(Special.RAISE, offset, offset)
    this.#u32[record + field.immediate >>> 2] = vector
    this.#u8[record + field.scale] = vector === GP ? 1 : 0
  }

  #append(instruction: Instruction, offset: number, shape: CodeModeShape): void {
    this.decoded += 1
    const nextOffset = offset + instruction.length
    const handler = this.#needs.handlerOf(instruction, shape)
    if (handler < 0) {
      const record = this.#claim(Special.SERVICE, offset, nextOffset)
      this.#serviced.set(record, instruction)
      return
    }
    const record = this.#claim(handler, offset, nextOffset)
    if (instruction.definition.service) this.#serviced.set(record, instruction)
    this.#u8[record + field.segment] = instruction.segment
    if (isX87(instruction)) this.#u16[record + field.x87Opcode >>> 1] = opcodeOf(instruction)
    const isString = instruction.row.properties.string !== undefined
    const fields = registerFields(instruction.operands)
    let registers = 0
    let immediates = 0
    for (const operand of instruction.operands) {
      const address = registerAddress(operand)
      if (address >= 0) {
        this.#u16[record + fields[registers++]! >>> 1] = address
      } else if (operand.kind === 'immediate') {
        this.#i64[record + field.immediates[immediates++]! >>> 3] = operand.value
      } else if (!isString) {
        this.#fillOperand(record, operand, nextOffset)
      }
    }
  }

  #fillOperand(record: number, operand: Operand, nextOffset: number): void {
    switch (operand.kind) {
      case 'memory': {
        const base = operand.ripRelative ? controlAt('codePage')
          : operand.base < 0 ? at.zero : at.gpr + operand.base * 8
        const index = operand.index < 0 ? at.zero : at.gpr + operand.index * 8
        this.#u16[record + field.base >>> 1] = base
        this.#u16[record + field.index >>> 1] = index
        this.#u8[record + field.scale] = operand.scale
        this.#u8[record + field.segment] = operand.segment
        this.#i64[record + field.displacement >>> 3] = operand.ripRelative
          ? operand.displacement + BigInt(nextOffset) : operand.displacement
        break
      }
      case 'relative':
        this.#i64[record + field.immediate >>> 3] = BigInt(nextOffset + operand.displacement)
        this.#u8[record + field.scale] = operand.width === 16 ? 1 : operand.width === 32 ? 2 : 0
        break
      default:
        break
    }
  }
}

function endsTrace(instruction: Instruction): boolean {
  return instruction.definition.fields.endsBlock === true
}

/** Its handler never goes on with the next record. A service may, whatever it mostly does. */
function leaves(instruction: Instruction): boolean {
  return endsTrace(instruction) && instruction.definition.service === undefined
}

function hashEntry(machine: number): number {
  const mixed = machine ^ machine >>> CODE_HASH_BITS - 3
  return (coreMap.codeHash >>> 2) + (mixed & (1 << CODE_HASH_BITS) - 1) * 2
}
