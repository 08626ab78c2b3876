/**
 * Elementary functions in fixed point: bigints that count units of 2^-BITS.
 *
 * Errors are a few units, far below what 64 bits of result can show: results are rounded from some
 * hundred bits more, so that they are correctly rounded but for arguments of astronomical bad luck.
 */
import { integerRoot } from '../float/real.ts'

/** Fraction bits. */
export const BITS = 320
const SHIFT = BigInt(BITS)
export const UNIT = 1n << SHIFT

export function times(a: bigint, b: bigint): bigint {
  return a * b >> SHIFT
}

export function over(a: bigint, b: bigint): bigint {
  return (a << SHIFT) / b
}

/** The odd series z + s z^3/3 + z^5/5 + ..., s being -1 for the arc tangent, 1 for its sister. */
function oddSeries(z: bigint, alternating: boolean): bigint {
  const square = times(z, z)
  let power = z
  let sum = z
  for (let n = 3n; power !== 0n && power !== -1n; n += 2n) {
    power = times(power, square)
    if (alternating) power = -power
    sum += power / n
  }
  return sum
}

/** Of a ratio of small integers. */
function arcTangentOfInverse(n: bigint): bigint {
  return oddSeries(UNIT / n, true)
}

export const PI = 4n * (4n * arcTangentOfInverse(5n) - arcTangentOfInverse(239n))
export const LN2 = 2n * oddSeries(UNIT / 3n, false)

/** The arc tangent of 0 to 1. */
export function arcTangent(a: bigint): bigint {
  let z = a
  const halvings = 4n
  for (let i = 0n; i < halvings; i++) {
    z = over(z, UNIT + integerRoot(UNIT * UNIT + z * z))
  }
  return oddSeries(z, true) << halvings
}

/** The natural logarithm of a number near 1. */
export function logarithm(a: bigint): bigint {
  return 2n * oddSeries(over(a - UNIT, a + UNIT), false)
}

/** e^a - 1 for -1 to 1. */
export function exponentialLessOne(a: bigint): bigint {
  let term = a
  let sum = a
  for (let n = 2n; term !== 0n && term !== -1n; n++) {
    term = times(term, a) / n
    sum += term
  }
  return sum
}

/** The sine and cosine of -1 to 1. */
export function sine(a: bigint): bigint {
  const square = times(a, a)
  let term = a
  let sum = a
  for (let n = 2n; term !== 0n && term !== -1n; n += 2n) {
    term = -times(term, square) / (n * (n + 1n))
    sum += term
  }
  return sum
}

export function cosine(a: bigint): bigint {
  const square = times(a, a)
  let term = UNIT
  let sum = UNIT
  for (let n = 1n; term !== 0n && term !== -1n; n += 2n) {
    term = -times(term, square) / (n * (n + 1n))
    sum += term
  }
  return sum
}
