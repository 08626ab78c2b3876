/**
 * Scalar arithmetic under MXCSR in line: the fast half of `Backend.float` where a handler needs no
 * call for it.
 *
 * While MXCSR is settled (plain, and the inexact flag set: float-state.ts), an operation on
 * operands that are not denormal changes no flag unless its result tells: infinite or a NaN, or so
 * small that it may have been tiny. So a test of each operand and one of the result suffice; sums
 * in the denormal range are exact and need no such test. What the tests reject goes to the part
 * `float`, which sorts it out once more.
 *
 * In a region, operands that are doubles are asked to be moderate instead (float-bounds.ts), where
 * nothing is known of their bounds, and results are only tested where they may not be normal.
 */
import type { FloatOp } from '../../isa/backend.ts'
import {
  constantOf, f32, f64, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { type BoundedOp, isBounded, MODERATE } from './float-bounds.ts'
import { NOTED } from './float-state.ts'

type Width = 32 | 64

/** One operation to be written. `x` and `y` are of the type that `width` says. */
export interface InlineFloat {
  readonly f: FunctionBuilder
  readonly width: Width
  readonly x: Local
  readonly y: Local
  /** Whether x and y need not be asked, unless the contrary is noted: denormals.ts. */
  readonly known: readonly boolean[]
  /** Whether x and y are known to be finite. */
  readonly finite: readonly boolean[]
  /** Where bounds are kept: what the result is tested for. */
  readonly bounded: 'normal' | 'moderate' | undefined
  /** Of the type that resultTypeOf says. */
  readonly result: Local
  /** Not zero while MXCSR is not settled. */
  readonly unsettled: () => Expression
  /** Where what is unusual goes. */
  readonly slow: Label
}

/** The type of an operation's result: the width's, another float, or i64 for integers. Comparisons
 * have none. */
export function resultTypeOf(op: FloatOp, width: Width): 'f32' | 'f64' | 'i64' {
  if (op.startsWith('toInt')) return 'i64'
  return (width === 64) === (op !== 'convert') ? 'f64' : 'f32'
}

const familyOf = (width: Width) => width === 64 ? f64 : f32

/** Goes to the slow path when an operand is denormal, unless that is known. */
function requireNotDenormal(site: InlineFloat, ...operands: readonly Local[]): void {
  operands.forEach((operand, index) => {
    if (!site.known[index]) requireAsked(site, operand)
  })
}

/** The same, which counts the smallest normal number in. */
function requireAsked({ f, width, slow }: InlineFloat, x: Expression): void {
  if (width === 64) {
    const twice = i64.shl(i64.reinterpret(x), i64.const(1))
    f.brUnlikely(slow, i64.eqz(i64.shrU(i64.sub(twice, i64.const(1)), i64.const(53))))
  } else {
    const twice = i32.shl(i32.reinterpret(x), i32.const(1))
    f.brUnlikely(slow, i32.eqz(i32.shrU(i32.sub(twice, i32.const(1)), i32.const(24))))
  }
}

/** Neither zero nor normal. */
function isOdd(x: Expression, width: Width): Expression {
  if (width === 64) {
    const exponent = i64.shrU(i64.shl(i64.reinterpret(x), i64.const(1)), i64.const(53))
    return i64.geU(i64.sub(exponent, i64.const(1)), i64.const(0x7fe))
  }
  const exponent = i32.shrU(i32.shl(i32.reinterpret(x), i32.const(1)), i32.const(24))
  return i32.geU(i32.sub(exponent, i32.const(1)), i32.const(0xfe))
}

/** Infinite, a NaN, or so small that it may have been tiny before it was rounded. */
function isDoubtful(x: Expression, width: Width): Expression {
  if (width === 64) {
    const exponent = i64.shrU(i64.shl(i64.reinterpret(x), i64.const(1)), i64.const(53))
    return i64.geU(i64.sub(exponent, i64.const(2)), i64.const(0x7fd))
  }
  const exponent = i32.shrU(i32.shl(i32.reinterpret(x), i32.const(1)), i32.const(24))
  return i32.geU(i32.sub(exponent, i32.const(2)), i32.const(0xfd))
}

export function requireSettled({ f, unsettled, slow }: InlineFloat): void {
  f.brUnlikely(slow, unsettled())
}

/** What is known of operands holds unless the contrary was noted. */
export function requireUnnoted({ f, known, unsettled, slow }: InlineFloat): void {
  if (known.includes(true)) f.brUnlikely(slow, i32.and(unsettled(), i32.const(NOTED)))
}

function addition(site: InlineFloat, op: 'add' | 'sub'): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x, y)
  f.set(result, family[op](x, y))
  f.ifUnlikely(isOdd(result, width),
    () => f.brUnlikely(slow, family.ne(result, family.const(0))))
}

function product(site: InlineFloat, op: 'mul' | 'div'): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x, y)
  f.set(result, family[op](x, y))
  f.ifUnlikely(isDoubtful(result, width), () => {
    // A zero that comes from a zero is exact.
    const isZero = (value: Expression): Expression => family.eq(value, family.const(0))
    const origin = op === 'div' ? isZero(x) : i32.or(isZero(x), isZero(y))
    f.brUnlikely(slow, i32.eqz(i32.and(isZero(result), origin)))
  })
}

/** -> i32, for a double: not MODERATE, or zero. */
export function isImmoderate(bits: Expression): Expression {
  const upper = i32.wrap(i64.shrU(bits, i64.const(32)))
  const least = i32.const(1023 + MODERATE.low << 21)
  return i32.geU(i32.sub(i32.shl(upper, i32.const(1)), least),
    i32.const(MODERATE.high - MODERATE.low << 21))
}

/** -> i32, for the bits of a double: neither MODERATE nor zero. */
export function isFar(bits: Expression): Expression {
  return i32.and(isImmoderate(bits), i64.ne(i64.shl(bits, i64.const(1)), i64.const(0)))
}

/** A double operation whose operands are bounded: nothing but its result has to be looked at, and
 * not even that if it cannot but be normal. */
function bounded(site: InlineFloat, op: BoundedOp): void {
  const { f, x, y, known, result, slow } = site
  const isZero = (value: Expression): Expression => f64.eq(value, f64.const(0))
  requireSettled(site)
  const operands = op === 'sqrt' ? [x] : [x, y]
  operands.forEach((operand, index) => {
    if (known[index]) return
    f.ifUnlikely(isImmoderate(i64.reinterpret(operand)),
      () => f.brUnlikely(slow, f64.ne(operand, f64.const(0))))
  })
  if (op === 'sqrt') f.brUnlikely(slow, f64.lt(x, f64.const(0)))
  if (op === 'div') f.brUnlikely(slow, isZero(y))
  f.set(result, op === 'sqrt' ? f64.sqrt(x) : f64[op](x, y))
  if (site.bounded === 'normal') return
  f.ifUnlikely(isImmoderate(i64.reinterpret(result)), () => {
    // A zero that comes from a zero is exact, and so is that of a sum.
    const origin = op === 'mul' ? i32.or(isZero(x), isZero(y)) : isZero(x)
    const isExact = op === 'mul' || op === 'div' ? i32.and(isZero(result), origin)
      : isZero(result)
    f.brUnlikely(slow, i32.eqz(isExact))
  })
}

function squareRoot(site: InlineFloat): void {
  const { f, width, x, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x)
  f.brUnlikely(slow, i32.eqz(i32.and(family.ge(x, family.const(0)),
    family.lt(x, family.const(Infinity)))))
  f.set(result, family.sqrt(x))
}

/** By an order that is false for NaNs: after equality V8 asks in a branch of its own for them. */
function isNaN(x: Expression): Expression {
  return i32.eqz(x.type === 'f64' ? f64.ge(x, x) : f32.ge(x, x))
}

/** Goes to the slow path when x or y is a NaN. */
function requireOrdered({ f, x, y, finite, slow }: InlineFloat): void {
  for (const value of [x, y].filter((_, index) => !finite[index])) f.brUnlikely(slow, isNaN(value))
}

/** No flags but those of NaNs and denormals, whatever MXCSR says. */
function extremum(site: InlineFloat, op: 'min' | 'max'): void {
  const { f, width, x, y, result } = site
  const family = familyOf(width)
  requireUnnoted(site)
  requireNotDenormal(site, x, y)
  requireOrdered(site)
  f.set(result, select(x, y, op === 'min' ? family.lt(x, y) : family.gt(x, y)))
}

/** Makes sure that x and y compare without a flag being set. */
function comparison(site: InlineFloat): void {
  requireUnnoted(site)
  requireNotDenormal(site, site.x, site.y)
  requireOrdered(site)
}

/** -> i64: how floats compare, as FloatOp says. */
export function orderOf(x: Expression, y: Expression): Expression {
  const family = x.type === 'f64' ? f64 : f32
  const isLessOrEqual = family.le(x, y)
  const isGreaterOrEqual = family.ge(x, y)
  return i64.extendU(i32.add(i32.shl(isGreaterOrEqual, i32.const(1)),
    i32.xor(isLessOrEqual, isGreaterOrEqual)))
}

/** Sets x and y to floats that compare as `order` says, a value of FloatOp's. */
export function writeOrdered(f: FunctionBuilder, x: Local, y: Local, order: Local): void {
  const family = x.type === 'f64' ? f64 : f32
  f.set(x, family.convertI32S(i32.sub(i32.wrap(order), i32.const(2))))
  f.set(y, select(family.const(NaN), family.const(0), i64.eqz(order)))
}

/** To the other width. Narrowing rounds, and may be inexact. */
function conversion(site: InlineFloat): void {
  const { f, width, x, result, slow } = site
  if (width === 32) {
    requireAsked(site, x)
    f.brUnlikely(slow, isNaN(x))
    f.set(result, f64.promote(x))
    return
  }
  requireSettled(site)
  f.set(result, f32.demote(x))
  f.ifUnlikely(isDoubtful(result, 32), () => f.brUnlikely(slow, f64.ne(x, f64.const(0))))
}

/** A double whose last place is 1, as is that of those that differ from it by less than 2^51: their
 * significands are integers, from that of this one on. */
const UNITS = 1.5 * 2 ** 52

/** Rounds to nearest or towards zero; what does not fit goes to the slow path. V8 converts what an
 * instruction of its own made of a double back, to see whether it was one; a sum does without. */
function toInteger(site: InlineFloat, bits: Width, truncated: boolean): void {
  const { f, width, x, result, slow } = site
  const value = width === 64 ? x : f64.promote(x)
  const isBelow = (limit: number): Expression =>
    f64.lt(f64.abs(value), f64.const(truncated ? limit : limit - 0.5))
  const sum = i64.reinterpret(f64.add(truncated ? f64.trunc(value) : value, f64.const(UNITS)))
  requireSettled(site)
  if (bits === 32) {
    f.brUnlikely(slow, i32.eqz(isBelow(2 ** 31)))
    f.set(result, i64.extendU(i32.wrap(sum)))
    return
  }
  f.ifLikely(isBelow(2 ** 51), () => f.set(result, i64.sub(sum, i64.reinterpret(f64.const(UNITS)))),
    () => {
      const rounded = truncated ? value : f64.nearest(value)
      f.brUnlikely(slow, i32.eqz(f64.lt(f64.abs(rounded), f64.const(2 ** 63))))
      f.set(result, i64.truncSatF64S(rounded))
    })
}

export type RoundMode = 'nearest' | 'floor' | 'ceil' | 'trunc'

const roundModes: readonly RoundMode[] = ['nearest', 'floor', 'ceil', 'trunc']

/** Writes what ROUNDSD's immediate asks for; its bit 2 says as MXCSR, which is to nearest. */
export function writeRound(
  f: FunctionBuilder, how: Expression, write: (mode: RoundMode) => void,
): void {
  const known = constantOf(how)
  if (known !== undefined) {
    const bits = Number(BigInt(known) & 7n)
    write(roundModes[bits & 4 ? 0 : bits]!)
    return
  }
  f.block((done) => {
    const cases = roundModes.slice(1).map((mode) => () => {
      write(mode)
      f.br(done)
    })
    const mode = i32.and(i32.wrap(how), i32.const(7))
    // 1 to 3 are cases 0 to 2; all else is to nearest.
    f.switch(i32.sub(mode, i32.const(1)), cases, () => write('nearest'))
  })
}

function roundToIntegral(site: InlineFloat, how: Expression): void {
  const { f, width, x, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  f.brUnlikely(slow, isNaN(x))
  writeRound(f, how, (mode) => f.set(result, family[mode](x)))
}

/** Writes the operation; `integer` is the scalar operand of conversions and of rounding. */
export function writeInlineFloat(site: InlineFloat, op: FloatOp, integer: Expression): void {
  if (site.bounded && isBounded(op)) return bounded(site, op)
  switch (op) {
    case 'add': case 'sub': return addition(site, op)
    case 'mul': case 'div': return product(site, op)
    case 'sqrt': return squareRoot(site)
    case 'min': case 'max': return extremum(site, op)
    case 'compare': case 'compareSignaling': return comparison(site)
    case 'convert': return conversion(site)
    case 'round': return roundToIntegral(site, integer)
    case 'fromHalf': case 'toHalf': return site.f.br(site.slow)
    case 'toInt32': return toInteger(site, 32, false)
    case 'toInt64': return toInteger(site, 64, false)
    case 'toInt32Truncated': return toInteger(site, 32, true)
    case 'toInt64Truncated': return toInteger(site, 64, true)
    case 'fromInt32': case 'fromInt64': {
      const family = familyOf(site.width)
      // Integers of 32 bits are doubles.
      if (op === 'fromInt64' || site.width === 32) requireSettled(site)
      site.f.set(site.result, op === 'fromInt64' ? family.convertI64S(integer)
        : family.convertI32S(i32.wrap(integer)))
    }
  }
}
