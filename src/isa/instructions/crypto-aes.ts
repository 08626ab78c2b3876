/**
 * AES-NI and PCLMULQDQ (Intel SDM 2A; FIPS 197 for the tables' meaning).
 *
 * SubBytes looks up all sixteen bytes at once: the box is cut into sixteen vectors, and since a
 * swizzle yields zero for numbers beyond 15, the sum over all of them of `box[i][x - 16 i]` is
 * `box[x]`. Nothing depends on secret addresses.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import { combining, repeated, splat64, transforming } from './sse-shared.ts'

/** The product in GF(2^8) modulo x^8 + x^4 + x^3 + x + 1. */
function product(a: number, b: number): number {
  let sum = 0
  for (let bit = 0; bit < 8; bit++) {
    if (b >> bit & 1) sum ^= a << bit
  }
  for (let bit = 15; bit >= 8; bit--) {
    if (sum >> bit & 1) sum ^= 0x11b << bit - 8
  }
  return sum
}

function substitution(): Uint8Array {
  const box = new Uint8Array(256)
  for (let byte = 0; byte < 256; byte++) {
    let inverse = 0
    for (let other = 1; other < 256 && byte; other++) {
      if (product(byte, other) === 1) inverse = other
    }
    let sum = inverse
    for (let turn = 1; turn <= 4; turn++) sum ^= (inverse << turn | inverse >> 8 - turn) & 0xff
    box[byte] = sum ^ 0x63
  }
  return box
}

/** A box of 256 bytes as sixteen vectors. */
function sliced(box: Uint8Array): readonly bigint[] {
  return Array.from({ length: 16 }, (_, slice) =>
    box.subarray(slice * 16, slice * 16 + 16)
      .reduceRight((bits, byte) => bits << 8n | BigInt(byte), 0n))
}

const box = substitution()
const forward = sliced(box)
const backward = sliced(Uint8Array.from({ length: 256 }, (_, byte) => box.indexOf(byte)))

function substitute<V>(m: Backend<V>, a: V, slices: readonly bigint[]): V {
  const step = m.vectorConst(repeated(8, 16n))
  let from = a
  let result = m.vector('i8x16.swizzle', m.vectorConst(slices[0]!), from)
  for (const slice of slices.slice(1)) {
    from = m.vector('i8x16.sub', from, step)
    result = m.vector('v128.or', result, m.vector('i8x16.swizzle', m.vectorConst(slice), from))
  }
  return result
}

const SHIFT_ROWS = [0, 5, 10, 15, 4, 9, 14, 3, 8, 13, 2, 7, 12, 1, 6, 11]
const UNSHIFT_ROWS = [0, 13, 10, 7, 4, 1, 14, 11, 8, 5, 2, 15, 12, 9, 6, 3]
/** Every column turned by one, two, three bytes. */
const TURN_1 = [1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12]
const TURN_2 = [2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13]
const TURN_3 = [3, 0, 1, 2, 7, 4, 5, 6, 11, 8, 9, 10, 15, 12, 13, 14]

/** Twice each byte in the field. */
function doubled<V>(m: Backend<V>, a: V): V {
  const carries = m.vector('i8x16.shr_s', a, m.const(7))
  const reduced = m.vector('v128.and', carries, m.vectorConst(repeated(8, 0x1bn)))
  return m.vector('v128.xor', m.vector('i8x16.add', a, a), reduced)
}

function turned<V>(m: Backend<V>, a: V, lanes: readonly number[]): V {
  return m.shuffle(a, a, lanes)
}

function sumOf<V>(m: Backend<V>, ...parts: V[]): V {
  return parts.reduce((sum, part) => m.vector('v128.xor', sum, part))
}

/** 2 3 1 1 times each column. */
function mixColumns<V>(m: Backend<V>, a: V): V {
  const two = doubled(m, a)
  const three = m.vector('v128.xor', two, a)
  return sumOf(m, two, turned(m, three, TURN_1), turned(m, a, TURN_2), turned(m, a, TURN_3))
}

/** 14 11 13 9 times each column: first 5 0 4 0, then as mixColumns. */
function unmixColumns<V>(m: Backend<V>, a: V): V {
  const four = doubled(m, doubled(m, a))
  return mixColumns(m, sumOf(m, a, four, turned(m, four, TURN_2)))
}

function aes(opcode: string) {
  return [row(`66 0f 38 ${opcode} /r`, 'Vx', 'Wx').cpuid('aes')]
}

const aeskeygenassist = define('aeskeygenassist', {
  encodings: [row('66 0f 3a df /r', 'Vx', 'Wx', 'Ib').cpuid('aes')],
  execute(m, target, source, constant) {
    m.sseCheck()
    const substituted = substitute(m, m.readVectorAligned(source!), forward)
    const words = m.shuffle(substituted, substituted,
      [4, 5, 6, 7, 5, 6, 7, 4, 12, 13, 14, 15, 13, 14, 15, 12])
    const round = m.shl(m.and(m.immediate(constant!), m.const(0xff)), m.const(32))
    m.writeVector(target!, m.vector('v128.xor', words, splat64(m, round)))
  },
})

/** Bits 4k of a product, with three zeros between them so that carries do not meet. */
const HOLES = 0x1111111111111111n

/** The carry-less product of two 32-bit values. */
function multiplyCarryless<V>(m: Backend<V>, a: V, b: V): V {
  const masks = [0n, 1n, 2n, 3n].map((shift) => m.const(BigInt.asUintN(64, HOLES << shift)))
  const as = masks.map((mask) => m.and(a, mask))
  const bs = masks.map((mask) => m.and(b, mask))
  return masks.map((mask, k) => {
    const sum = as.map((part, i) => m.mul(part, bs[k - i & 3]!)).reduce((x, y) => m.xor(x, y))
    return m.and(sum, mask)
  }).reduce((x, y) => m.or(x, y))
}

const pclmulqdq = define('pclmulqdq', {
  encodings: [row('66 0f 3a 44 /r', 'Vx', 'Wx', 'Ib').cpuid('pclmulqdq')],
  execute(m, target, source, immediate) {
    m.sseCheck()
    const halves = m.immediate(immediate!)
    const b = m.readVectorAligned(source!)
    const a = m.readVector(target!)
    const x = m.select(m.bitOf(halves, 0), m.lane(a, 64, 1), m.lane(a, 64, 0))
    const y = m.select(m.bitOf(halves, 4), m.lane(b, 64, 1), m.lane(b, 64, 0))
    const half = m.const(32)
    const xHigh = m.shr(x, half)
    const yHigh = m.shr(y, half)
    const xLow = m.zx(x, 32)
    const yLow = m.zx(y, 32)
    const low = multiplyCarryless(m, xLow, yLow)
    const high = multiplyCarryless(m, xHigh, yHigh)
    const both = multiplyCarryless(m, m.xor(xLow, xHigh), m.xor(yLow, yHigh))
    const middle = m.xor(both, m.xor(low, high))
    const result = m.vectorOf(m.xor(low, m.shl(middle, half)))
    m.writeVector(target!, m.withLane(result, 64, 1, m.xor(high, m.shr(middle, half))))
  },
})

export const cryptoAes: readonly Definition[] = [
  combining('aesenc', aes('dc'), (m, a, key) => {
    const rows = m.shuffle(a, a, SHIFT_ROWS)
    return m.vector('v128.xor', mixColumns(m, substitute(m, rows, forward)), key)
  }),
  combining('aesenclast', aes('dd'), (m, a, key) =>
    m.vector('v128.xor', substitute(m, m.shuffle(a, a, SHIFT_ROWS), forward), key)),
  combining('aesdec', aes('de'), (m, a, key) => {
    const rows = m.shuffle(a, a, UNSHIFT_ROWS)
    return m.vector('v128.xor', unmixColumns(m, substitute(m, rows, backward)), key)
  }),
  combining('aesdeclast', aes('df'), (m, a, key) =>
    m.vector('v128.xor', substitute(m, m.shuffle(a, a, UNSHIFT_ROWS), backward), key)),
  transforming('aesimc', aes('db'), (m, a) => unmixColumns(m, a)),
  aeskeygenassist, pclmulqdq,
]
