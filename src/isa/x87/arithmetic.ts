/**
 * The exact operations of the x87 on register values: sums, products, quotients, roots, remainders,
 * comparisons, rounding. Exceptions are left in `outcome`; when one that is found before computing
 * is unmasked, the result means nothing and the caller drops it.
 */
import {
  addReals, bitLength, compareReals, divideReals, magnitudeOf, multiplyReals, real, rootOfReal,
} from '../float/real.ts'
import { DENORMAL, DOWN, INVALID, ZERO_DIVIDE, rounded, roundToInteger } from '../float/round.ts'
import {
  encode, extended, infinity, invalid, isNaN, kindOf, outcome, propagate, realOf, signOf, withSign,
  zero, type Extended,
} from './extended.ts'

export type Operation = (a: Extended, b: Extended, control: number) => Extended

/** Deals with NaNs and unsupported operands; undefined when there are none. Notes denormals. */
function exceptional(a: Extended, b: Extended): Extended | undefined {
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'unsupported' || second === 'unsupported') {
    outcome.flags &= ~DENORMAL
    return invalid()
  }
  if (isNaN(first) || isNaN(second)) {
    outcome.flags &= ~DENORMAL
    return propagate(a, b)
  }
  if (first === 'denormal' || second === 'denormal') outcome.flags |= DENORMAL
  return undefined
}

/** Invalid operations and divisions by zero come before denormal operands. */
function refuse(): Extended {
  outcome.flags &= ~DENORMAL
  return invalid()
}

export const add: Operation = (a, b, control) => {
  const special = exceptional(a, b)
  if (special) return special
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'infinity') {
    return second === 'infinity' && signOf(a) !== signOf(b) ? refuse() : a
  }
  if (second === 'infinity') return b
  const down = (control >> 10 & 3) === DOWN ? 1 : 0
  if (first === 'zero' && second === 'zero') {
    return signOf(a) === signOf(b) ? a : zero(down)
  }
  if (first === 'zero') return encode(realOf(b), control)
  if (second === 'zero') return encode(realOf(a), control)
  const sum = addReals(realOf(a), realOf(b))
  return sum.significand === 0n ? zero(down) : encode(sum, control)
}

/** A NaN keeps its sign when it is subtracted. */
export const subtract: Operation = (a, b, control) =>
  exceptional(a, b) ?? add(a, withSign(b, 1 - signOf(b)), control)

export const subtractReversed: Operation = (a, b, control) => subtract(b, a, control)

export const multiply: Operation = (a, b, control) => {
  const special = exceptional(a, b)
  if (special) return special
  const sign = signOf(a) ^ signOf(b)
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'infinity' || second === 'infinity') {
    return first === 'zero' || second === 'zero' ? refuse() : infinity(sign)
  }
  if (first === 'zero' || second === 'zero') return zero(sign)
  return encode(multiplyReals(realOf(a), realOf(b)), control)
}

export const divide: Operation = (a, b, control) => {
  const special = exceptional(a, b)
  if (special) return special
  const sign = signOf(a) ^ signOf(b)
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'infinity') return second === 'infinity' ? refuse() : infinity(sign)
  if (second === 'infinity') return zero(sign)
  if (second === 'zero') {
    if (first === 'zero') return refuse()
    outcome.flags = outcome.flags & ~DENORMAL | ZERO_DIVIDE
    return infinity(sign)
  }
  if (first === 'zero') return zero(sign)
  return encode(divideReals(realOf(a), realOf(b)), control)
}

export const divideReversed: Operation = (a, b, control) => divide(b, a, control)

export function squareRoot(a: Extended, control: number): Extended {
  const kind = kindOf(a)
  if (kind === 'zero') return a
  if (kind === 'unsupported') return invalid()
  if (isNaN(kind)) return propagate(a, a)
  if (signOf(a)) return invalid()
  if (kind === 'infinity') return a
  if (kind === 'denormal') outcome.flags |= DENORMAL
  return encode(rootOfReal(realOf(a)), control)
}

/** Numbers with this biased exponent and above have no fraction. */
const ALL_INTEGERS = 16383 + 63

/** FRNDINT. */
export function roundToIntegral(a: Extended, control: number): Extended {
  const kind = kindOf(a)
  if (kind === 'unsupported') return invalid()
  if (isNaN(kind)) return propagate(a, a)
  if (kind === 'zero' || kind === 'infinity') return a
  if ((a.signExponent & 0x7fff) >= ALL_INTEGERS) return a
  if (kind === 'denormal') outcome.flags |= DENORMAL
  const whole = roundToInteger(realOf(a), control >> 10 & 3)
  outcome.flags |= rounded.flags
  const up = rounded.up
  const result = whole === 0n
    ? zero(signOf(a))
    : encode(real(signOf(a), 0, whole < 0n ? -whole : whole), control | 0x300)
  outcome.up = up
  return result
}

/** Rounds to an integer of `width` bits; the integer indefinite when it does not fit. */
export function toInteger(a: Extended, width: number, mode: number): bigint {
  const limit = 1n << BigInt(width - 1)
  const kind = kindOf(a)
  if (kind !== 'normal' && kind !== 'denormal' && kind !== 'zero') {
    outcome.flags |= INVALID
    return limit
  }
  const exponent = (a.signExponent & 0x7fff) - 16383
  const value = exponent > 64 ? limit : roundToInteger(realOf(a), mode)
  if (exponent > 64 || value >= limit || value < -limit) {
    outcome.flags |= INVALID
    return limit
  }
  outcome.flags |= rounded.flags
  outcome.up = rounded.up
  return BigInt.asUintN(width, value)
}

export type Order = 'less' | 'equal' | 'greater' | 'unordered'

/** `quiet`: only signaling NaNs are invalid operands. */
export function compare(a: Extended, b: Extended, quiet: boolean): Order {
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'unsupported' || second === 'unsupported' || isNaN(first) || isNaN(second)) {
    const silent = quiet && [first, second].every((k) => k !== 'unsupported' && k !== 'signaling')
    outcome.flags &= ~DENORMAL
    if (!silent) outcome.flags |= INVALID
    return 'unordered'
  }
  if (first === 'denormal' || second === 'denormal') outcome.flags |= DENORMAL
  const order = compareReals(realOf(a), realOf(b))
  return order < 0 ? 'less' : order > 0 ? 'greater' : 'equal'
}

/** What FPREM and FPREM1 leave besides their result. */
export const remainder = { complete: true, quotient: 0, defined: true }

/** Reductions of 64 and more exponents are left for the next turn. */
const WHOLE_REDUCTION = 64

/** FPREM (`mode` truncates) and FPREM1 (`mode` rounds to nearest). */
export function partialRemainder(
  a: Extended, b: Extended, control: number, nearest: boolean,
): Extended {
  remainder.complete = true
  remainder.quotient = 0
  remainder.defined = false
  const special = exceptional(a, b)
  if (special) return special
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'infinity' || second === 'zero') return refuse()
  remainder.defined = true
  if (first === 'zero') return a
  if (second === 'infinity') return encode(realOf(a), control, false)
  const x = realOf(a)
  const y = realOf(b)
  const difference = magnitudeOf(x) - magnitudeOf(y)
  if (difference < WHOLE_REDUCTION) return wholeRemainder(a, b, control, nearest)
  // An amount that leaves the rest for a whole number of turns, as the processor chooses it.
  const reduced = 32 + difference % 32
  const exponent = difference - reduced
  const [top, bottom] = aligned(a, b, exponent)
  const rest = top % bottom
  remainder.complete = false
  if (rest === 0n) return zero(signOf(a))
  return encode(real(signOf(a), Math.min(x.exponent, y.exponent + exponent), rest), control, false)
}

/** Both magnitudes as integers, the second scaled up by 2^`exponent`. */
function aligned(a: Extended, b: Extended, exponent: number): [bigint, bigint] {
  const x = realOf(a)
  const y = realOf(b)
  const low = Math.min(x.exponent, y.exponent + exponent)
  return [
    x.significand << BigInt(x.exponent - low),
    y.significand << BigInt(y.exponent + exponent - low),
  ]
}

function wholeRemainder(
  a: Extended, b: Extended, control: number, nearest: boolean,
): Extended {
  const low = Math.min(realOf(a).exponent, realOf(b).exponent)
  // Far below the divisor the dividend is its own remainder.
  if (magnitudeOf(realOf(a)) < magnitudeOf(realOf(b)) - 1) {
    return encode(realOf(a), control, false)
  }
  const [top, bottom] = aligned(a, b, 0)
  let quotient = top / bottom
  let rest = top - quotient * bottom
  let sign: number = signOf(a)
  if (nearest) {
    const twice = rest * 2n
    if (twice > bottom || twice === bottom && quotient & 1n) {
      quotient += 1n
      rest = bottom - rest
      sign ^= 1
    }
  }
  remainder.quotient = Number(quotient & 7n)
  return rest === 0n ? zero(signOf(a)) : encode(real(sign, low, rest), control, false)
}

/** FSCALE: `a` times two to the whole part of `b`. */
export function scale(a: Extended, b: Extended, control: number): Extended {
  const special = exceptional(a, b)
  if (special) return special
  const first = kindOf(a)
  const second = kindOf(b)
  if (second === 'infinity') {
    if (signOf(b)) return first === 'infinity' ? refuse() : zero(signOf(a))
    return first === 'zero' ? refuse() : infinity(signOf(a))
  }
  if (first === 'zero' || first === 'infinity' || second === 'zero') {
    return first === 'denormal' ? encode(realOf(a), control, false) : a
  }
  const by = realOf(b)
  // More than this is out of range whatever the first operand is.
  const power = magnitudeOf(by) > 20 ? 1 << 20 : Number(roundToInteger(real(0, by.exponent,
    by.significand), 3))
  const x = realOf(a)
  return encode(real(x.sign, x.exponent + (by.sign ? -power : power), x.significand), control,
    false)
}

/** FXTRACT: the exponent as a value; the significand comes from `significandPart`. */
export function exponentPart(a: Extended): Extended {
  const kind = kindOf(a)
  if (kind === 'unsupported') return invalid()
  if (isNaN(kind)) return propagate(a, a)
  if (kind === 'infinity') return infinity(0)
  if (kind === 'zero') {
    outcome.flags |= ZERO_DIVIDE
    return infinity(1)
  }
  if (kind === 'denormal') outcome.flags |= DENORMAL
  const exponent = magnitudeOf(realOf(a))
  if (exponent === 0) return zero(0)
  return encode(real(exponent < 0 ? 1 : 0, 0, BigInt(Math.abs(exponent))), 0x37f)
}

export function significandPart(a: Extended): Extended {
  const kind = kindOf(a)
  if (kind !== 'normal' && kind !== 'denormal') {
    return kind === 'zero' || kind === 'infinity' ? a : exponentPart(a)
  }
  const shift = 64 - bitLength(a.significand)
  return extended(a.signExponent & 0x8000 | 16383, a.significand << BigInt(shift))
}
