/**
 * Floating point by WebAssembly's own instructions, where they give what MXCSR asks for: the fast
 * half of `Backend.float`.
 *
 * The fast path is taken when operands and result are ordinary (normal numbers or zeros), rounding
 * is to nearest, all exceptions are masked, and neither DAZ nor FTZ is set; then the only flag that
 * may come is the inexact one. Unless it is set already, exactness is found out with arithmetic
 * that is itself exact: the error of a sum by two-sum, products by the zeros at the operands' ends,
 * quotients and roots by multiplying back. Single precision is computed in double precision and
 * rounded once more, which is the same (53 bits are more than twice 24 and two). Everything else
 * goes to soft-float.ts, or while some exception is not masked to the exact routine of isa/float,
 * which is imported.
 */
import type { FloatOp } from '../../isa/backend.ts'
import {
  call, f32, f64, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { FLOAT_DOUBLE, FLOAT_OP_MASK, floatOps } from './float-number.ts'
import { allMasked, inexactAlready, isPlain, loadMxcsr } from './float-state.ts'
import type { SoftFloat } from './soft-float.ts'

const CORE = 0
const Z = i32.const(0)
const INEXACT = 0x20
/** The significand's leading bit, which is not written. */
const LEADING = 1n << 52n

export type Width = 32 | 64

/** Not a denormal, an infinity or a NaN. */
function isNormal(bits: Expression, width: Width): Expression {
  const shift = width === 64 ? 52 : 23
  const top = width === 64 ? 0x7ff : 0xff
  const exponent = i32.and(i32.wrap(i64.shrU(bits, i64.const(shift))), i32.const(top))
  return i32.ltU(i32.sub(exponent, i32.const(1)), i32.const(top - 1))
}

/** As isNormal, but for the smallest exponent, whose results may have been tiny once. */
export function isSafe(bits: Expression, width: Width): Expression {
  const shift = width === 64 ? 52 : 23
  const top = width === 64 ? 0x7ff : 0xff
  const exponent = i32.and(i32.wrap(i64.shrU(bits, i64.const(shift))), i32.const(top))
  return i32.ltU(i32.sub(exponent, i32.const(2)), i32.const(top - 2))
}

export function isZero(bits: Expression, width: Width): Expression {
  return i64.eqz(i64.shl(bits, i64.const(width === 64 ? 1 : 33)))
}

export function isOrdinary(bits: Expression, width: Width): Expression {
  return i32.or(isNormal(bits, width), isZero(bits, width))
}

/** The value in double precision, whatever the width. */
export function valueOf(bits: Expression, width: Width): Expression {
  if (width === 64) return f64.reinterpret(bits)
  return f64.promote(f32.reinterpret(i32.wrap(bits)))
}

/** The bits of a double rounded to `width`. */
export function bitsOf(value: Expression, width: Width): Expression {
  if (width === 64) return i64.reinterpret(value)
  return i64.extendU(i32.reinterpret(f32.demote(value)))
}

/** What the emitters of one function share. */
interface Site {
  readonly f: FunctionBuilder
  readonly a: Local
  readonly b: Local
  readonly x: Local
  readonly y: Local
  readonly value: Local
  readonly error: Local
  readonly bits: Local
  /** Leaves for the exact routine. */
  readonly slow: Label
}

function require(site: Site, condition: Expression): void {
  site.f.brIf(site.slow, i32.eqz(condition))
}

function loadOperands(site: Site, width: Width): void {
  const { f, a, b, x, y } = site
  require(site, i32.and(isOrdinary(a, width), isOrdinary(b, width)))
  f.set(x, valueOf(a, width))
  f.set(y, valueOf(b, width))
}

/** Returns `bits`, and notes that they are inexact unless they are exact. */
export function returnNoting(f: FunctionBuilder, bits: Local, exact: Expression): void {
  f.if(i32.eqz(i32.or(inexactAlready(), exact)), () => f.store('i32', CORE, Z,
    i32.or(loadMxcsr(), i32.const(INEXACT)), CpuContext.offsets.mxcsr))
  f.return(bits)
}

/** Returns `value` rounded; `exactBefore` speaks of `value` itself. */
function returnRounded(site: Site, width: Width, exactBefore: Expression): void {
  const { f, value, bits } = site
  f.set(bits, bitsOf(value, width))
  returnNoting(f, bits, width === 64 ? exactBefore
    : i32.and(exactBefore, f64.eq(valueOf(bits, 32), value)))
}

function addition(site: Site, width: Width, subtract: boolean): void {
  const { f, x, y, value, error } = site
  require(site, isPlain())
  loadOperands(site, width)
  if (subtract) f.set(y, f64.neg(y))
  f.set(value, f64.add(x, y))
  // Two-sum: what was lost of y, and of x.
  f.set(error, f64.sub(value, x))
  f.set(error, f64.add(f64.sub(x, f64.sub(value, error)), f64.sub(y, error)))
  f.set(site.bits, bitsOf(value, width))
  // An exact cancellation is the only zero; its sign is that of rounding to nearest.
  require(site, isOrdinary(site.bits, width))
  returnRounded(site, width, f64.eq(error, f64.const(0)))
}

/** Multiplication and division: a zero result is exact only when it comes from a zero. */
function requireResult(site: Site, width: Width, zeros: Expression): void {
  const { f, value, bits } = site
  f.set(bits, bitsOf(value, width))
  require(site, i32.or(isSafe(bits, width), i32.and(zeros, isZero(bits, width))))
}

/** How many of the significand's lowest bits are zero. */
function trailingZeros(bits: Expression): Expression {
  return i64.ctz(i64.or(bits, i64.const(LEADING)))
}

function multiplication(site: Site, width: Width): void {
  const { f, a, b, x, y, value, bits } = site
  require(site, isPlain())
  loadOperands(site, width)
  f.set(value, f64.mul(x, y))
  requireResult(site, width, i32.or(isZero(a, width), isZero(b, width)))
  if (width === 32) {
    // The product of two singles has 48 bits.
    returnRounded(site, 32, i32.const(1))
    return
  }
  const zeros = i64.add(trailingZeros(a), trailingZeros(b))
  requireKnown(site, zeros, isZero(bits, 64))
  returnNoting(site.f, site.bits, i32.or(isZero(bits, 64), i64.gtU(zeros, i64.const(52))))
}

/** A product of doubles has 105 or 106 bits: it is exact when 52 or 53 at its end are zeros. */
function requireKnown(site: Site, zeros: Expression, exact: Expression): void {
  require(site, i32.or(i32.or(exact, inexactAlready()), i64.ne(zeros, i64.const(52))))
}

/** A quotient or root is exact when multiplying back is, and gives what it came from. */
function returnChecked(site: Site, width: Width, whole: Expression, other: Expression): void {
  if (width === 32) {
    returnNoting(site.f, site.bits, whole)
    return
  }
  const zeros = i64.add(trailingZeros(site.bits), trailingZeros(other))
  const isNothing = isZero(site.bits, 64)
  requireKnown(site, zeros, isNothing)
  returnNoting(site.f, site.bits, i32.or(isNothing, i32.and(whole, i64.gtU(zeros, i64.const(52)))))
}

function division(site: Site, width: Width): void {
  const { f, a, b, x, y, value, bits, error } = site
  require(site, isPlain())
  loadOperands(site, width)
  require(site, isNormal(b, width))
  f.set(value, f64.div(x, y))
  requireResult(site, width, isZero(a, width))
  f.set(error, width === 64 ? value : valueOf(bits, 32))
  returnChecked(site, width, f64.eq(f64.mul(error, y), x), b)
}

function squareRoot(site: Site, width: Width): void {
  const { f, a, x, bits, error } = site
  require(site, isPlain())
  const sign = i64.and(i64.shrU(a, i64.const(width - 1)), i64.const(1))
  require(site, i32.and(isOrdinary(a, width), i32.or(i64.eqz(sign), isZero(a, width))))
  f.set(x, valueOf(a, width))
  f.set(bits, bitsOf(f64.sqrt(x), width))
  f.set(error, valueOf(bits, width))
  returnChecked(site, width, f64.eq(f64.mul(error, error), x), bits)
}

/** No flags but those of NaNs and denormals, which are not ordinary. */
function comparison(site: Site, width: Width): void {
  const { f, x, y } = site
  loadOperands(site, width)
  const order = i32.add(i32.sub(f64.gt(x, y), f64.lt(x, y)), i32.const(2))
  f.return(i64.extendU(order))
}

function extremum(site: Site, width: Width, op: 'min' | 'max'): void {
  const { f, a, b, x, y } = site
  loadOperands(site, width)
  f.return(select(a, b, op === 'min' ? f64.lt(x, y) : f64.gt(x, y)))
}

function conversion(site: Site, width: Width): void {
  const { f, a, value, bits } = site
  require(site, isOrdinary(a, width))
  f.set(value, valueOf(a, width))
  if (width === 32) {
    f.return(i64.reinterpret(value))
    return
  }
  require(site, isPlain())
  f.set(bits, bitsOf(value, 32))
  require(site, i32.or(isSafe(bits, 32), isZero(a, 64)))
  returnNoting(site.f, site.bits, f64.eq(valueOf(bits, 32), value))
}

/** 32-bit integers and those below 2^53 are doubles; singles may have to be rounded. */
function fromInteger(site: Site, width: Width, from: Width): void {
  const { f, a, value, bits } = site
  const integer = from === 64 ? a : i64.extend32(a)
  if (from === 64) {
    const limit = i64.const(1n << 53n)
    require(site, i64.leU(i64.add(a, limit), i64.const(1n << 54n)))
  }
  f.set(value, f64.convertI64S(integer))
  f.set(bits, bitsOf(value, width))
  if (width === 64) {
    f.return(bits)
    return
  }
  require(site, isPlain())
  returnNoting(site.f, site.bits, f64.eq(valueOf(bits, 32), value))
}

/** Rounds to nearest, or towards zero; what does not fit goes to the exact routine. */
function toInteger(site: Site, width: Width, to: Width, truncated: boolean): void {
  const { f, a, x, value, bits } = site
  if (!truncated) require(site, isPlain())
  require(site, isOrdinary(a, width))
  f.set(x, valueOf(a, width))
  f.set(value, truncated ? f64.trunc(x) : f64.nearest(x))
  require(site, f64.lt(f64.abs(value), f64.const(to === 64 ? 2 ** 63 : 2 ** 31)))
  const exact = f64.eq(value, x)
  require(site, i32.or(allMasked(), exact))
  const integer = i64.truncSatF64S(value)
  f.set(bits, to === 64 ? integer : i64.and(integer, i64.const(0xffffffffn)))
  returnNoting(site.f, site.bits, exact)
}

/** The fast path of one operation; what falls off its end goes to the exact routine. */
function emitOperation(site: Site, op: FloatOp, width: Width): void {
  switch (op) {
    case 'add': return addition(site, width, false)
    case 'sub': return addition(site, width, true)
    case 'mul': return multiplication(site, width)
    case 'div': return division(site, width)
    case 'sqrt': return squareRoot(site, width)
    case 'min': case 'max': return extremum(site, width, op)
    case 'convert': return conversion(site, width)
    case 'fromInt32': return fromInteger(site, width, 32)
    case 'fromInt64': return fromInteger(site, width, 64)
    case 'toInt32': return toInteger(site, width, 32, false)
    case 'toInt64': return toInteger(site, width, 64, false)
    case 'toInt32Truncated': return toInteger(site, width, 32, true)
    case 'toInt64Truncated': return toInteger(site, width, 64, true)
    case 'compare': case 'compareSignaling': return comparison(site, width)
    case 'round': case 'fromHalf': case 'toHalf': return
  }
}

/**
 * Builds (number i32, a i64, b i64) -> i64, the operations numbered as in float-number.ts; `exact`
 * is the imported routine of the same signature.
 */
export function buildFastFloat(
  module: ModuleBuilder, soft: SoftFloat, exact: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'i64', 'i64'], result: 'i64' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const locals = {
    x: f.local('f64'), y: f.local('f64'), value: f.local('f64'), error: f.local('f64'),
    bits: f.local('i64'),
  }
  const cases = ([32, 64] as const).flatMap((width) => floatOps.map((op) => () => {
    f.block((slow) => emitOperation({ f, a, b, slow, ...locals }, op, width))
    f.if(allMasked(), () => f.return(call(soft[width][op], a, b)))
    f.return(call(exact, number, a, b))
  }))
  const index = i32.add(i32.and(number, i32.const(FLOAT_OP_MASK)),
    select(i32.const(floatOps.length), i32.const(0), i32.and(number, i32.const(FLOAT_DOUBLE))))
  f.switch(index, cases, () => f.unreachable())
  return f
}
