/**
 * WebAssembly expressions as trees, and the instructions that build them.
 *
 * `i64.add(a, b)` makes a node; nothing is emitted until a statement of a FunctionBuilder uses it.
 * A node may be used in several places only when evaluating it twice is harmless (constants,
 * locals). Opcode numbers are those of the core specification 2.0 (appendix A.1), the threads
 * proposal (prefix 0xfe) and SIMD (prefix 0xfd).
 */
import { Bytes } from './bytes.ts'

export type ValueType = 'i32' | 'i64' | 'f32' | 'f64' | 'v128'

export const typeCodes: Readonly<Record<ValueType, number>> = {
  i32: 0x7f, i64: 0x7e, f32: 0x7d, f64: 0x7c, v128: 0x7b,
}

/** An expression that leaves one value of `type`. `emit` writes its code. */
export interface Expression {
  readonly type: ValueType
  emit(code: Bytes): void
}

/** A local variable of the function being built; usable as an expression that reads it. */
export class Local implements Expression {
  readonly index: number
  readonly type: ValueType
  constructor(index: number, type: ValueType) {
    this.index = index
    this.type = type
  }

  emit(code: Bytes): void {
    code.byte(0x20)
    code.u32(this.index)
  }
}

class Constant implements Expression {
  readonly type: ValueType
  readonly value: bigint | number
  constructor(type: ValueType, value: bigint | number) {
    this.type = type
    this.value = value
  }

  emit(code: Bytes): void {
    switch (this.type) {
      case 'i32':
        code.byte(0x41)
        code.s32(Number(this.value))
        return
      case 'i64':
        code.byte(0x42)
        code.s64(BigInt(this.value))
        return
      case 'f32': {
        code.byte(0x43)
        code.append(new Uint8Array(new Float32Array([Number(this.value)]).buffer))
        return
      }
      case 'f64': {
        code.byte(0x44)
        code.append(new Uint8Array(new Float64Array([Number(this.value)]).buffer))
        return
      }
      case 'v128': {
        code.byte(0xfd)
        code.u32(12)
        const bits = BigInt(this.value)
        const words = new BigUint64Array([bits & 0xffffffffffffffffn, bits >> 64n])
        code.append(new Uint8Array(words.buffer))
      }
    }
  }
}

/** The constant's value, or undefined when the expression is not one. */
export function constantOf(expression: Expression): bigint | number | undefined {
  return expression instanceof Constant ? expression.value : undefined
}

/** Any instruction: operands, then opcode, then immediates. */
class Operation implements Expression {
  readonly type: ValueType
  readonly #prefix: number
  readonly #opcode: number
  readonly #operands: readonly Expression[]
  readonly #immediates: readonly number[]
  constructor(
    type: ValueType, prefix: number, opcode: number,
    operands: readonly Expression[], immediates: readonly number[] = [],
  ) {
    this.type = type
    this.#prefix = prefix
    this.#opcode = opcode
    this.#operands = operands
    this.#immediates = immediates
  }

  /** The low 32 bits, computed in 32 bits; undefined where that takes the whole. */
  narrowed(): Expression | undefined {
    if (this.#prefix !== 0 || this.type !== 'i64') return undefined
    if (this.#opcode === EXTEND_U || this.#opcode === EXTEND_S) return this.#operands[0]
    const load = narrowLoads.get(this.#opcode)
    if (load !== undefined) return new Operation('i32', 0, load, this.#operands, this.#immediates)
    const [a, b] = this.#operands
    if (narrowOperations.has(this.#opcode)) {
      return new Operation('i32', 0, this.#opcode - I64_TO_I32, [lowWord(a!), lowWord(b!)])
    }
    // A count of 32 or more would be another one in 32 bits.
    const count = b && constantOf(b)
    if (this.#opcode === SHL && count !== undefined && Number(count) < 32) {
      return new Operation('i32', 0, SHL - I64_TO_I32, [lowWord(a!), lowWord(b!)])
    }
    return undefined
  }

  emit(code: Bytes): void {
    for (const operand of this.#operands) operand.emit(code)
    if (this.#prefix) {
      code.byte(this.#prefix)
      code.u32(this.#opcode)
    } else {
      code.byte(this.#opcode)
    }
    for (const immediate of this.#immediates) code.u32(immediate)
  }
}

const EXTEND_S = 0xac
const EXTEND_U = 0xad
const SHL = 0x86
/** From an operation's opcode in 64 bits to the one in 32. */
const I64_TO_I32 = 0x12
/** ADD, SUB, MUL, AND, OR, XOR: their low bits depend on low bits only. */
const narrowOperations: ReadonlySet<number> = new Set([0x7c, 0x7d, 0x7e, 0x83, 0x84, 0x85])
/** Loads of at most 32 bits, and the same in 32 bits. */
const narrowLoads: ReadonlyMap<number, number> = new Map([
  [0x30, 0x2c], [0x31, 0x2d], [0x32, 0x2e], [0x33, 0x2f], [0x34, 0x28], [0x35, 0x28],
])

/** The low 32 bits of a 64-bit expression. */
function lowWord(expression: Expression): Expression {
  if (expression instanceof Constant) {
    return new Constant('i32', Number(BigInt.asIntN(32, BigInt(expression.value))))
  }
  const narrow = expression instanceof Operation ? expression.narrowed() : undefined
  return narrow ?? new Operation('i32', 0, WRAP, [expression])
}

const WRAP = 0xa7

type Unary = (a: Expression) => Expression
type Binary = (a: Expression, b: Expression) => Expression
/** Loads from `memory` at `address + offset`; both memories have 32-bit addresses. */
type Load = (memory: number, address: Expression, offset?: number) => Expression
type ReadModifyWrite = (
  memory: number, address: Expression, value: Expression, offset?: number,
) => Expression

type Table = Readonly<Record<string, number>>
type Family<T extends Table, F> = { readonly [K in keyof T]: F }

function family<T extends Table, F>(table: T, make: (opcode: number) => F): Family<T, F> {
  const entries = Object.entries(table).map(([name, opcode]) => [name, make(opcode)])
  return Object.fromEntries(entries) as Family<T, F>
}

const unary = (type: ValueType, prefix = 0) => (opcode: number): Unary =>
  (a) => new Operation(type, prefix, opcode, [a])

const binary = (type: ValueType, prefix = 0) => (opcode: number): Binary =>
  (a, b) => new Operation(type, prefix, opcode, [a, b])

/** The memarg immediates; bit 6 of the alignment says that a memory index follows. */
export function memarg(memory: number, offset: number, alignment = 0): number[] {
  return memory === 0 ? [alignment, offset] : [alignment | 0x40, memory, offset]
}

const load = (type: ValueType, prefix = 0) => (opcode: number): Load =>
  (memory, address, offset = 0) =>
    new Operation(type, prefix, opcode, [address], memarg(memory, offset))

/** Atomic accesses must state their natural alignment, which the table gives with the opcode. */
const atomic = (type: ValueType, alignment: number) => (opcode: number): ReadModifyWrite =>
  (memory, address, value, offset = 0) =>
    new Operation(type, 0xfe, opcode, [address, value], memarg(memory, offset, alignment))

export const i32 = {
  const: (value: number): Expression => new Constant('i32', value),
  wrap: lowWord,
  ...family({ eqz: 0x45, clz: 0x67, ctz: 0x68, popcnt: 0x69 }, unary('i32')),
  ...family({ extend8: 0xc0, extend16: 0xc1, truncF64: 0xaa, reinterpret: 0xbc }, unary('i32')),
  ...family({
    eq: 0x46, ne: 0x47, ltS: 0x48, ltU: 0x49, gtS: 0x4a, gtU: 0x4b, leS: 0x4c, leU: 0x4d,
    geS: 0x4e, geU: 0x4f, add: 0x6a, sub: 0x6b, mul: 0x6c, divS: 0x6d, divU: 0x6e, remS: 0x6f,
    remU: 0x70, and: 0x71, or: 0x72, xor: 0x73, shl: 0x74, shrS: 0x75, shrU: 0x76, rotl: 0x77,
    rotr: 0x78,
  }, binary('i32')),
  ...family({ load: 0x28, load8S: 0x2c, load8U: 0x2d, load16S: 0x2e, load16U: 0x2f }, load('i32')),
} as const

export const i64 = {
  const: (value: bigint | number): Expression => new Constant('i64', value),
  ...family({ clz: 0x79, ctz: 0x7a, popcnt: 0x7b, extendS: 0xac, extendU: 0xad }, unary('i64')),
  ...family({ extend8: 0xc2, extend16: 0xc3, extend32: 0xc4, reinterpret: 0xbd }, unary('i64')),
  ...family({ eqz: 0x50 }, unary('i32')),
  ...family({
    eq: 0x51, ne: 0x52, ltS: 0x53, ltU: 0x54, gtS: 0x55, gtU: 0x56, leS: 0x57, leU: 0x58,
    geS: 0x59, geU: 0x5a,
  }, binary('i32')),
  ...family({
    add: 0x7c, sub: 0x7d, mul: 0x7e, divS: 0x7f, divU: 0x80, remS: 0x81, remU: 0x82, and: 0x83,
    or: 0x84, xor: 0x85, shl: 0x86, shrS: 0x87, shrU: 0x88, rotl: 0x89, rotr: 0x8a,
  }, binary('i64')),
  ...family({
    load: 0x29, load8S: 0x30, load8U: 0x31, load16S: 0x32, load16U: 0x33, load32S: 0x34,
    load32U: 0x35,
  }, load('i64')),
  truncSatF64S: unary('i64', 0xfc)(6),
  truncSatF32S: unary('i64', 0xfc)(4),
} as const

export const f32 = {
  const: (value: number): Expression => new Constant('f32', value),
  ...family({
    abs: 0x8b, neg: 0x8c, ceil: 0x8d, floor: 0x8e, trunc: 0x8f, nearest: 0x90, sqrt: 0x91,
    convertI32S: 0xb2, convertI64S: 0xb4, demote: 0xb6, reinterpret: 0xbe,
  }, unary('f32')),
  ...family({
    add: 0x92, sub: 0x93, mul: 0x94, div: 0x95, min: 0x96, max: 0x97, copysign: 0x98,
  }, binary('f32')),
  ...family({ eq: 0x5b, ne: 0x5c, lt: 0x5d, gt: 0x5e, le: 0x5f, ge: 0x60 }, binary('i32')),
  ...family({ load: 0x2a }, load('f32')),
} as const

export const f64 = {
  const: (value: number): Expression => new Constant('f64', value),
  ...family({
    abs: 0x99, neg: 0x9a, ceil: 0x9b, floor: 0x9c, trunc: 0x9d, nearest: 0x9e, sqrt: 0x9f,
    convertI32S: 0xb7, convertI64S: 0xb9, promote: 0xbb, reinterpret: 0xbf,
  }, unary('f64')),
  ...family({
    add: 0xa0, sub: 0xa1, mul: 0xa2, div: 0xa3, min: 0xa4, max: 0xa5, copysign: 0xa6,
  }, binary('f64')),
  ...family({ eq: 0x61, ne: 0x62, lt: 0x63, gt: 0x64, le: 0x65, ge: 0x66 }, binary('i32')),
  ...family({ load: 0x2b }, load('f64')),
} as const

/** 128-bit values whole; lane-wise instructions are in simd.ts. */
export const v128 = {
  const: (bits: bigint): Expression => new Constant('v128', bits),
  /** The others yield zero above the bits that they load. */
  ...family({ load: 0, load32Zero: 92, load64Zero: 93 }, load('v128', 0xfd)),
} as const

/** A SIMD instruction by its opcode after the 0xfd prefix, with lane immediates if it has any. */
export function simd(
  type: ValueType, opcode: number, operands: readonly Expression[], lanes: readonly number[] = [],
): Expression {
  return new Operation(type, 0xfd, opcode, operands, lanes)
}

/** Opcodes of the threads proposal (prefix 0xfe) that i32 has. */
const updates = { add: 0x1e, sub: 0x25, and: 0x2c, or: 0x33, xor: 0x3a, xchg: 0x41 } as const

export type UpdateOperation = keyof typeof updates

/** How far behind i32's opcode those are that i64 has for 8, 16, 32 and 64 bits. */
const wideOpcodes: readonly number[] = [4, 5, 6, 1]

function ofWidth(
  opcode: number, width: number, memory: number, operands: readonly Expression[],
): Expression {
  const size = Math.log2(width / 8)
  return new Operation('i64', 0xfe, opcode + wideOpcodes[size]!, operands, memarg(memory, 0, size))
}

/** A 64-bit value from an atomic load of the size that `opcode` has, zero-extended. */
function atomicLoad(opcode: number, alignment: number): Load {
  return (memory, address, offset = 0) =>
    new Operation('i64', 0xfe, opcode, [address], memarg(memory, offset, alignment))
}

/** Sequentially consistent accesses, for memory that other threads use as well. */
export const atomics = {
  i32: {
    ...family(updates, atomic('i32', 2)),
    load: (memory: number, address: Expression, offset = 0): Expression =>
      new Operation('i32', 0xfe, 0x10, [address], memarg(memory, offset, 2)),
    cmpxchg: (
      memory: number, address: Expression, expected: Expression, value: Expression, offset = 0,
    ): Expression =>
      new Operation('i32', 0xfe, 0x48, [address, expected, value], memarg(memory, offset, 2)),
  },
  i64: {
    load: atomicLoad(0x11, 3),
    load8U: atomicLoad(0x14, 0),
    load16U: atomicLoad(0x15, 1),
    load32U: atomicLoad(0x16, 2),
  },
  /** -> i64: the old value of `width` bits, zero-extended. */
  update: (
    operation: UpdateOperation, width: number, memory: number, address: Expression,
    value: Expression,
  ): Expression => ofWidth(updates[operation], width, memory, [address, value]),
  compareExchange: (
    width: number, memory: number, address: Expression, expected: Expression, value: Expression,
  ): Expression => ofWidth(0x48, width, memory, [address, expected, value]),
} as const

/** `condition` ? a : b, both evaluated. */
export function select(a: Expression, b: Expression, condition: Expression): Expression {
  return new Operation(a.type, 0, 0x1b, [a, b, condition])
}

export function globalGet(index: number, type: ValueType): Expression {
  return new Operation(type, 0, 0x23, [], [index])
}

/** Calls a function that returns one value. */
export function call(
  target: { readonly index: number, readonly result?: ValueType }, ...operands: Expression[]
): Expression {
  return new Operation(target.result ?? 'i32', 0, 0x10, operands, [target.index])
}

/** Calls element `index` of table 0, a function of type number `type` (ModuleBuilder.typeOf). */
export function callIndirect(
  type: number, result: ValueType, index: Expression, ...operands: Expression[]
): Expression {
  return new Operation(result, 0, 0x11, [...operands, index], [type, 0])
}

/** Stores `value` into `local` and leaves it as the expression's value. */
export function tee(local: Local, value: Expression): Expression {
  return new Operation(local.type, 0, 0x22, [value], [local.index])
}
