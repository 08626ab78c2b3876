/**
 * Sums and products of two doubles at once that are exact, while MXCSR does not say yet that some
 * result was not. Nothing is done in line then, and what counts in doubles stays so for long.
 *
 * What was lost is computed with arithmetic that is itself exact: of sums by two-sum, of products
 * by Dekker's, whose halves of a factor have 26 bits. What is inexact, or not ordinary, or so small
 * or large that this does not hold, is left to the lanes one by one (float-lanes.ts).
 */
import { i32, simd, v128, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { floatVectorNumber } from './float-lanes.ts'
import { isPlain } from './float-state.ts'

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
const neg = vector(237)
const eq = vector(71)
const lt = vector(73)
const ge = vector(76)
const and = vector(78)
const or = vector(80)
const allTrue = (x: Expression): Expression => simd('i32', 195, [x])

const scratch = new DataView(new ArrayBuffer(8))

function both(value: number): Expression {
  scratch.setFloat64(0, value)
  const bits = scratch.getBigUint64(0)
  return v128.const(bits << 64n | bits)
}

const ZERO = v128.const(0n)
/** Multiplies to the sum of a double and its lower half. */
const SPLITTER = both(2 ** 27 + 1)
/** Products from here on have lost nothing below the smallest double. */
const SMALLEST_PRODUCT = both(2 ** -900)

/** Neither denormal nor infinite nor a NaN. */
function isOrdinary(x: Expression): Expression {
  return and(or(ge(abs(x), both(2 ** -1022)), eq(x, ZERO)), lt(abs(x), both(Infinity)))
}

/** Returns the result, if it may be computed so; else goes on. */
export function writeExactDoubles(site: ExactDoubles): void {
  const { f, number, a, b, result, usual } = site
  const [x, y, rest] = [f.local('v128'), f.local('v128'), f.local('v128')]
  f.brIf(usual, i32.eqz(isPlain()))
  const finish = (...tests: readonly Expression[]): void => {
    const good = [isOrdinary(a), isOrdinary(b), isOrdinary(result), ...tests]
    f.brIf(usual, i32.eqz(allTrue(good.reduce((one, other) => and(one, other)))))
    f.return(result)
  }
  const sum = (op: 'add' | 'sub'): void => f.if(isOperation(number, op), () => {
    f.set(y, op === 'add' ? b : neg(b))
    f.set(result, op === 'add' ? add(a, b) : sub(a, b))
    f.set(x, sub(result, a))
    f.set(rest, add(sub(a, sub(result, x)), sub(y, x)))
    finish(eq(rest, ZERO))
  })
  sum('add')
  sum('sub')
  f.if(isOperation(number, 'mul'), () => {
    const upper = (factor: Local, into: Local): void => {
      f.set(into, mul(factor, SPLITTER))
      f.set(into, sub(into, sub(into, factor)))
    }
    upper(a, x)
    upper(b, y)
    f.set(result, mul(a, b))
    const [lowX, lowY] = [sub(a, x), sub(b, y)]
    f.set(rest, sub(mul(x, y), result))
    f.set(rest, add(add(rest, mul(x, lowY)), mul(lowX, y)))
    f.set(rest, add(rest, mul(lowX, lowY)))
    const isNothing = and(eq(result, ZERO), or(eq(a, ZERO), eq(b, ZERO)))
    finish(eq(rest, ZERO), or(ge(abs(result), SMALLEST_PRODUCT), isNothing))
  })
}

function isOperation(number: Local, op: 'add' | 'sub' | 'mul'): Expression {
  return i32.eq(number, i32.const(floatVectorNumber(op, 64)))
}
