/**
 * Reads WebAssembly modules as far as the engine writes them: imports, types, and the instructions
 * of functions (core specification 2.0, chapter 5, with threads and several memories).
 *
 * Not read: globals' initial values, tables, elements, data, and names.
 */
import { assert } from '../../src/base/assert.ts'

/** Opcodes behind the prefix bytes 0xfc, 0xfd and 0xfe come with the prefix above them. */
const PREFIX_SHIFT = 16
export const SIMD = 0xfd << PREFIX_SHIFT
export const ATOMIC = 0xfe << PREFIX_SHIFT
const BULK = 0xfc << PREFIX_SHIFT

export interface WasmInstruction {
  readonly opcode: number
  /** Of a memory access. */
  readonly memory: number
  readonly offset: number
  /** Constants, indexes and depths, in their order. */
  readonly immediates: readonly (number | bigint)[]
  /** Bytes in the module. */
  readonly from: number
  readonly to: number
}

export interface FunctionType {
  readonly parameters: readonly number[]
  readonly results: readonly number[]
}

export interface WasmFunction {
  readonly type: FunctionType
  /** Types of locals behind the parameters. */
  readonly locals: readonly number[]
  /** Where in the module its locals stand. */
  readonly from: number
  readonly instructions: readonly WasmInstruction[]
}

export interface WasmModule {
  /** Types and names of imported functions. */
  readonly imports: readonly { readonly name: string, readonly type: FunctionType }[]
  readonly importedGlobals: readonly string[]
  readonly types: readonly FunctionType[]
  readonly functions: readonly WasmFunction[]
  readonly sections: readonly Section[]
}

/** Contents of a section, as bytes of the module. */
interface Section {
  readonly id: number
  readonly from: number
  readonly to: number
}

/** Reads the numbers and strings of the binary format, from `at` on. */
export class Reader {
  readonly bytes: Uint8Array
  at: number

  constructor(bytes: Uint8Array, at = 0) {
    this.bytes = bytes
    this.at = at
  }

  get done(): boolean {
    return this.at >= this.bytes.length
  }

  byte(): number {
    assert(this.at < this.bytes.length, 'the module goes on')
    return this.bytes[this.at++]!
  }

  u32(): number {
    let value = 0
    for (let shift = 0; ; shift += 7) {
      const byte = this.byte()
      value |= (byte & 0x7f) << shift
      if (byte < 0x80) return value >>> 0
    }
  }

  signed(bits: number): bigint {
    let value = 0n
    for (let shift = 0n; ; shift += 7n) {
      const byte = this.byte()
      value |= BigInt(byte & 0x7f) << shift
      if (byte < 0x80) return BigInt.asIntN(bits, BigInt.asIntN(Number(shift) + 7, value))
    }
  }

  take(length: number): Uint8Array {
    this.at += length
    return this.bytes.subarray(this.at - length, this.at)
  }

  name(): string {
    return new TextDecoder().decode(this.take(this.u32()))
  }

  list<T>(read: () => T): T[] {
    return Array.from({ length: this.u32() }, read)
  }
}

export function readModule(bytes: Uint8Array): WasmModule {
  const reader = new Reader(bytes, 8)
  const imports: { readonly name: string, readonly type: FunctionType }[] = []
  const importedGlobals: string[] = []
  const functions: WasmFunction[] = []
  let types: FunctionType[] = []
  let declared: FunctionType[] = []
  const sections: Section[] = []
  while (!reader.done) {
    const id = reader.byte()
    const end = reader.u32() + reader.at
    sections.push({ id, from: reader.at, to: end })
    if (id === 1) types = reader.list(() => readType(reader))
    if (id === 2) reader.list(() => readImport(reader, types, imports, importedGlobals))
    if (id === 3) declared = reader.list(() => types[reader.u32()]!)
    if (id === 10) reader.list(() => functions.push(readFunction(reader, declared)))
    reader.at = end
  }
  return { imports, importedGlobals, types, functions, sections }
  function readFunction(from: Reader, all: readonly FunctionType[]): WasmFunction {
    const end = from.u32() + from.at
    const start = from.at
    const locals = from.list(() => new Array<number>(from.u32()).fill(from.byte())).flat()
    const instructions: WasmInstruction[] = []
    while (from.at < end) instructions.push(readInstruction(from))
    return { type: all[functions.length]!, locals, from: start, instructions }
  }
}

function readType(reader: Reader): FunctionType {
  assert(reader.byte() === 0x60, 'a function type')
  return { parameters: reader.list(() => reader.byte()), results: reader.list(() => reader.byte()) }
}

function readImport(
  reader: Reader, types: readonly FunctionType[],
  functions: { readonly name: string, readonly type: FunctionType }[], globals: string[],
): void {
  reader.name()
  const name = reader.name()
  switch (reader.byte()) {
    case 0: functions.push({ name, type: types[reader.u32()]! }); return
    case 1: reader.byte(); readLimits(reader); return
    case 2: readLimits(reader); return
    default:
      reader.byte()
      reader.byte()
      globals.push(name)
  }
}

function readLimits(reader: Reader): void {
  const flags = reader.byte()
  reader.u32()
  if (flags & 1) reader.u32()
}

function readInstruction(reader: Reader): WasmInstruction {
  const from = reader.at
  const first = reader.byte()
  const opcode = first >= 0xfc ? first << PREFIX_SHIFT | reader.u32() : first
  if (isMemoryAccess(opcode)) {
    const flags = reader.u32()
    const memory = flags & 0x40 ? reader.u32() : 0
    const offset = reader.u32()
    const lane = opcode >= SIMD + 84 && opcode <= SIMD + 91 ? [reader.byte()] : []
    return { opcode, memory, offset, immediates: lane, from, to: reader.at }
  }
  const immediates = readImmediates(reader, opcode)
  return { opcode, memory: 0, offset: 0, immediates, from, to: reader.at }
}

export function isMemoryAccess(opcode: number): boolean {
  return opcode >= 0x28 && opcode <= 0x3e
    || opcode >= SIMD && opcode <= SIMD + 11 || opcode >= SIMD + 84 && opcode <= SIMD + 93
    || opcode >= ATOMIC && opcode < ATOMIC + 0x1000 && opcode !== ATOMIC + 3
}

function readImmediates(reader: Reader, opcode: number): (number | bigint)[] {
  switch (opcode) {
    case 0x02: case 0x03: case 0x04: return [reader.byte()]
    case 0x0c: case 0x0d: case 0x10: case 0x12: return [reader.u32()]
    case 0x0e: return [...reader.list(() => reader.u32()), reader.u32()]
    case 0x11: return [reader.u32(), reader.u32()]
    case 0x20: case 0x21: case 0x22: case 0x23: case 0x24: return [reader.u32()]
    case 0x41: return [Number(reader.signed(32))]
    case 0x42: return [reader.signed(64)]
    case 0x43: return bytesOf(reader, 4)
    case 0x44: return bytesOf(reader, 8)
    case BULK + 10: return [reader.u32(), reader.u32()]
    case BULK + 11: return [reader.u32()]
    case ATOMIC + 3: return [reader.byte()]
    case SIMD + 12: case SIMD + 13: return bytesOf(reader, 16)
    default:
      // Lanes to extract and replace.
      return opcode >= SIMD + 21 && opcode <= SIMD + 34 ? [reader.byte()] : []
  }
}

function bytesOf(reader: Reader, count: number): number[] {
  return Array.from({ length: count }, () => reader.byte())
}

/** Operands of an instruction without effects that has one result; undefined for others. */
export function operandsOf(opcode: number): number | undefined {
  if (opcode >= 0x41 && opcode <= 0x44) return 0
  if (opcode >= 0x45 && opcode <= 0xc4) return scalarOperands(opcode)
  if (opcode >= BULK && opcode < BULK + 8) return 1
  return opcode >= SIMD && opcode < ATOMIC ? simdOperands(opcode - SIMD) : undefined
}

function inRanges(opcode: number, ranges: readonly (readonly [number, number])[]): boolean {
  return ranges.some(([from, to]) => opcode >= from && opcode <= to)
}

const unaryScalars = [
  [0x45, 0x45], [0x50, 0x50], [0x67, 0x69], [0x79, 0x7b], [0x8b, 0x91], [0x99, 0x9f], [0xa7, 0xc4],
] as const
const unaryVectors = [
  [15, 22], [24, 25], [27, 27], [29, 29], [31, 31], [33, 33], [77, 77], [83, 83], [94, 100],
  [103, 106], [116, 117], [122, 122], [124, 129], [131, 132], [135, 138], [148, 148], [160, 161],
  [163, 164], [167, 170], [192, 193], [195, 196], [199, 202], [224, 225], [227, 227], [236, 237],
  [239, 239], [248, 255],
] as const

function scalarOperands(opcode: number): number {
  return inRanges(opcode, unaryScalars) ? 1 : 2
}

function simdOperands(opcode: number): number | undefined {
  if (opcode === 12) return 0
  if (opcode === 82) return 3
  if (inRanges(opcode, unaryVectors)) return 1
  return opcode >= 13 && opcode <= 255 ? 2 : undefined
}
