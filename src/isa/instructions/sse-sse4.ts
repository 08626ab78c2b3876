/**
 * SSE4.1 integer instructions and SSE4.2's comparison: blends, extensions, minima, inserts.
 * (Its floating-point ones are in sse-float.ts, its strings in sse-string.ts.)
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import {
  combining, maskFromBits, repeated, splat32, splat64, splat8, transforming,
} from './sse-shared.ts'

function wide(opcode: string, source = 'Wx', feature = 'sse4_1') {
  return [row(`66 0f 38 ${opcode} /r`, 'Vx', source).cpuid(feature)]
}

const lanewise: readonly (readonly [string, string, VectorOp])[] = [
  ['pcmpeqq', '29', 'i64x2.eq'], ['packusdw', '2b', 'i16x8.narrow_i32x4_u'],
  ['pminsb', '38', 'i8x16.min_s'], ['pminsd', '39', 'i32x4.min_s'],
  ['pminuw', '3a', 'i16x8.min_u'], ['pminud', '3b', 'i32x4.min_u'],
  ['pmaxsb', '3c', 'i8x16.max_s'], ['pmaxsd', '3d', 'i32x4.max_s'],
  ['pmaxuw', '3e', 'i16x8.max_u'], ['pmaxud', '3f', 'i32x4.max_u'],
  ['pmulld', '40', 'i32x4.mul'],
]

const EVEN_DWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]

const pmuldq = combining('pmuldq', wide('28'), (m, a, b) =>
  m.vector('i64x2.extmul_low_i32x4_s',
    m.shuffle(a, a, EVEN_DWORDS), m.shuffle(b, b, EVEN_DWORDS)))

/** PMOVSX and PMOVZX: one widening step after another. */
function extend(name: string, opcode: string, source: string, steps: readonly VectorOp[]) {
  return transforming(name, wide(opcode, source), (m, a) =>
    steps.reduce((value, step) => m.vector(step, value), a))
}

const extensions: readonly Definition[] = (['s', 'u'] as const).flatMap((signed) => {
  const name = signed === 's' ? 'pmovsx' : 'pmovzx'
  const row = signed === 's' ? '2' : '3'
  const bytes = `i16x8.extend_low_i8x16_${signed}` as const
  const words = `i32x4.extend_low_i16x8_${signed}` as const
  const doublewords = `i64x2.extend_low_i32x4_${signed}` as const
  return [
    extend(`${name}bw`, `${row}0`, 'Wq', [bytes]),
    extend(`${name}bd`, `${row}1`, 'Wd', [bytes, words]),
    extend(`${name}bq`, `${row}2`, 'Ww', [bytes, words, doublewords]),
    extend(`${name}wd`, `${row}3`, 'Wq', [words]),
    extend(`${name}wq`, `${row}4`, 'Wd', [words, doublewords]),
    extend(`${name}dq`, `${row}5`, 'Wq', [doublewords]),
  ]
})

/** Blends by the sign bits of XMM0's lanes. */
function blendByRegister(
  name: string, opcode: string, lanes: 'i8x16' | 'i32x4' | 'i64x2',
): Definition {
  return combining(name, wide(opcode), (m, a, b) =>
    m.bitselect(b, a, m.vector(`${lanes}.gt_s`, m.vectorConst(0n), m.xmm(0))))
}

/** Blends by the bits of the immediate: byte i of `bits` says which bit decides on byte i. */
function blendByImmediate(name: string, opcode: string, bits: bigint): Definition {
  return define(name, {
    encodings: [row(`66 0f 3a ${opcode} /r`, 'Vx', 'Wx', 'Ib').cpuid('sse4_1')],
    execute(m, target, source, immediate) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      const mask = maskFromBits(m, m.immediate(immediate!), bits)
      m.writeVector(target!, m.bitselect(b, m.readVector(target!), mask))
    },
  })
}

const ptest = define('ptest', {
  encodings: wide('17'),
  flags: 'oszapc',
  execute(m, target, source) {
    m.sseCheck()
    const b = m.readVectorAligned(source!)
    const a = m.readVector(target!)
    const zero = m.const(0)
    m.setFlags({
      of: zero, sf: zero, af: zero, pf: zero,
      zf: isClear(m, m.vector('v128.and', b, a)),
      cf: isClear(m, m.vector('v128.andnot', b, a)),
    })
  },
})

function isClear<V>(m: Backend<V>, a: V): V {
  return m.isZero(m.or(m.lane(a, 64, 0), m.lane(a, 64, 1)))
}

/** The smallest word and, above it, its place. */
const phminposuw = transforming('phminposuw', wide('41'), (m, a) => {
  const swap = (v: typeof a, by: number) =>
    m.shuffle(v, v, Array.from({ length: 16 }, (_, byte) => byte + by & 15))
  let least = a
  for (const by of [8, 4, 2]) least = m.vector('i16x8.min_u', least, swap(least, by))
  const place = m.ctz(m.vector('i16x8.bitmask', m.vector('i16x8.eq', a, least)))
  return m.vectorOf(m.or(m.lane(least, 16, 0), m.shl(place, m.const(16))))
})

/** The lane of `bytes` bytes that the immediate names, in the low lane. */
function laneAt<V>(m: Backend<V>, a: V, immediate: V, bytes: number): V {
  const last = 16 / bytes - 1
  const at = m.mul(m.and(immediate, m.const(last)), m.const(bytes))
  const from = m.vector('i8x16.add', splat8(m, at), m.vectorConst(0x0706050403020100n))
  return m.lane(m.vector('i8x16.swizzle', a, from), 64, 0)
}

const pextrb = define('pextrb', {
  encodings: [
    row('66 0f 3a 14 /r r', 'Rd', 'Vx', 'Ib').cpuid('sse4_1'),
    row('66 0f 3a 14 /r m', 'Mb', 'Vx', 'Ib').cpuid('sse4_1'),
  ],
  execute(m, target, source, position) {
    m.sseCheck()
    const found = laneAt(m, m.readVector(source!), m.immediate(position!), 1)
    m.write(target!, m.zx(found, 8))
  },
})

const pextrd = define('pextrd', {
  encodings: [row('66 0f 3a 16 /r', 'Ey', 'Vx', 'Ib').cpuid('sse4_1')],
  execute(m, target, source, position) {
    m.sseCheck()
    const bytes = m.widthOf(target!) / 8
    m.write(target!, laneAt(m, m.readVector(source!), m.immediate(position!), bytes))
  },
})

const extractps = define('extractps', {
  encodings: [row('66 0f 3a 17 /r', 'Ed', 'Vx', 'Ib').cpuid('sse4_1')],
  execute(m, target, source, position) {
    m.sseCheck()
    m.write(target!, laneAt(m, m.readVector(source!), m.immediate(position!), 4))
  },
})

const pinsrb = define('pinsrb', {
  encodings: [
    row('66 0f 3a 20 /r r', 'Vx', 'Rd', 'Ib').cpuid('sse4_1'),
    row('66 0f 3a 20 /r m', 'Vx', 'Mb', 'Ib').cpuid('sse4_1'),
  ],
  execute(m, target, source, position) {
    m.sseCheck()
    const value = splat8(m, m.read(source!))
    const at = splat8(m, m.and(m.immediate(position!), m.const(15)))
    const mask = m.vector('i8x16.eq', at, m.vectorConst(0x0f0e0d0c0b0a09080706050403020100n))
    m.writeVector(target!, m.bitselect(value, m.readVector(target!), mask))
  },
})

const pinsrd = define('pinsrd', {
  encodings: [row('66 0f 3a 22 /r', 'Vx', 'Ey', 'Ib').cpuid('sse4_1')],
  execute(m, target, source, position) {
    m.sseCheck()
    const value = m.read(source!)
    const quad = m.widthOf(source!) === 64
    const at = m.and(m.immediate(position!), m.const(quad ? 1 : 3))
    const mask = quad
      ? m.vector('i64x2.eq', splat64(m, at), m.vectorConst(1n << 64n))
      : m.vector('i32x4.eq', splat32(m, at), m.vectorConst(0x00000003000000020000000100000000n))
    const spread = quad ? splat64(m, value) : splat32(m, value)
    m.writeVector(target!, m.bitselect(spread, m.readVector(target!), mask))
  },
})

/** Inserts a single: the source's lane by bits 6-7 (memory has but one), zeros by bits 0-3. */
const insertps = define('insertps', {
  encodings: [
    row('66 0f 3a 21 /r r', 'Vx', 'Ux', 'Ib').cpuid('sse4_1'),
    row('66 0f 3a 21 /r m', 'Vx', 'Md', 'Ib').cpuid('sse4_1'),
  ],
  execute(m, target, source, immediate) {
    m.sseCheck()
    const how = m.immediate(immediate!)
    const b = m.readVector(source!)
    const value = m.isMemory(source!)
      ? m.lane(b, 32, 0)
      : laneAt(m, b, m.shr(how, m.const(6)), 4)
    const at = splat32(m, m.and(m.shr(how, m.const(4)), m.const(3)))
    const mask = m.vector('i32x4.eq', at, m.vectorConst(0x00000003000000020000000100000000n))
    const inserted = m.bitselect(splat32(m, value), m.readVector(target!), mask)
    const cleared = maskFromBits(m, how, 0x08080808040404040202020201010101n)
    m.writeVector(target!, m.vector('v128.andnot', inserted, cleared))
  },
})

/** Byte numbers of the eight windows of four bytes, each a byte further. */
const WINDOWS = [0x06050403050403020403020103020100n, 0x0a090807090807060807060507060504n]

/** Eight sums of four absolute differences, of blocks that the immediate places. */
const mpsadbw = define('mpsadbw', {
  encodings: [row('66 0f 3a 42 /r', 'Vx', 'Wx', 'Ib').cpuid('sse4_1')],
  execute(m, target, source, immediate) {
    m.sseCheck()
    const how = m.immediate(immediate!)
    const b = m.readVectorAligned(source!)
    const a = m.readVector(target!)
    const blockAt = splat8(m, m.shl(m.and(how, m.const(3)), m.const(2)))
    const block = m.vector('i8x16.swizzle', b,
      m.vector('i8x16.add', blockAt, m.vectorConst(repeated(32, 0x03020100n))))
    const start = splat8(m, m.and(how, m.const(4)))
    const sums = WINDOWS.map((places) => {
      const window = m.vector('i8x16.swizzle', a,
        m.vector('i8x16.add', start, m.vectorConst(places)))
      return sumOfFour(m, m.vector('v128.or',
        m.vector('i8x16.sub_sat_u', window, block), m.vector('i8x16.sub_sat_u', block, window)))
    })
    m.writeVector(target!, m.vector('i16x8.narrow_i32x4_u', sums[0]!, sums[1]!))
  },
})

/** Sums of the four bytes of each doubleword. */
function sumOfFour<V>(m: Backend<V>, bytes: V): V {
  const words = m.vector('i16x8.add',
    m.vector('v128.and', bytes, m.vectorConst(repeated(16, 0xffn))),
    m.vector('i16x8.shr_u', bytes, m.const(8)))
  return m.vector('i32x4.add',
    m.vector('v128.and', words, m.vectorConst(repeated(32, 0xffffn))),
    m.vector('i32x4.shr_u', words, m.const(16)))
}

export const sse4: readonly Definition[] = [
  ...lanewise.map(([name, opcode, op]) =>
    combining(name, wide(opcode), (m, a, b) => m.vector(op, a, b))),
  combining('pcmpgtq', wide('37', 'Wx', 'sse4_2'), (m, a, b) => m.vector('i64x2.gt_s', a, b)),
  pmuldq, ...extensions,
  blendByRegister('pblendvb', '10', 'i8x16'), blendByRegister('blendvps', '14', 'i32x4'),
  blendByRegister('blendvpd', '15', 'i64x2'),
  blendByImmediate('blendps', '0c', 0x08080808040404040202020201010101n),
  blendByImmediate('blendpd', '0d', 0x02020202020202020101010101010101n),
  blendByImmediate('pblendw', '0e', 0x80804040202010100808040402020101n),
  ptest, phminposuw, pextrb, pextrd, extractps, pinsrb, pinsrd, insertps, mpsadbw,
]
