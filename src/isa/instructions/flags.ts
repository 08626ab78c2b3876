/**
 * The flags of sums, differences and logical results, for all families (AMD APM 1, 3.1.4).
 *
 * Values that come here are zero-extended to 64 bits; sums and differences are not cut, so that
 * for widths below 64 the carry stands in the bit above.
 */
import type { Backend, Flags } from '../backend.ts'

/** The flags of `sum = a + b`, but for ADC. */
export function flagsOfSum<V>(m: Backend<V>, a: V, b: V, sum: V, width: number): Flags<V> {
  return {
    cf: width < 64 ? m.bitOf(sum, width) : m.lessUnsigned(sum, a),
    ...m.resultFlags(sum, width),
    af: m.bitOf(m.xor(m.xor(a, b), sum), 4),
    of: m.bitOf(m.and(m.xor(a, sum), m.xor(b, sum)), width - 1),
  }
}

/** The flags of `sum = a + b + carry`. */
export function flagsOfCarrySum<V>(m: Backend<V>, a: V, b: V, sum: V, width: number): Flags<V> {
  return {
    cf: width < 64 ? m.bitOf(sum, width)
      : m.bitOf(m.or(m.and(a, b), m.and(m.or(a, b), m.not(sum))), 63),
    ...m.resultFlags(sum, width),
    af: m.bitOf(m.xor(m.xor(a, b), sum), 4),
    of: m.bitOf(m.and(m.xor(a, sum), m.xor(b, sum)), width - 1),
  }
}

/** The flags of `difference = a - b`, but for SBB. */
export function flagsOfDifference<V>(
  m: Backend<V>, a: V, b: V, difference: V, width: number,
): Flags<V> {
  return {
    cf: m.lessUnsigned(a, b),
    ...m.resultFlags(difference, width),
    af: m.bitOf(m.xor(m.xor(a, b), difference), 4),
    of: m.bitOf(m.and(m.xor(a, b), m.xor(a, difference)), width - 1),
  }
}

/** The flags of `difference = a - b - borrow`. */
export function flagsOfBorrow<V>(
  m: Backend<V>, a: V, b: V, difference: V, width: number,
): Flags<V> {
  return {
    cf: width < 64 ? m.bitOf(difference, width)
      : m.bitOf(m.or(m.and(m.not(a), b), m.and(m.or(m.not(a), b), difference)), 63),
    ...m.resultFlags(difference, width),
    af: m.bitOf(m.xor(m.xor(a, b), difference), 4),
    of: m.bitOf(m.and(m.xor(a, b), m.xor(a, difference)), width - 1),
  }
}

/** The flags of AND, OR, XOR and TEST. AF is undefined; AMD's processors clear it. */
export function flagsOfLogic<V>(m: Backend<V>, result: V, width: number): Flags<V> {
  const zero = m.const(0)
  return { cf: zero, ...m.resultFlags(result, width), af: zero, of: zero }
}

const FLAG_BITS = { cf: 0, pf: 2, af: 4, zf: 6, sf: 7, df: 10, of: 11 } as const
const flagNames = Object.keys(FLAG_BITS) as (keyof typeof FLAG_BITS)[]

/** The arithmetic flags and DF at their places in RFLAGS. */
export function flagsImage<V>(m: Backend<V>): V {
  return flagNames.map((name) => m.shl(m.flag(name), m.const(FLAG_BITS[name])))
    .reduce((image, bit) => m.or(image, bit))
}

/** The arithmetic flags and DF out of an image of RFLAGS. */
export function flagsFrom<V>(m: Backend<V>, image: V): Flags<V> {
  return Object.fromEntries(flagNames.map((name) => [name, m.bitOf(image, FLAG_BITS[name])]))
}
