/**
 * Sums, products and quotients of doubles that are exact, while MXCSR does not say yet that some
 * result was not. Nothing is done in line then, and what counts in doubles stays so for long: in
 * line, tests of this would make all operations longer that are settled.
 *
 * A sum is exact where two-sum has nothing left, a product where as many zeros are at the ends of
 * its factors as a significand has bits; of two at once, where each has no more than half of them.
 * What is not known to be exact, or not moderate (float-bounds.ts), so that it is to be noted, is
 * left to the usual way.
 */
import { f64, i32, i64, simd, v128, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { MODERATE } from './float-bounds.ts'
import { floatVectorNumber } from './float-lanes.ts'
import { floatNumber } from './float-number.ts'
import { NOT_YET_INEXACT, unsettled } from './float-state.ts'
import { isFar } from './inline-float.ts'

interface ExactDoubles {
  readonly f: FunctionBuilder
  readonly number: Local
  readonly a: Local
  readonly b: Local
  readonly result: Local
  /** Where the usual way begins. */
  readonly usual: Label
}

const vector = (opcode: number) => (...operands: Expression[]): Expression =>
  simd('v128', opcode, operands)
/** Opcodes of the core specification (prefix 0xfd). */
const add = vector(240)
const sub = vector(241)
const mul = vector(242)
const abs = vector(236)
const eq = vector(71)
const lt = vector(73)
const ge = vector(76)
const and = vector(78)
const or = vector(80)
const allTrue = (x: Expression): Expression => simd('i32', 195, [x])
const anyTrue = (x: Expression): Expression => simd('i32', 83, [x])

const scratch = new DataView(new ArrayBuffer(8))

function both(value: number): Expression {
  scratch.setFloat64(0, value)
  const bits = scratch.getBigUint64(0)
  return v128.const(bits << 64n | bits)
}

const ZERO = v128.const(0n)
/** The lowest bit of a double's exponent. */
const EXPONENT_UNIT = 1n << 52n
const LOWER_HALVES = v128.const(0x7ff_ffffn | 0x7ff_ffffn << 64n)

function isModerate(x: Expression): Expression {
  return or(and(ge(abs(x), both(2 ** MODERATE.low)), lt(abs(x), both(2 ** MODERATE.high))),
    eq(x, ZERO))
}

/** How many zeros the significand of a double ends with; 53 or more if it is a power of two. */
function zerosOf(value: Expression): Expression {
  return i64.ctz(i64.and(i64.reinterpret(value), i64.const(~EXPONENT_UNIT)))
}

function isWhole(one: Expression, other: Expression): Expression {
  return i64.gtU(i64.add(zerosOf(one), zerosOf(other)), i64.const(52))
}

type Test = (x: Expression, y: Expression, value: Expression) => Expression

/** -> i32, for operands and result of one operation: whether that is exact. */
export const isExactDouble = {
  add: (x, y, value) => i32.and(f64.eq(f64.sub(value, x), y), f64.eq(f64.sub(value, y), x)),
  mul: (x, y) => isWhole(x, y),
  sub: (x, y, value) => i32.and(f64.eq(f64.sub(x, value), y), f64.eq(f64.add(value, y), x)),
  div: (x, y, value) => i32.and(f64.eq(f64.mul(value, y), x), isWhole(value, y)),
} satisfies Record<string, Test>

/** The same of two at once. */
export const areExactDoubles = {
  mul: (x, y) => i32.eqz(anyTrue(and(or(x, y), LOWER_HALVES))),
  add: (x, y, value) => allTrue(and(eq(sub(value, x), y), eq(sub(value, y), x))),
  sub: (x, y, value) => allTrue(and(eq(sub(x, value), y), eq(add(value, y), x))),
} satisfies Record<string, Test>

export const pairOf = { add, sub, mul } as const

/** -> i32, of two doubles. */
export function areFar(x: Expression): Expression {
  return i32.eqz(allTrue(isModerate(x)))
}

const entries = <K extends string>(tests: Record<K, Test>): [K, Test][] =>
  Object.entries(tests) as [K, Test][]

/** The same for one double, whose bits are given. */
export function writeExactDouble(site: ExactDoubles): void {
  const { f, number, a, b, result, usual } = site
  const [x, y, value] = [f.local('f64'), f.local('f64'), f.local('f64')]
  f.brIf(usual, i32.ne(unsettled(), i32.const(NOT_YET_INEXACT)))
  f.set(x, f64.reinterpret(a))
  f.set(y, f64.reinterpret(b))
  for (const [op, isExact] of entries(isExactDouble)) {
    f.if(i32.eq(number, i32.const(floatNumber(op, 64))), () => {
      f.set(value, f64[op](x, y))
      f.set(result, i64.reinterpret(value))
      f.brIf(usual, i32.eqz(isExact(x, y, value)))
      f.brIf(usual, [a, b, result].map(isFar).reduce((one, other) => i32.or(one, other)))
      f.return(result)
    })
  }
}

/** Returns the result, if it may be computed so; else goes on. */
export function writeExactDoubles(site: ExactDoubles): void {
  const { f, number, a, b, result, usual } = site
  f.brIf(usual, i32.ne(unsettled(), i32.const(NOT_YET_INEXACT)))
  for (const [op, areExact] of entries(areExactDoubles)) {
    f.if(i32.eq(number, i32.const(floatVectorNumber(op, 64))), () => {
      f.set(result, pairOf[op](a, b))
      f.brIf(usual, i32.eqz(areExact(a, b, result)))
      f.brIf(usual, [a, b, result].map(areFar).reduce((one, other) => i32.or(one, other)))
      f.return(result)
    })
  }
}
