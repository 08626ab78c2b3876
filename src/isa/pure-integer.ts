/**
 * Pure functions of the integer instructions: CRC32, PDEP, PEXT (AMD APM 3).
 */
import type { PureFunction } from './pure.ts'

/** CRC-32C (Castagnoli) with its bits reversed. */
const POLYNOMIAL = 0x82f63b78
const table = Uint32Array.from({ length: 256 }, (_, byte) => {
  let remainder = byte
  for (let bit = 0; bit < 8; bit++) {
    remainder = remainder & 1 ? remainder >>> 1 ^ POLYNOMIAL : remainder >>> 1
  }
  return remainder
})

function crc32(sum: bigint, value: bigint, width: bigint): bigint {
  let remainder = Number(sum & 0xffffffffn)
  for (let shift = 0n; shift < width; shift += 8n) {
    const byte = Number(value >> shift & 0xffn)
    remainder = table[(remainder ^ byte) & 0xff]! ^ remainder >>> 8
  }
  return BigInt(remainder >>> 0)
}

/** Remainders of a byte alone, and of one with one to seven bytes of zeros behind it. */
export const crc32Tables: readonly Uint32Array[] = Array.from({ length: 8 }, (_, zeros) =>
  table.map((remainder) => Number(crc32(BigInt(remainder), 0n, BigInt(8 * zeros)))))

/** Scatters the low bits of `value` to where `mask` has ones. */
function pdep(value: bigint, mask: bigint): bigint {
  let result = 0n
  let rest = mask
  for (let from = value; rest !== 0n; from >>= 1n) {
    const lowest = rest & -rest
    if (from & 1n) result |= lowest
    rest ^= lowest
  }
  return result
}

/** Gathers the bits of `value` where `mask` has ones. */
function pext(value: bigint, mask: bigint): bigint {
  let result = 0n
  let to = 1n
  for (let rest = mask; rest !== 0n; to <<= 1n) {
    const lowest = rest & -rest
    if (value & lowest) result |= to
    rest ^= lowest
  }
  return result
}

export const integerFunctions: Readonly<Record<string, PureFunction>> = {
  crc32: { operands: 'sss', result: 's', run: (a, b, c) => crc32(a!, b!, c!) },
  pdep: { operands: 'ss', result: 's', run: (a, b) => pdep(a!, b!) },
  pext: { operands: 'ss', result: 's', run: (a, b) => pext(a!, b!) },
}
