/**
 * Sums and products of two doubles at once that are exact, while MXCSR does not say yet that some
 * result was not. Nothing is done in line then, and what counts in doubles stays so for long: in
 * line, tests of this would make all operations longer that are settled.
 *
 * A sum is exact where two-sum has nothing left, a product where its factors have no more than half
 * of a significand's bits. What is not known to be exact, or not moderate (float-bounds.ts), so
 * that it is to be noted, is left to the lanes one by one (float-lanes.ts).
 */
import { i32, simd, v128, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { MODERATE } from './float-bounds.ts'
import { floatVectorNumber } from './float-lanes.ts'
import { NOT_YET_INEXACT, unsettled } from './float-state.ts'

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
const LOWER_HALVES = v128.const(0x7ff_ffffn | 0x7ff_ffffn << 64n)

function isModerate(x: Expression): Expression {
  return or(and(ge(abs(x), both(2 ** MODERATE.low)), lt(abs(x), both(2 ** MODERATE.high))),
    eq(x, ZERO))
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
