/**
 * Arithmetic under MXCSR on 32- and 64-bit floats, bit-exact: the meaning of `Backend.float`.
 *
 * Values are bit patterns in bigints. Exceptions that an operation met are left in `floatFlags`, in
 * the places of MXCSR (AMD APM 1, 4.2.2 and 4.8); the caller collects them and raises #XM. When an
 * exception found before computing is unmasked, later ones are not looked for, as on the CPU.
 */
import type { FloatOp, FusedOp } from '../backend.ts'
import {
  double, half, isDenormal, isInfinite, isNaN, isSignaling, isZero, operand, realOf, single,
  type Encoding,
} from './encoding.ts'
import {
  addReals, compareReals, divideReals, multiplyReals, real, rootOfReal, type Real,
} from './real.ts'
import {
  BEFORE_COMPUTING, DENORMAL, DOWN, INEXACT, INVALID, TRUNCATE, UNDERFLOW, ZERO_DIVIDE, rounded,
  roundReal, roundToInteger,
} from './round.ts'

/** Exceptions of the last call of `float`. */
export let floatFlags = 0

const FLUSH_TO_ZERO = 1 << 15

/** Rounds and encodes a value that is not zero, and adds what happened to floatFlags. */
function encode(value: Real, e: Encoding, mxcsr: number): bigint {
  const unmasked = ~(mxcsr >> 7) & 0x3f
  roundReal(value, e.format, mxcsr >> 13 & 3, unmasked)
  const sign = value.sign ? e.sign : 0n
  floatFlags |= rounded.flags
  if (rounded.overflow !== 'none') {
    return sign | (rounded.overflow === 'infinity' ? e.infinity : e.infinity - 1n)
  }
  const { significand, exponent } = rounded
  if (rounded.tiny && mxcsr & FLUSH_TO_ZERO && !(unmasked & UNDERFLOW)) {
    floatFlags |= UNDERFLOW | INEXACT
    return sign
  }
  if (significand >> e.fractionBits === 0n) return sign | significand
  const biased = exponent + Number(e.fractionBits) + e.bias
  return sign | (BigInt(biased & e.exponentMask) << e.fractionBits) + (significand & e.fraction)
}

/** The NaN that two operands yield, one of which is a NaN: the first, made quiet. */
function propagate(a: bigint, b: bigint, e: Encoding): bigint {
  if (isSignaling(a, e) || isSignaling(b, e)) floatFlags |= INVALID
  return (isNaN(a, e) ? a : b) | e.quiet
}

function invalid(e: Encoding): bigint {
  floatFlags |= INVALID
  return e.indefinite
}

/** Notes denormal operands; true when that stops the operation because it is unmasked. */
function stopsBefore(mxcsr: number): boolean {
  return (floatFlags & BEFORE_COMPUTING & ~(mxcsr >> 7)) !== 0
}

function add(a: bigint, b: bigint, e: Encoding, mxcsr: number): bigint {
  if (isInfinite(a, e)) {
    return isInfinite(b, e) && a !== b ? invalid(e) : a
  }
  if (isInfinite(b, e)) return b
  if (stopsBefore(mxcsr)) return a
  const down = (mxcsr >> 13 & 3) === 1
  if (isZero(a, e) && isZero(b, e)) return a === b ? a : down ? e.sign : 0n
  if (isZero(a, e)) return encode(realOf(b, e), e, mxcsr)
  if (isZero(b, e)) return encode(realOf(a, e), e, mxcsr)
  const sum = addReals(realOf(a, e), realOf(b, e))
  if (sum.significand === 0n) return down ? e.sign : 0n
  return encode(sum, e, mxcsr)
}

function multiply(a: bigint, b: bigint, e: Encoding, mxcsr: number): bigint {
  const sign = (a ^ b) & e.sign
  if (isInfinite(a, e) || isInfinite(b, e)) {
    return isZero(a, e) || isZero(b, e) ? invalid(e) : sign | e.infinity
  }
  if (isZero(a, e) || isZero(b, e) || stopsBefore(mxcsr)) return sign
  return encode(multiplyReals(realOf(a, e), realOf(b, e)), e, mxcsr)
}

function divide(a: bigint, b: bigint, e: Encoding, mxcsr: number): bigint {
  const sign = (a ^ b) & e.sign
  if (isInfinite(a, e)) return isInfinite(b, e) ? invalid(e) : sign | e.infinity
  if (isInfinite(b, e)) return sign
  if (isZero(b, e)) {
    if (isZero(a, e)) return invalid(e)
    floatFlags |= ZERO_DIVIDE
    return sign | e.infinity
  }
  if (isZero(a, e) || stopsBefore(mxcsr)) return sign
  return encode(divideReals(realOf(a, e), realOf(b, e)), e, mxcsr)
}

function squareRoot(a: bigint, e: Encoding, mxcsr: number): bigint {
  if (isNaN(a, e)) return propagate(a, a, e)
  if (isZero(a, e)) return a
  if (a & e.sign) return invalid(e)
  if (isInfinite(a, e)) return a
  if (isDenormal(a, e)) floatFlags |= DENORMAL
  if (stopsBefore(mxcsr)) return a
  return encode(rootOfReal(realOf(a, e)), e, mxcsr)
}

function noteDenormals(a: bigint, b: bigint, e: Encoding): void {
  if (isDenormal(a, e) || isDenormal(b, e)) floatFlags |= DENORMAL
}

/** MIN and MAX: the second operand when either is a NaN or both are zeros. */
function extremum(a: bigint, b: bigint, e: Encoding, wanted: number): bigint {
  if (isNaN(a, e) || isNaN(b, e)) {
    floatFlags |= INVALID
    return b
  }
  noteDenormals(a, b, e)
  return order(a, b, e) === wanted ? a : b
}

/** 0 unordered, 1 less, 2 equal, 3 greater. */
function order(a: bigint, b: bigint, e: Encoding): number {
  if (isNaN(a, e) || isNaN(b, e)) return 0
  // An infinity's pattern read as a number is beyond every finite one.
  return compareReals(realOf(a, e), realOf(b, e)) + 2
}

function compare(a: bigint, b: bigint, e: Encoding, signaling: boolean): number {
  if (isNaN(a, e) || isNaN(b, e)) {
    if (signaling || isSignaling(a, e) || isSignaling(b, e)) floatFlags |= INVALID
    return 0
  }
  noteDenormals(a, b, e)
  return order(a, b, e)
}

function roundToIntegral(a: bigint, how: number, e: Encoding, mxcsr: number): bigint {
  if (isNaN(a, e)) return propagate(a, a, e)
  if (isInfinite(a, e) || isZero(a, e)) return a
  const mode = how & 4 ? mxcsr >> 13 & 3 : how & 3
  const whole = roundToInteger(realOf(a, e), mode)
  if (!(how & 8)) floatFlags |= rounded.flags
  const sign = a & e.sign
  if (whole === 0n) return sign
  // An integral value of at most the format's precision: encoding it is exact.
  const flags = floatFlags
  const result = encode(real(sign ? 1 : 0, 0, whole < 0n ? -whole : whole), e, mxcsr)
  floatFlags = flags
  return result
}

function convert(a: bigint, from: Encoding, to: Encoding, mxcsr: number): bigint {
  const sign = a & from.sign ? to.sign : 0n
  if (isNaN(a, from)) {
    if (isSignaling(a, from)) floatFlags |= INVALID
    const shift = to.fractionBits - from.fractionBits
    const payload = a & from.fraction
    return sign | to.infinity | to.quiet | (shift > 0n ? payload << shift : payload >> -shift)
  }
  if (isInfinite(a, from)) return sign | to.infinity
  if (isZero(a, from)) return sign
  if (isDenormal(a, from)) floatFlags |= DENORMAL
  if (stopsBefore(mxcsr)) return a
  return encode(realOf(a, from), to, mxcsr)
}

function fromInteger(a: bigint, width: 32 | 64, e: Encoding, mxcsr: number): bigint {
  const value = BigInt.asIntN(width, a)
  if (value === 0n) return 0n
  return encode(real(value < 0n ? 1 : 0, 0, value < 0n ? -value : value), e, mxcsr)
}

/** Out of range and NaN give the integer indefinite: only the top bit. */
function toInteger(a: bigint, width: 32 | 64, mode: number, e: Encoding): bigint {
  const limit = 1n << BigInt(width - 1)
  if (isNaN(a, e) || isInfinite(a, e)) {
    floatFlags |= INVALID
    return limit
  }
  const value = roundToInteger(realOf(a, e), mode)
  if (value >= limit || value < -limit) {
    floatFlags |= INVALID
    return limit
  }
  floatFlags |= rounded.flags
  return BigInt.asUintN(width, value)
}

/** Half precision knows neither FTZ nor a rounding mode of its own. */
function toHalf(a: bigint, how: number, mxcsr: number): bigint {
  const mode = how & 4 ? mxcsr >> 13 & 3 : how & 3
  return convert(a, single, half, mxcsr & ~(FLUSH_TO_ZERO | 3 << 13) | mode << 13)
}

/** Every number of half precision is a normal single; denormals are no exception, masked or not. */
function fromHalf(a: bigint, mxcsr: number): bigint {
  const result = convert(a, half, single, mxcsr | DENORMAL << 7)
  floatFlags &= ~DENORMAL
  return result
}

/** Two operands, one result of the same format. */
function arithmetic(op: FloatOp, a: bigint, b: bigint, e: Encoding, mxcsr: number): bigint {
  if (isNaN(a, e) || isNaN(b, e)) return propagate(a, b, e)
  noteDenormals(a, b, e)
  switch (op) {
    case 'mul': return withPriority(multiply(a, b, e, mxcsr))
    case 'div': return withPriority(divide(a, b, e, mxcsr))
    case 'sub': return withPriority(add(a, b ^ e.sign, e, mxcsr))
    default: return withPriority(add(a, b, e, mxcsr))
  }
}

/** Invalid operations and divisions by zero come first; a denormal is then not reported. */
function withPriority(result: bigint): bigint {
  if (floatFlags & (INVALID | ZERO_DIVIDE)) floatFlags &= ~DENORMAL
  return result
}

/**
 * Computes `op` and leaves its exceptions in floatFlags. What `width` says depends on the
 * operation: see FloatOp. One-operand operations ignore `b`, but for `round`, whose immediate it
 * is.
 */
export function float(
  op: FloatOp, width: 32 | 64, a: bigint, b: bigint, mxcsr: number,
): bigint {
  floatFlags = 0
  const e = width === 32 ? single : double
  const mode = mxcsr >> 13 & 3
  switch (op) {
    case 'fromInt32': return fromInteger(a, 32, e, mxcsr)
    case 'fromInt64': return fromInteger(a, 64, e, mxcsr)
  }
  if (op === 'fromHalf') return fromHalf(a & 0xffffn, mxcsr)
  const x = operand(a, e, mxcsr)
  switch (op) {
    case 'toHalf': return toHalf(x, Number(b & 7n), mxcsr)
    case 'sqrt': return squareRoot(x, e, mxcsr)
    case 'round': return roundToIntegral(x, Number(b & 15n), e, mxcsr)
    case 'convert': return convert(x, e, width === 32 ? double : single, mxcsr)
    case 'toInt32': return toInteger(x, 32, mode, e)
    case 'toInt64': return toInteger(x, 64, mode, e)
    case 'toInt32Truncated': return toInteger(x, 32, TRUNCATE, e)
    case 'toInt64Truncated': return toInteger(x, 64, TRUNCATE, e)
  }
  const y = operand(b, e, mxcsr)
  switch (op) {
    case 'min': return extremum(x, y, e, 1)
    case 'max': return extremum(x, y, e, 3)
    case 'compare': return BigInt(compare(x, y, e, false))
    case 'compareSignaling': return BigInt(compare(x, y, e, true))
    default: return arithmetic(op, x, y, e, mxcsr)
  }
}

/** The first of three operands that is a NaN, made quiet. */
function propagateOfThree(a: bigint, b: bigint, c: bigint, e: Encoding): bigint {
  if (isSignaling(a, e) || isSignaling(b, e) || isSignaling(c, e)) floatFlags |= INVALID
  return (isNaN(a, e) ? a : isNaN(b, e) ? b : c) | e.quiet
}

/**
 * `a * b + c` rounded once, with signs as `op` says, and its exceptions in floatFlags. Of NaNs the
 * first is taken; beside one, zero times infinity is no exception.
 */
export function fused(
  op: FusedOp, width: 32 | 64, a: bigint, b: bigint, c: bigint, mxcsr: number,
): bigint {
  floatFlags = 0
  const e = width === 32 ? single : double
  const x = operand(a, e, mxcsr)
  const y = operand(b, e, mxcsr)
  const z = operand(c, e, mxcsr)
  if (isNaN(x, e) || isNaN(y, e) || isNaN(z, e)) return propagateOfThree(x, y, z, e)
  noteDenormals(x, y, e)
  noteDenormals(z, z, e)
  const first = op === 'nmadd' || op === 'nmsub' ? x ^ e.sign : x
  const addend = op === 'msub' || op === 'nmsub' ? z ^ e.sign : z
  return withPriority(multiplyAdd(first, y, addend, e, mxcsr))
}

function multiplyAdd(a: bigint, b: bigint, c: bigint, e: Encoding, mxcsr: number): bigint {
  const sign = (a ^ b) & e.sign
  if (isInfinite(a, e) || isInfinite(b, e)) {
    if (isZero(a, e) || isZero(b, e)) return invalid(e)
    return add(sign | e.infinity, c, e, mxcsr)
  }
  if (isInfinite(c, e) || isZero(a, e) || isZero(b, e)) return add(sign, c, e, mxcsr)
  if (stopsBefore(mxcsr)) return a
  const product = multiplyReals(realOf(a, e), realOf(b, e))
  if (isZero(c, e)) return encode(product, e, mxcsr)
  const sum = addReals(product, realOf(c, e))
  if (sum.significand !== 0n) return encode(sum, e, mxcsr)
  return (mxcsr >> 13 & 3) === DOWN ? e.sign : 0n
}
