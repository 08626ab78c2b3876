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
function zerosOf(bits: Expression): Expression {
  return i64.ctz(i64.and(bits, i64.const(~EXPONENT_UNIT)))
}

/** The same for one double, whose bits are given. */
export function writeExactDouble(site: ExactDoubles): void {
  const { f, number, a, b, result, usual } = site
  const [x, y, value] = [f.local('f64'), f.local('f64'), f.local('f64')]
  f.brIf(usual, i32.ne(unsettled(), i32.const(NOT_YET_INEXACT)))
  f.set(x, f64.reinterpret(a))
  f.set(y, f64.reinterpret(b))
  const compute = (op: 'add' | 'sub' | 'mul' | 'div', isExact: Expression): void =>
    f.if(i32.eq(number, i32.const(floatNumber(op, 64))), () => {
      f.set(value, f64[op](x, y))
      f.set(result, i64.reinterpret(value))
      f.brIf(usual, i32.eqz(isExact))
      f.brIf(usual, [a, b, result].map(isFar).reduce((one, other) => i32.or(one, other)))
      f.return(result)
    })
  const isWhole = (one: Expression, other: Expression): Expression =>
    i64.gtU(i64.add(zerosOf(one), zerosOf(other)), i64.const(52))
  compute('add', i32.and(f64.eq(f64.sub(value, x), y), f64.eq(f64.sub(value, y), x)))
  compute('mul', isWhole(a, b))
  compute('sub', i32.and(f64.eq(f64.sub(x, value), y), f64.eq(f64.add(value, y), x)))
  compute('div', i32.and(f64.eq(f64.mul(value, y), x), isWhole(result, b)))
}

/** Returns the result, if it may be computed so; else goes on. */
export function writeExactDoubles(site: ExactDoubles): void {
  const { f, number, a, b, result, usual } = site
  f.brIf(usual, i32.ne(unsettled(), i32.const(NOT_YET_INEXACT)))
  const compute = (op: 'add' | 'sub' | 'mul', value: Expression, isExact: Expression): void =>
    f.if(i32.eq(number, i32.const(floatVectorNumber(op, 64))), () => {
      f.set(result, value)
      f.brIf(usual, i32.eqz(isExact))
      const moderate = [a, b, result].map(isModerate).reduce((one, other) => and(one, other))
      f.brIf(usual, i32.eqz(allTrue(moderate)))
      f.return(result)
    })
  compute('mul', mul(a, b), i32.eqz(anyTrue(and(or(a, b), LOWER_HALVES))))
  compute('add', add(a, b), allTrue(and(eq(sub(result, a), b), eq(sub(result, b), a))))
  compute('sub', sub(a, b), allTrue(and(eq(sub(a, result), b), eq(add(result, b), a))))
}
