/**
 * Floats as bit patterns in bigints: what a pattern stands for (IEEE 754, 3.4).
 */
import { real, type Real } from './real.ts'
import { DOUBLE, HALF, SINGLE, type Format } from './round.ts'

const DENORMALS_ARE_ZEROS = 1 << 6

export interface Encoding {
  readonly format: Format
  readonly fractionBits: bigint
  readonly fraction: bigint
  readonly exponentMask: number
  readonly bias: number
  readonly sign: bigint
  readonly infinity: bigint
  readonly quiet: bigint
  /** The NaN that stands for no value: negative, quiet, empty. */
  readonly indefinite: bigint
}

function encoding(format: Format, width: bigint): Encoding {
  const fractionBits = BigInt(format.precision - 1)
  const sign = 1n << width - 1n
  const infinity = (1n << width - 1n) - (1n << fractionBits)
  const quiet = 1n << fractionBits - 1n
  return {
    format, fractionBits, fraction: (1n << fractionBits) - 1n,
    exponentMask: 2 * format.maximum + 1, bias: format.maximum, sign, infinity, quiet,
    indefinite: sign | infinity | quiet,
  }
}

export const single = encoding(SINGLE, 32n)
export const double = encoding(DOUBLE, 64n)
export const half = encoding(HALF, 16n)

export function isNaN(bits: bigint, e: Encoding): boolean {
  return (bits & ~e.sign) > e.infinity
}

export function isSignaling(bits: bigint, e: Encoding): boolean {
  return isNaN(bits, e) && (bits & e.quiet) === 0n
}

export function isInfinite(bits: bigint, e: Encoding): boolean {
  return (bits & ~e.sign) === e.infinity
}

export function isZero(bits: bigint, e: Encoding): boolean {
  return (bits & ~e.sign) === 0n
}

export function isDenormal(bits: bigint, e: Encoding): boolean {
  return (bits & e.infinity) === 0n && (bits & e.fraction) !== 0n
}

/** The operand as arithmetic sees it: a denormal is zero under DAZ. */
export function operand(bits: bigint, e: Encoding, mxcsr: number): bigint {
  return mxcsr & DENORMALS_ARE_ZEROS && isDenormal(bits, e) ? bits & e.sign : bits
}

export function realOf(bits: bigint, e: Encoding): Real {
  const biased = Number(bits >> e.fractionBits) & e.exponentMask
  const fraction = bits & e.fraction
  const sign = bits & e.sign ? 1 : 0
  const exponent = (biased || 1) - e.bias - Number(e.fractionBits)
  return real(sign, exponent, biased ? fraction | 1n << e.fractionBits : fraction)
}
