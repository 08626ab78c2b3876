/**
 * The 80-bit extended format: what registers hold, and how it meets the other formats (AMD APM 1,
 * 6.3; Intel SDM 1, 4.2 and 8.2).
 *
 * A value is its 16 bits of sign and exponent and its 64 bits of significand, with the leading bit
 * written out. Encodings whose leading bit contradicts their exponent are unsupported operands, but
 * for pseudo-denormals, which are denormals whose leading bit is one.
 */
import { real, type Real } from '../float/real.ts'
import {
  DENORMAL, DOUBLE, EXTENDED, INEXACT, INVALID, OVERFLOW, SINGLE, UNDERFLOW, rounded, roundReal,
  type Format,
} from '../float/round.ts'

export interface Extended {
  readonly signExponent: number
  readonly significand: bigint
}

export type Kind =
  'zero' | 'normal' | 'denormal' | 'infinity' | 'quiet' | 'signaling' | 'unsupported'

const LEADING = 1n << 63n
const QUIET = 1n << 62n
const SIGN = 0x8000
const EXPONENT = 0x7fff
const BIAS = 16383
/** What is added to the exponent of an unmasked underflow, and taken from that of an overflow. */
const WRAP = 24576

export function extended(signExponent: number, significand: bigint): Extended {
  return { signExponent, significand }
}

export const INDEFINITE = extended(0xffff, LEADING | QUIET)
export const ONE = extended(BIAS, LEADING)

export function zero(sign: number): Extended {
  return extended(sign ? SIGN : 0, 0n)
}

export function infinity(sign: number): Extended {
  return extended(sign ? SIGN | EXPONENT : EXPONENT, LEADING)
}

export function signOf(a: Extended): 0 | 1 {
  return a.signExponent & SIGN ? 1 : 0
}

export function withSign(a: Extended, sign: number): Extended {
  return extended(a.signExponent & EXPONENT | (sign ? SIGN : 0), a.significand)
}

export function kindOf(a: Extended): Kind {
  const exponent = a.signExponent & EXPONENT
  if (exponent === 0) return a.significand === 0n ? 'zero' : 'denormal'
  if (!(a.significand & LEADING)) return 'unsupported'
  if (exponent !== EXPONENT) return 'normal'
  if (a.significand === LEADING) return 'infinity'
  return a.significand & QUIET ? 'quiet' : 'signaling'
}

export function isNaN(kind: Kind): boolean {
  return kind === 'quiet' || kind === 'signaling'
}

/** The value of a finite number. */
export function realOf(a: Extended): Real {
  const exponent = a.signExponent & EXPONENT || 1
  return real(signOf(a), exponent - BIAS - 63, a.significand)
}

/** Exceptions of the last conversion or operation, and whether rounding went up. */
export const outcome = { flags: 0, up: false }

export function resetOutcome(): void {
  outcome.flags = 0
  outcome.up = false
}

/** The NaN that stands for no value, and the invalid-operation flag with it. */
export function invalid(): Extended {
  outcome.flags |= INVALID
  return INDEFINITE
}

/** Formats of precision control: its values 0 to 3. */
const precisions: readonly Format[] = [
  { ...EXTENDED, precision: 24 }, EXTENDED, { ...EXTENDED, precision: 53 }, EXTENDED,
]

/**
 * Rounds to a register by the control word's rounding and precision control. `precisionControl`
 * false is for instructions that ignore the latter.
 */
export function encode(value: Real, control: number, precisionControl = true): Extended {
  if (value.significand === 0n) return zero(value.sign)
  const format = precisions[precisionControl ? control >> 8 & 3 : 3]!
  roundReal(value, format, control >> 10 & 3, ~control & 0x3f)
  outcome.flags |= rounded.flags
  outcome.up = rounded.up
  if (rounded.overflow === 'infinity') return infinity(value.sign)
  if (rounded.overflow === 'largest') {
    const significand = (1n << 64n) - (1n << BigInt(64 - format.precision))
    return extended((value.sign ? SIGN : 0) | EXPONENT - 1, significand)
  }
  const significand = rounded.significand << BigInt(64 - format.precision)
  let exponent = significand & LEADING ? rounded.exponent + format.precision - 1 + BIAS : 0
  if (rounded.flags & OVERFLOW) exponent -= WRAP
  else if (rounded.flags & UNDERFLOW && ~control & UNDERFLOW) exponent += WRAP
  return wrapped(value.sign, exponent, significand)
}

/** An exponent that even wrapping does not bring into range is an infinity's or a zero's. */
function wrapped(sign: number, exponent: number, significand: bigint): Extended {
  if (exponent >= EXPONENT || exponent < 0) {
    outcome.flags |= INEXACT
    outcome.up = exponent > 0
    return outcome.up ? infinity(sign) : zero(sign)
  }
  return extended((sign ? SIGN : 0) | exponent, significand)
}

export function fromInteger(value: bigint): Extended {
  if (value === 0n) return zero(0)
  const sign = value < 0n ? 1 : 0
  return encode(real(sign, 0, sign ? -value : value), 0x37f)
}

interface Narrow {
  readonly format: Format
  readonly fractionBits: bigint
  readonly exponentMask: number
  readonly bias: number
}

const single: Narrow = { format: SINGLE, fractionBits: 23n, exponentMask: 0xff, bias: 127 }
const double: Narrow = { format: DOUBLE, fractionBits: 52n, exponentMask: 0x7ff, bias: 1023 }

function narrowOf(width: number): Narrow {
  return width === 32 ? single : double
}

/**
 * Widens a single or double. Exact: a signaling NaN stays one. Denormals are noted in `outcome`,
 * as widening makes them normal.
 */
export function widen(bits: bigint, width: number): Extended {
  const { fractionBits, exponentMask, bias } = narrowOf(width)
  const sign = bits >> BigInt(width - 1) & 1n ? SIGN : 0
  const exponent = Number(bits >> fractionBits) & exponentMask
  const fraction = bits & (1n << fractionBits) - 1n
  const aligned = fraction << 63n - fractionBits
  if (exponent === exponentMask) return extended(sign | EXPONENT, LEADING | aligned)
  if (exponent) return extended(sign | exponent - bias + BIAS, LEADING | aligned)
  if (fraction === 0n) return extended(sign, 0n)
  outcome.flags |= DENORMAL
  const shift = 64 - aligned.toString(2).length
  return extended(sign | 1 - bias + BIAS - shift, aligned << BigInt(shift))
}

/** Rounds a register to the bits of a single or double. */
export function narrow(a: Extended, width: number, control: number): bigint {
  const { format, fractionBits, exponentMask, bias } = narrowOf(width)
  const sign = BigInt(signOf(a)) << BigInt(width - 1)
  const top = BigInt(exponentMask) << fractionBits
  const kind = kindOf(a)
  switch (kind) {
    case 'zero': return sign
    case 'infinity': return sign | top
    case 'unsupported':
      outcome.flags |= INVALID
      return (1n << BigInt(width - 1)) | top | 1n << fractionBits - 1n
    case 'signaling': case 'quiet':
      if (kind === 'signaling') outcome.flags |= INVALID
      return sign | top | (a.significand & LEADING - 1n | QUIET) >> 63n - fractionBits
  }
  roundReal(realOf(a), format, control >> 10 & 3, ~control & 0x3f)
  outcome.flags |= rounded.flags
  outcome.up = rounded.up
  if (rounded.overflow !== 'none') return sign | (rounded.overflow === 'infinity' ? top : top - 1n)
  const { significand, exponent } = rounded
  if (significand >> fractionBits === 0n) return sign | significand
  const biased = BigInt(exponent + Number(fractionBits) + bias & exponentMask)
  return sign | (biased << fractionBits) + (significand & (1n << fractionBits) - 1n)
}

/**
 * The NaN that an operation on two operands yields when one is a NaN: a quiet one goes before a
 * signaling one, else the larger significand counts (Intel SDM 1, table 4-7).
 */
export function propagate(a: Extended, b: Extended): Extended {
  const first = kindOf(a)
  const second = kindOf(b)
  if (first === 'signaling' || second === 'signaling') outcome.flags |= INVALID
  const chosen = !isNaN(second) ? a
    : !isNaN(first) ? b
    : first !== second ? first === 'quiet' ? a : b
    : a.significand !== b.significand ? a.significand > b.significand ? a : b
    : signOf(a) ? b : a
  return extended(chosen.signExponent, chosen.significand | QUIET)
}
