/**
 * Moving lanes about: pack, unpack, shuffle, insert, extract; MMX and SSE2 forms.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import {
  bothFiles, combining, enter, joinLow, splat16, splat8, twoBitFields, type Combine,
} from './sse-shared.ts'

/** Byte numbers that interleave lanes of `bytes` bytes of two vectors, from byte `start` on. */
function interleaved(bytes: number, start: number): number[] {
  const lanes: number[] = []
  for (let at = start; lanes.length < 16; at += bytes) {
    for (const from of [0, 16]) {
      for (let byte = 0; byte < bytes; byte++) lanes.push((from + at + byte) & 31)
    }
  }
  return lanes
}

function unpack(name: string, opcode: string, bytes: number, high: boolean): Definition {
  const narrowLanes = interleaved(bytes, high ? 4 : 0)
  const wideLanes = interleaved(bytes, high ? 8 : 0)
  const rows = bytes === 8
    ? [row(`66 0f ${opcode} /r`, 'Vx', 'Wx').cpuid('sse2')]
    : [
        // The low forms of MMX read no more than the half that they use.
        row(`np 0f ${opcode} /r`, 'Pq', high ? 'Qq' : 'Qd').cpuid('mmx'),
        row(`66 0f ${opcode} /r`, 'Vx', 'Wx').cpuid('sse2'),
      ]
  return combining(name, rows, (m, a, b, wide) => m.shuffle(a, b, wide ? wideLanes : narrowLanes))
}

function pack(op: VectorOp): Combine {
  return (m, a, b, wide) => {
    if (wide) return m.vector(op, a, b)
    const both = joinLow(m, a, b)
    return m.vector(op, both, both)
  }
}

const pshufw = define('pshufw', {
  encodings: [row('np 0f 70 /r', 'Pq', 'Qq', 'Ib').cpuid('sse')],
  execute(m, target, source, order) {
    m.enterMmx()
    const a = m.readVector(source!)
    m.writeVector(target!, m.vector('i8x16.swizzle', a, wordOrder(m, m.immediate(order!), 0)))
  },
})

/** Byte numbers for PSHUFLW (`half` 0) and PSHUFHW (1): words of one half by the order's fields. */
function wordOrder<V>(m: Backend<V>, order: V, half: 0 | 1): V {
  const fields = m.vectorOf(m.shl(twoBitFields(m, order), m.const(1)))
  const kept = m.vectorConst(half
    ? 0x09080908090809080706050403020100n
    : 0x0f0e0d0c0b0a09080100010001000100n)
  const zero = m.vectorConst(0n)
  const spread = half
    ? m.shuffle(fields, zero, [16, 16, 16, 16, 16, 16, 16, 16, 0, 0, 1, 1, 2, 2, 3, 3])
    : m.shuffle(fields, zero, [0, 0, 1, 1, 2, 2, 3, 3, 16, 16, 16, 16, 16, 16, 16, 16])
  return m.vector('i8x16.add', spread, kept)
}

function shuffleWords(name: string, prefix: string, half: 0 | 1): Definition {
  return define(name, {
    encodings: [row(`${prefix} 0f 70 /r`, 'Vx', 'Wx', 'Ib').cpuid('sse2')],
    execute(m, target, source, order) {
      m.sseCheck()
      const a = m.readVectorAligned(source!)
      m.writeVector(target!, m.vector('i8x16.swizzle', a, wordOrder(m, m.immediate(order!), half)))
    },
  })
}

/** Byte numbers for doublewords picked by the order's four fields (PSHUFD, SHUFPS). */
function doublewordOrder<V>(m: Backend<V>, order: V): V {
  const fields = m.vectorOf(m.shl(twoBitFields(m, order), m.const(2)))
  const spread = m.shuffle(fields, fields, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
  return m.vector('i8x16.add', spread, m.vectorConst(0x03020100030201000302010003020100n))
}

const pshufd = define('pshufd', {
  encodings: [row('66 0f 70 /r', 'Vx', 'Wx', 'Ib').cpuid('sse2')],
  execute(m, target, source, order) {
    m.sseCheck()
    const a = m.readVectorAligned(source!)
    m.writeVector(target!, m.vector('i8x16.swizzle', a, doublewordOrder(m, m.immediate(order!))))
  },
})

const shufps = define('shufps', {
  encodings: [row('np 0f c6 /r', 'Vx', 'Wx', 'Ib').cpuid('sse')],
  execute(m, target, source, order) {
    m.sseCheck()
    const b = m.readVectorAligned(source!)
    const a = m.readVector(target!)
    const from = doublewordOrder(m, m.immediate(order!))
    m.writeVector(target!, m.shuffle(
      m.vector('i8x16.swizzle', a, from), m.vector('i8x16.swizzle', b, from),
      [0, 1, 2, 3, 4, 5, 6, 7, 24, 25, 26, 27, 28, 29, 30, 31]))
  },
})

const shufpd = define('shufpd', {
  encodings: [row('66 0f c6 /r', 'Vx', 'Wx', 'Ib').cpuid('sse2')],
  execute(m, target, source, order) {
    m.sseCheck()
    const b = m.readVectorAligned(source!)
    const a = m.readVector(target!)
    const bits = m.immediate(order!)
    const low = m.select(m.bitOf(bits, 0), m.lane(a, 64, 1), m.lane(a, 64, 0))
    const high = m.select(m.bitOf(bits, 1), m.lane(b, 64, 1), m.lane(b, 64, 0))
    m.writeVector(target!, m.withLane(m.vectorOf(low), 64, 1, high))
  },
})

const pextrw = define('pextrw', {
  encodings: [
    row('np 0f c5 /r r', 'Gd', 'Nq', 'Ib').cpuid('sse'),
    row('66 0f c5 /r r', 'Gd', 'Ux', 'Ib').cpuid('sse2'),
    row('66 0f 3a 15 /r r', 'Rd', 'Vx', 'Ib').cpuid('sse4_1'),
    row('66 0f 3a 15 /r m', 'Mw', 'Vx', 'Ib').cpuid('sse4_1'),
  ],
  execute(m, target, source, position) {
    enter(m, source!)
    const a = m.readVector(source!)
    const lanes = source!.kind === 'mm' ? 3 : 7
    const at = m.shl(m.and(m.immediate(position!), m.const(lanes)), m.const(1))
    const from = m.vector('i8x16.add', splat8(m, at), m.vectorConst(0x0100n))
    m.write(target!, m.lane(m.vector('i8x16.swizzle', a, from), 16, 0))
  },
})

const pinsrw = define('pinsrw', {
  encodings: [
    row('np 0f c4 /r', 'Pq', 'Ew', 'Ib').cpuid('sse'),
    row('66 0f c4 /r', 'Vx', 'Ew', 'Ib').cpuid('sse2'),
  ],
  execute(m, target, source, position) {
    enter(m, target!)
    const word = m.read(source!)
    const a = m.readVector(target!)
    const lanes = target!.kind === 'mm' ? 3 : 7
    const at = splat16(m, m.and(m.immediate(position!), m.const(lanes)))
    const mask = m.vector('i16x8.eq', at, m.vectorConst(0x00070006000500040003000200010000n))
    m.writeVector(target!, m.bitselect(splat16(m, word), a, mask))
  },
})

const pmovmskb = define('pmovmskb', {
  encodings: [
    row('np 0f d7 /r r', 'Gd', 'Nq').cpuid('sse'),
    row('66 0f d7 /r r', 'Gd', 'Ux').cpuid('sse2'),
  ],
  execute(m, target, source) {
    enter(m, source!)
    m.write(target!, m.vector('i8x16.bitmask', m.readVector(source!)))
  },
})

export const mmxShuffle: readonly Definition[] = [
  unpack('punpcklbw', '60', 1, false), unpack('punpcklwd', '61', 2, false),
  unpack('punpckldq', '62', 4, false), unpack('punpcklqdq', '6c', 8, false),
  unpack('punpckhbw', '68', 1, true), unpack('punpckhwd', '69', 2, true),
  unpack('punpckhdq', '6a', 4, true), unpack('punpckhqdq', '6d', 8, true),
  combining('packsswb', bothFiles('0f 63'), pack('i8x16.narrow_i16x8_s')),
  combining('packssdw', bothFiles('0f 6b'), pack('i16x8.narrow_i32x4_s')),
  combining('packuswb', bothFiles('0f 67'), pack('i8x16.narrow_i16x8_u')),
  pshufw, pshufd, shuffleWords('pshuflw', 'f2', 0), shuffleWords('pshufhw', 'f3', 1),
  shufps, shufpd, pextrw, pinsrw, pmovmskb,
]
