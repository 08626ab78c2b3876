/**
 * FSIN, FCOS, FPTAN, FPATAN, F2XM1, FYL2X, FYL2XP1, correctly rounded (Intel SDM 1, 8.3).
 *
 * Processors document an error of up to one unit in the last place and differ from one another in
 * it. Trigonometric arguments are reduced with the processor's value of pi, which has 66 bits.
 */
import {
  addReals, bitLength, compareReals, divideReals, magnitudeOf, multiplyReals, real, type Real,
} from '../float/real.ts'
import { DENORMAL, INEXACT, ZERO_DIVIDE } from '../float/round.ts'
import {
  ONE, encode, extended, infinity, invalid, isNaN, kindOf, outcome, propagate, realOf, signOf, zero,
  type Extended, type Kind,
} from './extended.ts'
import {
  BITS, LN2, PI, UNIT, arcTangent, cosine, exponentialLessOne, logarithm, over, sine,
} from './series.ts'

/** Twice this is pi as the processor has it: 66 bits. */
const HALF_PI = real(0, -67, 0xc90fdaa22168c234cn)
/** Below this magnitude, a second term is out of sight and only tips the rounding. */
const TINY = -72
/** An exact value moved by this much in its last place rounds as what is next to it. */
const NUDGE = 80n

function fixed(a: Real): bigint {
  const shift = BigInt(a.exponent + BITS)
  const magnitude = shift >= 0n ? a.significand << shift : a.significand >> -shift
  return a.sign ? -magnitude : magnitude
}

/** A fixed-point result: never exact. */
function realOfFixed(a: bigint): Real {
  return a < 0n ? real(1, -BITS - 1, -a << 1n | 1n) : real(0, -BITS - 1, a << 1n | 1n)
}

function nudged(a: Real, towardsZero: boolean): Real {
  const significand = a.significand << NUDGE
  return real(a.sign, a.exponent - Number(NUDGE), towardsZero ? significand - 1n : significand + 1n)
}

function finish(value: Real, control: number): Extended {
  const result = encode(value, control, false)
  outcome.flags |= INEXACT
  return result
}

/** NaNs and unsupported operands; undefined for a number or an infinity. Notes denormals. */
function unusable(a: Extended): Extended | undefined {
  const kind = kindOf(a)
  if (kind === 'unsupported') return invalid()
  if (isNaN(kind)) return propagate(a, a)
  if (kind === 'denormal') outcome.flags |= DENORMAL
  return undefined
}

/** Beyond 2^63 the instruction does nothing but set C2. */
export function outOfRange(a: Extended): boolean {
  const exponent = a.signExponent & 0x7fff
  return exponent >= 16383 + 63 && exponent !== 0x7fff && kindOf(a) === 'normal'
}

interface Reduced {
  readonly quadrant: number
  /** Within a quarter of pi around zero. */
  readonly angle: Real
}

/** `a` less the nearest multiple of pi/2. */
function reduce(a: Real): Reduced {
  if (magnitudeOf(a) < -1) return { quadrant: 0, angle: a }
  const exponent = Math.min(a.exponent, HALF_PI.exponent)
  const value = a.significand << BigInt(a.exponent - exponent)
  const turn = HALF_PI.significand << BigInt(HALF_PI.exponent - exponent)
  const count = (2n * value + turn) / (2n * turn)
  const rest = value - count * turn
  const quadrant = Number(a.sign ? -count & 3n : count & 3n)
  const negative = rest < 0n !== (a.sign === 1)
  return { quadrant, angle: real(negative ? 1 : 0, exponent, rest < 0n ? -rest : rest) }
}

function sineOf({ quadrant, angle }: Reduced): Real {
  const turned = quadrant & 2 ? real(1 - angle.sign, angle.exponent, angle.significand) : angle
  if (!(quadrant & 1)) {
    if (magnitudeOf(turned) < TINY) return nudged(turned, true)
    return realOfFixed(sine(fixed(turned)))
  }
  const sign = quadrant & 2
  if (magnitudeOf(angle) < TINY) return nudged(real(sign, 0, 1n), true)
  const value = cosine(fixed(angle))
  return realOfFixed(sign ? -value : value)
}

function cosineOf({ quadrant, angle }: Reduced): Real {
  return sineOf({ quadrant: quadrant + 1 & 3, angle })
}

/** FSIN and FCOS of an operand in range. */
export function trigonometric(a: Extended, control: number, which: 'sin' | 'cos'): Extended {
  const special = unusable(a)
  if (special) return special
  if (kindOf(a) === 'infinity') return invalid()
  if (kindOf(a) === 'zero') return which === 'sin' ? a : ONE
  const reduced = reduce(realOf(a))
  return finish(which === 'sin' ? sineOf(reduced) : cosineOf(reduced), control)
}

/** The tangent that FPTAN leaves under the one. */
export function tangent(a: Extended, control: number): Extended {
  const special = unusable(a)
  if (special) return special
  if (kindOf(a) === 'infinity') return invalid()
  if (kindOf(a) === 'zero') return a
  const reduced = reduce(realOf(a))
  if (!(reduced.quadrant & 1) && magnitudeOf(reduced.angle) < TINY) {
    return finish(nudged(reduced.angle, false), control)
  }
  return finish(preciseQuotient(sineOf(reduced), cosineOf(reduced)), control)
}

/** divideReals keeps bits for one rounding; two quotients of long numbers need more. */
function preciseQuotient(a: Real, b: Real): Real {
  const shift = BigInt(200 + Math.max(0, bitLength(b.significand) - bitLength(a.significand)))
  return divideReals(real(a.sign, a.exponent - Number(shift), a.significand << shift), b)
}

/** The angle of a point: `y` is ST(1), `x` is ST. */
export function arcTangentOf(y: Extended, x: Extended, control: number): Extended {
  const special = specialPair(y, x)
  if (special) return special
  const sign = signOf(y)
  const yKind = kindOf(y)
  const xKind = kindOf(x)
  const left = signOf(x) === 1
  const piOver = (numerator: bigint, denominator: bigint) => {
    const value = PI * numerator / denominator
    return finish(realOfFixed(sign ? -value : value), control)
  }
  if (yKind === 'infinity') {
    return xKind !== 'infinity' ? piOver(1n, 2n) : left ? piOver(3n, 4n) : piOver(1n, 4n)
  }
  if (yKind === 'zero' || xKind === 'infinity') return left ? piOver(1n, 1n) : zero(sign)
  if (xKind === 'zero') return piOver(1n, 2n)
  return finish(angleOf(realOf(y), realOf(x)), control)
}

/** The angle of a point with finite coordinates that are not zero. */
function angleOf(y: Real, x: Real): Real {
  const height = real(0, y.exponent, y.significand)
  const width = real(0, x.exponent, x.significand)
  const steep = compareReals(height, width) > 0
  const slope = steep ? preciseQuotient(width, height) : preciseQuotient(height, width)
  if (!steep && !x.sign && magnitudeOf(slope) < TINY) {
    return nudged(real(y.sign, slope.exponent, slope.significand), true)
  }
  let angle = arcTangent(fixed(slope))
  if (steep) angle = PI / 2n - angle
  if (x.sign) angle = PI - angle
  return realOfFixed(y.sign ? -angle : angle)
}

function specialPair(a: Extended, b: Extended): Extended | undefined {
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'unsupported' || second === 'unsupported') return invalid()
  if (isNaN(first) || isNaN(second)) return propagate(a, b)
  if (first === 'denormal' || second === 'denormal') outcome.flags |= DENORMAL
  return undefined
}

/**
 * 2^a - 1 for -1 to 1; beyond, where the manual leaves it open, the operand. As on the processor,
 * not even the exact results for 1 and -1 count as exact.
 */
export function powerLessOne(a: Extended, control: number): Extended {
  const special = unusable(a)
  if (special) return special
  const kind = kindOf(a)
  if (kind === 'infinity') return signOf(a) ? { ...ONE, signExponent: 0xbfff } : a
  if (kind === 'zero') return a
  const value = realOf(a)
  const magnitude = magnitudeOf(value)
  if (magnitude >= 0) {
    outcome.flags |= INEXACT
    const one = a.signExponent === 0x3fff && a.significand === ONE.significand
    const minusOne = a.signExponent === 0xbfff && a.significand === ONE.significand
    if (one) return finish(nudged(value, true), control)
    return minusOne ? extended(0xbffe, ONE.significand) : a
  }
  if (magnitude < TINY) return finish(tinyTimes(value, LN2, value.sign === 1), control)
  return finish(realOfFixed(exponentialLessOne(fixed(value) * LN2 >> BigInt(BITS))), control)
}

/** A tiny value times a constant, moved towards or away from zero by its second-order term. */
function tinyTimes(a: Real, factor: bigint, towardsZero: boolean): Real {
  return nudged(multiplyReals(a, real(0, -BITS, factor)), towardsZero)
}

const INVERSE_LN2 = over(UNIT, LN2)

/** log2 of a positive number that is not a power of two. */
function logarithmOf(a: Real): Real {
  let exponent = magnitudeOf(a)
  let mantissa = a.significand << BigInt(BITS - (bitLength(a.significand) - 1))
  // Around 1 the exponent is 0, so that nothing cancels.
  if (mantissa > UNIT * 3n / 2n) {
    mantissa >>= 1n
    exponent += 1
  }
  const value = logarithm(mantissa) * INVERSE_LN2 >> BigInt(BITS)
  return realOfFixed((BigInt(exponent) << BigInt(BITS)) + value)
}

/** FYL2X: y log2(x); `x` is ST. */
export function timesLogarithm(y: Extended, x: Extended, control: number): Extended {
  const special = specialPair(y, x)
  if (special) return special
  const xKind = kindOf(x)
  if (xKind === 'zero') return timesMinusInfinity(y)
  if (signOf(x)) return refuse()
  const sign = signOf(y)
  if (xKind === 'infinity') return kindOf(y) === 'zero' ? refuse() : infinity(sign)
  const value = realOf(x)
  const power = (value.significand & value.significand - 1n) === 0n
  const magnitude = magnitudeOf(value)
  const negative = magnitude < 0 ? 1 : 0
  const isOne = power && magnitude === 0
  const trivial = infiniteOrZero(y, kindOf(y), negative, isOne)
  if (trivial) return trivial
  if (power) {
    const log = real(negative, 0, BigInt(Math.abs(magnitude)))
    return encode(multiplyReals(realOf(y), log), control, false)
  }
  return finish(multiplyReals(realOf(y), logarithmOf(value)), control)
}

function timesMinusInfinity(y: Extended): Extended {
  const kind = kindOf(y)
  if (kind === 'zero') return refuse()
  if (kind !== 'infinity') outcome.flags = outcome.flags & ~DENORMAL | ZERO_DIVIDE
  return infinity(1 - signOf(y))
}

function refuse(): Extended {
  outcome.flags &= ~DENORMAL
  return invalid()
}

/** y times a logarithm, where y or the logarithm is zero or y infinite. */
function infiniteOrZero(
  y: Extended, kind: Kind, negative: number, logIsZero: boolean,
): Extended | undefined {
  const sign = signOf(y) ^ negative
  if (kind === 'infinity') return logIsZero ? refuse() : infinity(sign)
  if (kind === 'zero' || logIsZero) return zero(sign)
  return undefined
}

/** FYL2XP1: y log2(x + 1); `x` is ST, small. */
export function timesLogarithmOfOneMore(y: Extended, x: Extended, control: number): Extended {
  const special = specialPair(y, x)
  if (special) return special
  const xKind = kindOf(x)
  const negative = signOf(x)
  if (xKind === 'infinity') {
    return negative || kindOf(y) === 'zero' ? refuse() : infinity(signOf(y))
  }
  const trivial = infiniteOrZero(y, kindOf(y), negative, xKind === 'zero')
  if (trivial) return trivial
  const value = realOf(x)
  const log = magnitudeOf(value) < TINY
    ? tinyTimes(value, INVERSE_LN2, negative === 0)
    : logarithmOfSum(value)
  if (!log) return { ...x }
  return finish(multiplyReals(realOf(y), log), control)
}

/** log2(1 + a), or undefined where it does not exist. */
function logarithmOfSum(a: Real): Real | undefined {
  const sum = addReals(a, real(0, 0, 1n))
  if (sum.sign || sum.significand === 0n) return undefined
  if (magnitudeOf(a) < -1) {
    return realOfFixed(logarithm(fixed(sum)) * INVERSE_LN2 >> BigInt(BITS))
  }
  return logarithmOf(sum)
}
