/**
 * Fused multiply-add by WebAssembly's own instructions, where they give what MXCSR asks for: the
 * fast half of `Backend.fused`, under the conditions of fast-float.ts.
 *
 * The product of singles is an exact double. To it the addend is added in double precision, rounded
 * to odd, so that rounding again to single is rounding once. In double precision the product is
 * split into a rounded one and its error (Dekker), both are added to the addend with their errors,
 * and the sum of the errors is rounded to odd before it is added last: this is the fused result
 * when nothing overflows or underflows (Boldo and Melquiond, "Emulation of a FMA and correctly
 * rounded sums", 2008), which the bounds on the operands' exponents see to.
 */
import { call, f64, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import {
  bitsOf, isOrdinary, isSafe, isZero, returnNoting, valueOf, type Width,
} from './fast-float.ts'
import { FLOAT_DOUBLE } from './float-number.ts'
import { allMasked, isPlain } from './float-state.ts'
import type { SoftFused } from './soft-fused.ts'

/** Exponents of factors stay within this of zero, those of addends below the other. */
const FACTOR_REACH = 480
const ADDEND_REACH = 1000
const BIAS = 1023
/** Multiplying by this splits a double into halves of 26 bits. */
const SPLITTER = 2 ** 27 + 1
const ZERO = f64.const(0)

/** What the emitters share: operands as bits and as values, and the way to the exact routine. */
interface Site {
  readonly f: FunctionBuilder
  readonly bits: readonly [Local, Local, Local]
  readonly x: Local
  readonly y: Local
  readonly z: Local
  readonly result: Local
  readonly slow: Label
}

function require(site: Site, condition: Expression): void {
  site.f.brIf(site.slow, i32.eqz(condition))
}

/** Sets `sum` to the rounded sum and `error` to what was lost, exactly. */
function twoSum(f: FunctionBuilder, sum: Local, error: Local, a: Local, b: Local): void {
  f.set(sum, f64.add(a, b))
  f.set(error, f64.sub(sum, a))
  f.set(error, f64.add(f64.sub(a, f64.sub(sum, error)), f64.sub(b, error)))
}

/** Makes a sum that was rounded to nearest one that was rounded to odd. */
function roundToOdd(site: Site, sum: Local, error: Local): void {
  const { f, result } = site
  f.set(result, i64.reinterpret(sum))
  const even = i64.eqz(i64.and(result, i64.const(1)))
  f.if(i32.and(f64.ne(error, ZERO), even), () => {
    // Away from zero where the error has the sign of the sum, else towards it.
    const opposite = i64.shrS(i64.xor(result, i64.reinterpret(error)), i64.const(63))
    f.set(sum, f64.reinterpret(i64.add(result, i64.or(opposite, i64.const(1)))))
  })
}

/** Takes the operands, with the product or the addend negated as the operation's number says. */
function loadOperands(site: Site, number: Local, width: Width): void {
  const { f, bits: [a, b, c], x, y, z } = site
  require(site, i32.and(isPlain(), i32.and(isOrdinary(c, width),
    i32.and(isOrdinary(a, width), isOrdinary(b, width)))))
  f.set(x, valueOf(a, width))
  f.set(y, valueOf(b, width))
  f.set(z, valueOf(c, width))
  f.if(i32.and(number, i32.const(2)), () => f.set(x, f64.neg(x)))
  f.if(i32.and(number, i32.const(1)), () => f.set(z, f64.neg(z)))
}

function singles(site: Site): void {
  const { f, x, y, z, result } = site
  const sum = f.local('f64')
  const error = f.local('f64')
  f.set(x, f64.mul(x, y))
  twoSum(f, sum, error, x, z)
  roundToOdd(site, sum, error)
  f.set(result, bitsOf(sum, 32))
  require(site, i32.or(isSafe(result, 32), f64.eq(sum, ZERO)))
  const exact = i32.and(f64.eq(error, ZERO), f64.eq(valueOf(result, 32), sum))
  returnNoting(f, result, exact)
}

function exponentOf(bits: Expression): Expression {
  return i32.and(i32.wrap(i64.shrU(bits, i64.const(52))), i32.const(0x7ff))
}

function isFactor(bits: Expression): Expression {
  return i32.ltU(i32.sub(exponentOf(bits), i32.const(BIAS - FACTOR_REACH)),
    i32.const(2 * FACTOR_REACH))
}

/** Sets `high` and `low` to halves of `value`. */
function split(f: FunctionBuilder, value: Local, high: Local, low: Local): void {
  f.set(high, f64.mul(value, f64.const(SPLITTER)))
  f.set(high, f64.sub(high, f64.sub(high, value)))
  f.set(low, f64.sub(value, high))
}

/** Sets `error` to what rounding lost of the product `x * y`. */
function productError(site: Site, product: Local, error: Local): void {
  const { f, x, y } = site
  const [xHigh, xLow] = [f.local('f64'), f.local('f64')]
  const [yHigh, yLow] = [f.local('f64'), f.local('f64')]
  split(f, x, xHigh, xLow)
  split(f, y, yHigh, yLow)
  f.set(error, f64.sub(f64.mul(xHigh, yHigh), product))
  f.set(error, f64.add(error, f64.mul(xHigh, yLow)))
  f.set(error, f64.add(error, f64.mul(xLow, yHigh)))
  f.set(error, f64.add(error, f64.mul(xLow, yLow)))
}

function doubles(site: Site): void {
  const { f, bits: [a, b, c], x, y, z, result } = site
  // A zero product leaves the addend, or decides with it on the sign of zero.
  f.if(i32.or(isZero(a, 64), isZero(b, 64)),
    () => f.return(i64.reinterpret(f64.add(f64.mul(x, y), z))))
  const bounded = i32.and(isFactor(a), isFactor(b))
  require(site, i32.and(bounded, i32.ltU(exponentOf(c), i32.const(BIAS + ADDEND_REACH))))
  const product = f.local('f64')
  const lost = f.local('f64')
  const upper = f.local('f64')
  const lower = f.local('f64')
  const error = f.local('f64')
  f.set(product, f64.mul(x, y))
  productError(site, product, lost)
  twoSum(f, upper, lower, z, lost)
  twoSum(f, x, y, product, upper)
  // Now x is the sum but for two errors, y and `lower`.
  twoSum(f, z, error, lower, y)
  roundToOdd(site, z, error)
  twoSum(f, product, lost, x, z)
  f.set(result, i64.reinterpret(product))
  const exact = i32.and(f64.eq(error, ZERO), f64.eq(lost, ZERO))
  require(site, i32.or(isSafe(result, 64), i32.and(exact, f64.eq(product, ZERO))))
  returnNoting(f, result, exact)
}

/**
 * Builds (number i32, a i64, b i64, c i64) -> i64, numbered by fusedNumber; `exact` is the imported
 * routine of the same signature.
 */
export function buildFastFused(
  module: ModuleBuilder, soft: SoftFused, exact: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i64' })
  const [number, a, b, c] = f.parameters as [Local, Local, Local, Local]
  const locals = {
    f, bits: [a, b, c] as const, x: f.local('f64'), y: f.local('f64'), z: f.local('f64'),
    result: f.local('i64'),
  }
  f.block((slow) => {
    const site = { ...locals, slow }
    f.if(i32.and(number, i32.const(FLOAT_DOUBLE)), () => {
      loadOperands(site, number, 64)
      doubles(site)
    })
    loadOperands(site, number, 32)
    singles(site)
  })
  f.if(allMasked(), () => {
    f.if(i32.and(number, i32.const(FLOAT_DOUBLE)),
      () => f.return(call(soft[64], number, a, b, c)))
    f.return(call(soft[32], number, a, b, c))
  })
  f.return(call(exact, number, a, b, c))
  return f
}
