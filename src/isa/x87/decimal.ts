/**
 * Packed decimals: eighteen digits in nine bytes, and a sign byte (Intel SDM 1, 4.7).
 */
import { INVALID } from '../float/round.ts'
import { toInteger } from './arithmetic.ts'
import { fromInteger, outcome, withSign, type Extended } from './extended.ts'

const DIGITS = 18
const LIMIT = 10n ** 18n
const SIGN_BYTE = 1n << 79n
const INDEFINITE = 0xffffc000000000000000n

/** Digits beyond nine are undefined by the manual; they count as what they are. */
export function loadDecimal(low: bigint, high: number): Extended {
  const packed = low | BigInt(high & 0xff) << 64n
  let value = 0n
  for (let digit = DIGITS - 1; digit >= 0; digit--) {
    value = value * 10n + (packed >> BigInt(digit * 4) & 15n)
  }
  return withSign(fromInteger(value), high & 0x8000)
}

/** Ten bytes; what does not fit in eighteen digits is the decimal indefinite. */
export function storeDecimal(a: Extended, control: number): bigint {
  const bits = toInteger(a, 64, control >> 10 & 3)
  const value = BigInt.asIntN(64, bits)
  const magnitude = value < 0n ? -value : value
  if (outcome.flags & INVALID || magnitude >= LIMIT) {
    outcome.flags = INVALID
    outcome.up = false
    return INDEFINITE
  }
  let packed = 0n
  let rest = magnitude
  for (let digit = 0n; rest !== 0n; digit++) {
    packed |= rest % 10n << digit * 4n
    rest /= 10n
  }
  return a.signExponent & 0x8000 ? packed | SIGN_BYTE : packed
}
