/**
 * Exact finite numbers, and arithmetic on them: what every soft-float operation computes before it
 * rounds.
 *
 * A real is (-1)^sign * significand * 2^exponent. Results that have no finite form (quotients,
 * roots) keep more bits than any format has, with the lowest bit set when something was cut off,
 * so that rounding them is rounding the exact value.
 */
export interface Real {
  readonly sign: 0 | 1
  readonly exponent: number
  /** Not negative; zero is zero whatever the exponent. */
  readonly significand: bigint
}

/** Bits that quotients and roots keep: more than 64, a rounding bit and a sticky bit. */
const KEPT_BITS = 68
/** Farther apart than this, the smaller of two addends only tips the rounding. */
const FAR_APART = 140

const doubleView = new Float64Array(1)
const wordView = new Uint32Array(doubleView.buffer)

/** How many bits `n` has; 0 for 0. `n` is not negative and below 2^1023. */
export function bitLength(n: bigint): number {
  if (n === 0n) return 0
  doubleView[0] = Number(n)
  const top = (wordView[1]! >>> 20) - 1023
  // Converting may have rounded up to the next power of two.
  return n >> BigInt(top) === 0n ? top : top + 1
}

export function real(sign: number, exponent: number, significand: bigint): Real {
  return { sign: sign ? 1 : 0, exponent, significand }
}

export function negated(a: Real): Real {
  return real(1 - a.sign, a.exponent, a.significand)
}

/** Exponent of the leading bit. */
export function magnitudeOf(a: Real): number {
  return a.exponent + bitLength(a.significand) - 1
}

/** The sum of two reals that are not zero; an exact zero has sign 0. */
export function addReals(a: Real, b: Real): Real {
  if (magnitudeOf(a) < magnitudeOf(b)) return addReals(b, a)
  let low = b
  if (magnitudeOf(a) - magnitudeOf(b) > FAR_APART) {
    low = real(b.sign, magnitudeOf(a) - FAR_APART, 1n)
  }
  const exponent = Math.min(a.exponent, low.exponent)
  const first = signedAt(a, exponent)
  const sum = first + signedAt(low, exponent)
  return sum < 0n ? real(1, exponent, -sum) : real(0, exponent, sum)
}

function signedAt(a: Real, exponent: number): bigint {
  const magnitude = a.significand << BigInt(a.exponent - exponent)
  return a.sign ? -magnitude : magnitude
}

export function multiplyReals(a: Real, b: Real): Real {
  return real(a.sign ^ b.sign, a.exponent + b.exponent, a.significand * b.significand)
}

/** The quotient, inexact in its last bit only; `b` is not zero. */
export function divideReals(a: Real, b: Real): Real {
  const lacking = KEPT_BITS + bitLength(b.significand) - bitLength(a.significand)
  const shift = lacking > 0 ? lacking : 0
  const dividend = a.significand << BigInt(shift)
  const quotient = dividend / b.significand
  const sticky = quotient * b.significand === dividend ? 0n : 1n
  return real(a.sign ^ b.sign, a.exponent - b.exponent - shift - 1, quotient << 1n | sticky)
}

/** The square root of a positive real, inexact in its last bit only. */
export function rootOfReal(a: Real): Real {
  let shift = 2 * KEPT_BITS - bitLength(a.significand)
  if (shift < 0) shift = 0
  if ((a.exponent - shift) % 2) shift += 1
  const radicand = a.significand << BigInt(shift)
  const root = integerRoot(radicand)
  const sticky = root * root === radicand ? 0n : 1n
  return real(0, (a.exponent - shift) / 2 - 1, root << 1n | sticky)
}

/** The largest integer whose square is not above `n`. */
export function integerRoot(n: bigint): bigint {
  if (n === 0n) return 0n
  let guess = 1n << BigInt(Math.ceil(bitLength(n) / 2))
  for (;;) {
    const next = guess + n / guess >> 1n
    if (next >= guess) return guess
    guess = next
  }
}

/** -1, 0 or 1 as `a` is below, equal to or above `b`; zeros of both signs are equal. */
export function compareReals(a: Real, b: Real): number {
  if (a.significand === 0n && b.significand === 0n) return 0
  if (a.significand === 0n) return b.sign ? 1 : -1
  if (b.significand === 0n) return a.sign ? -1 : 1
  if (a.sign !== b.sign) return a.sign ? -1 : 1
  const sign = a.sign ? -1 : 1
  const difference = magnitudeOf(a) - magnitudeOf(b)
  if (difference !== 0) return difference < 0 ? -sign : sign
  const exponent = Math.min(a.exponent, b.exponent)
  const first = a.significand << BigInt(a.exponent - exponent)
  const second = b.significand << BigInt(b.exponent - exponent)
  return first === second ? 0 : first < second ? -sign : sign
}
