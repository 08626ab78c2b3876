/**
 * Pure functions on vectors: the string comparison of SSE4.2 (Intel SDM 2B, 4.1), and estimates.
 */
import type { PureFunction } from './pure.ts'
import { estimates } from './pure-vector-estimate.ts'

const WORDS = 1
const SIGNED = 2
const EQUAL_ANY = 0
const RANGES = 1
const EQUAL_EACH = 2
const NEGATIVE = 1 << 4
const ONLY_VALID = 1 << 5

const first = new Int32Array(16)
const second = new Int32Array(16)

/** Splits a vector into elements; returns how many there are before the first zero. */
function split(vector: bigint, how: number, into: Int32Array): number {
  const count = how & WORDS ? 8 : 16
  const width = 128 / count
  let low = vector & 0xffffffffffffffffn
  let length = -1
  for (let i = 0; i < count; i++) {
    if (i === count / 2) low = vector >> 64n
    const element = BigInt.asUintN(width, low)
    into[i] = Number(how & SIGNED ? BigInt.asIntN(width, element) : element)
    low >>= BigInt(width)
    if (element === 0n && length < 0) length = i
  }
  return length < 0 ? count : length
}

function anyEqual(j: number, aLength: number): boolean {
  for (let i = 0; i < aLength; i++) if (first[i] === second[j]) return true
  return false
}

function inRange(j: number, aLength: number): boolean {
  const element = second[j]!
  for (let i = 0; i + 1 < aLength; i += 2) {
    if (first[i]! <= element && element <= first[i + 1]!) return true
  }
  return false
}

/** The first operand stands at `j` of the second, as far as the second reaches. */
function orderedAt(j: number, aLength: number, bLength: number, count: number): boolean {
  for (let i = 0; i < aLength && i + j < count; i++) {
    if (i + j >= bLength || first[i] !== second[i + j]) return false
  }
  return true
}

function matches(
  j: number, mode: number, aLength: number, bLength: number, count: number,
): boolean {
  switch (mode) {
    case EQUAL_ANY: return j < bLength && anyEqual(j, aLength)
    case RANGES: return j < bLength && inRange(j, aLength)
    case EQUAL_EACH:
      if (j >= aLength || j >= bLength) return j >= aLength && j >= bLength
      return first[j] === second[j]
    default: return orderedAt(j, aLength, bLength, count)
  }
}

/** Result bits in 0 to 15; CF, ZF, SF and OF in 16 to 19. */
function outcome(how: number, aLength: number, bLength: number): bigint {
  const count = how & WORDS ? 8 : 16
  let bits = 0
  for (let j = 0; j < count; j++) {
    let bit = matches(j, how >> 2 & 3, aLength, bLength, count)
    if (how & NEGATIVE && (!(how & ONLY_VALID) || j < bLength)) bit = !bit
    if (bit) bits |= 1 << j
  }
  const flags = (bits ? 1 : 0) | (bLength < count ? 2 : 0) | (aLength < count ? 4 : 0)
    | (bits & 1) << 3
  return BigInt(bits | flags << 16)
}

/** An explicit length counts by its magnitude, up to the number of elements. */
function lengthOf(register: bigint, how: number): number {
  const count = how & WORDS ? 8 : 16
  const signed = BigInt.asIntN(64, register)
  const magnitude = signed < 0n ? -signed : signed
  return magnitude > BigInt(count) ? count : Number(magnitude)
}

const pcmpistr: PureFunction = {
  operands: 'vvs', result: 's',
  run(a, b, immediate) {
    const how = Number(immediate! & 0xffn)
    return outcome(how, split(a!, how, first), split(b!, how, second))
  },
}

const pcmpestr: PureFunction = {
  operands: 'vvsss', result: 's',
  run(a, b, aLength, bLength, immediate) {
    const how = Number(immediate! & 0xffn)
    split(a!, how, first)
    split(b!, how, second)
    return outcome(how, lengthOf(aLength!, how), lengthOf(bLength!, how))
  },
}

export const vectorFunctions: Readonly<Record<string, PureFunction>> = {
  pcmpistr, pcmpestr, ...estimates,
}
