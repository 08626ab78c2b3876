/**
 * Rounding reals to a format, as IEEE 754 and x86 want it: four modes, tininess after rounding,
 * exception flags in the places that MXCSR and the x87 status word share (AMD APM 1, 4.8 and 6.8).
 */
import { bitLength, type Real } from './real.ts'

export const INVALID = 1
export const DENORMAL = 2
export const ZERO_DIVIDE = 4
export const OVERFLOW = 8
export const UNDERFLOW = 16
export const INEXACT = 32
/** Found before computing: when one is unmasked, nothing is computed. */
export const BEFORE_COMPUTING = INVALID | DENORMAL | ZERO_DIVIDE

/** Rounding control, as in MXCSR and the x87 control word. */
const NEAREST = 0
export const DOWN = 1
const UP = 2
export const TRUNCATE = 3

export interface Format {
  /** Bits of the significand, with the leading one. */
  readonly precision: number
  /** Exponents of the leading bit of normal numbers. */
  readonly minimum: number
  readonly maximum: number
}

export const HALF: Format = { precision: 11, minimum: -14, maximum: 15 }
export const SINGLE: Format = { precision: 24, minimum: -126, maximum: 127 }
export const DOUBLE: Format = { precision: 53, minimum: -1022, maximum: 1023 }
export const EXTENDED: Format = { precision: 64, minimum: -16382, maximum: 16383 }

/** The result of the last rounding; one for all, so that rounding allocates none. */
export const rounded = {
  /** 0 is zero; else its top bit is at `precision` - 1, or lower for a denormal. */
  significand: 0n,
  /** Exponent of the significand's lowest bit. */
  exponent: 0,
  /** INEXACT, UNDERFLOW, OVERFLOW. */
  flags: 0,
  /** The magnitude grew (C1 of the x87). */
  up: false,
  /** Below the normal range before the grid of denormals rounded it. */
  tiny: false,
  /** A masked overflow: the result is infinity, or the largest finite number. */
  overflow: 'none' as 'none' | 'infinity' | 'largest',
}

let quotient = 0n
let wasInexact = false
let wasUp = false

/** Drops `shift` bits of `n` by the rounding mode; leaves quotient, wasInexact and wasUp. */
function dropBits(n: bigint, shift: number, sign: number, mode: number): void {
  wasInexact = false
  wasUp = false
  if (shift <= 0) {
    quotient = n << BigInt(-shift)
    return
  }
  const count = BigInt(Math.min(shift, bitLength(n) + 2))
  quotient = n >> count
  const rest = n - (quotient << count)
  if (rest === 0n) return
  wasInexact = true
  if (mode === NEAREST) {
    const half = 1n << count - 1n
    wasUp = rest > half || rest === half && (quotient & 1n) === 1n
  } else {
    wasUp = mode === (sign ? DOWN : UP)
  }
  if (wasUp) quotient += 1n
}

/**
 * Rounds `value`, not zero, into `rounded`. `unmasked` holds the exceptions that are not masked: an
 * unmasked overflow or underflow leaves the result with its true exponent, rounded as if the range
 * had no end.
 */
export function roundReal(
  value: Real, format: Format, mode: number, unmasked: number,
): void {
  const { precision, minimum, maximum } = format
  const length = bitLength(value.significand)
  const top = value.exponent + length - 1
  rounded.flags = 0
  rounded.overflow = 'none'
  rounded.tiny = false
  roundAt(value, top - precision + 1, precision, mode)
  let roundedTop = rounded.exponent + precision - 1
  if (roundedTop < minimum) {
    rounded.tiny = true
    if (unmasked & UNDERFLOW) {
      rounded.flags |= UNDERFLOW
      return
    }
    roundAt(value, minimum - precision + 1, precision, mode)
    rounded.flags = wasInexact ? INEXACT | UNDERFLOW : 0
    return
  }
  // Rounded up into the normal range: not tiny, but the result is that of the denormal grid.
  if (top < minimum) {
    roundAt(value, minimum - precision + 1, precision, mode)
    roundedTop = minimum
  }
  if (roundedTop <= maximum) return
  rounded.flags |= OVERFLOW
  if (unmasked & OVERFLOW) return
  rounded.flags |= INEXACT
  const away = mode === NEAREST || mode === (value.sign ? DOWN : UP)
  rounded.overflow = away ? 'infinity' : 'largest'
  rounded.up = away
}

/** Rounds to a multiple of 2^`lowest`, renormalising when the carry makes one bit more. */
function roundAt(value: Real, lowest: number, precision: number, mode: number): void {
  dropBits(value.significand, lowest - value.exponent, value.sign, mode)
  rounded.flags = wasInexact ? INEXACT : 0
  rounded.up = wasUp
  const carried = quotient >> BigInt(precision) !== 0n
  rounded.significand = carried ? quotient >> 1n : quotient
  rounded.exponent = carried ? lowest + 1 : lowest
}

/** The nearest integer by the mode, as a signed bigint; INEXACT and `up` are in `rounded`. */
export function roundToInteger(value: Real, mode: number): bigint {
  dropBits(value.significand, -value.exponent, value.sign, mode)
  rounded.flags = wasInexact ? INEXACT : 0
  rounded.up = wasUp
  return value.sign ? -quotient : quotient
}
