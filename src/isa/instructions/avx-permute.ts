/**
 * AVX and AVX2: moving lanes across the halves, broadcasts, and shifts by a vector (AMD APM 4,
 * chapter 2).
 *
 * A lane picked at run time is picked by bytes, with a swizzle in each half: numbers beyond 15 give
 * zero, so that a choice among two halves is the sum of two swizzles.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import {
  bothLengths, eachHalf, halfwise, readWhole, writeWhole, type Halves,
} from './avx-shared.ts'
import {
  maskFromBits, maskOf, repeated, splat16, splat32, splat64, splat8, twoBitFields,
} from './sse-shared.ts'

/** One element of the source in every place. */
function broadcast(
  name: string, opcode: string, source: string, feature: string, lengths: readonly ('l0' | 'l1')[],
  splat: <V>(m: Backend<V>, scalar: V) => V,
): Definition {
  const registers = feature === 'avx2' ? [`W${source}`]
    : [`M${source} avx`, `U${source} avx2`]
  return define(name, {
    encodings: lengths.flatMap((l) => registers.map((code) => {
      const [operand, since = feature] = code.split(' ') as [string, string?]
      return row(`vex.${l}.66.0f38.w0 ${opcode} /r`, l === 'l0' ? 'Vx' : 'Vqq', operand)
        .cpuid(since)
    })),
    execute(m, target, from) {
      m.avxCheck()
      const value = splat(m, m.lane(m.readVector(from!), 64, 0))
      writeWhole(m, target!, [value, value])
    },
  })
}

function broadcastHalf(name: string, opcode: string, feature: string): Definition {
  return define(name, {
    encodings: [row(`vex.l1.66.0f38.w0 ${opcode} /r m`, 'Vqq', 'Mx').cpuid(feature)],
    execute(m, target, source) {
      m.avxCheck()
      const value = m.readVector(source!)
      m.writeHalves(target!, value, value)
    },
  })
}

/** Each half of the result is one of four halves, or zero. */
function permuteHalves(name: string, opcode: string, feature: string): Definition {
  return define(name, {
    encodings: [
      row(`vex.l1.66.0f3a.w0 ${opcode} /r`, 'Vqq', 'Hqq', 'Wqq', 'Ib').cpuid(feature),
    ],
    execute(m, target, first, second, immediate) {
      m.avxCheck()
      const order = m.immediate(immediate!)
      const b = m.readHalves(second!)
      const a = m.readHalves(first!)
      const pick = (at: number) => {
        const upper = maskOf(m, m.bitOf(order, at))
        const ofA = m.bitselect(a[1], a[0], upper)
        const ofB = m.bitselect(b[1], b[0], upper)
        const chosen = m.bitselect(ofB, ofA, maskOf(m, m.bitOf(order, at + 1)))
        return m.vector('v128.andnot', chosen, maskOf(m, m.bitOf(order, at + 3)))
      }
      m.writeHalves(target!, pick(0), pick(4))
    },
  })
}

function insertHalf(name: string, opcode: string, feature: string): Definition {
  return define(name, {
    encodings: [
      row(`vex.l1.66.0f3a.w0 ${opcode} /r`, 'Vqq', 'Hqq', 'Wx', 'Ib').cpuid(feature),
    ],
    execute(m, target, first, source, immediate) {
      m.avxCheck()
      const upper = maskOf(m, m.bitOf(m.immediate(immediate!), 0))
      const value = m.readVector(source!)
      const [low, high] = m.readHalves(first!)
      m.writeHalves(target!, m.bitselect(low, value, upper), m.bitselect(value, high, upper))
    },
  })
}

function extractHalf(name: string, opcode: string, feature: string): Definition {
  return define(name, {
    encodings: [row(`vex.l1.66.0f3a.w0 ${opcode} /r`, 'Wx', 'Vqq', 'Ib').cpuid(feature)],
    execute(m, target, source, immediate) {
      m.avxCheck()
      const [low, high] = m.readHalves(source!)
      const upper = maskOf(m, m.bitOf(m.immediate(immediate!), 0))
      writeWhole(m, target!, [m.bitselect(high, low, upper), m.vectorConst(0n)])
    },
  })
}

/** Byte numbers of doublewords out of their numbers, 0 to 7, one in each doubleword. */
function doublewordBytes<V>(m: Backend<V>, numbers: V): V {
  const scaled = m.vector('i32x4.shl', numbers, m.const(2))
  const spread = m.shuffle(scaled, scaled, [0, 0, 0, 0, 4, 4, 4, 4, 8, 8, 8, 8, 12, 12, 12, 12])
  return m.vector('i8x16.add', spread, m.vectorConst(repeated(32, 0x03020100n)))
}

/** Bytes 0 to 31 of a vector of two halves. */
function pickBytes<V>(m: Backend<V>, [low, high]: Halves<V>, from: V): V {
  const beyond = m.vector('i8x16.sub', from, m.vectorConst(repeated(8, 16n)))
  return m.vector('v128.or',
    m.vector('i8x16.swizzle', low, from), m.vector('i8x16.swizzle', high, beyond))
}

/** VPERMD and VPERMPS: the eight doublewords of the source by those of the other register. */
function permuteDoublewords(name: string, opcode: string): Definition {
  return define(name, {
    encodings: [row(`vex.l1.66.0f38.w0 ${opcode} /r`, 'Vqq', 'Hqq', 'Wqq').cpuid('avx2')],
    execute(m, target, order, source) {
      m.avxCheck()
      const from = m.readHalves(source!)
      const numbers = m.readHalves(order!)
      const seven = m.vectorConst(repeated(32, 7n))
      writeWhole(m, target!, eachHalf(m, target!, (half) =>
        pickBytes(m, from, doublewordBytes(m, m.vector('v128.and', numbers[half], seven)))))
    },
  })
}

/** VPERMQ and VPERMPD: the four quadwords of the source by the fields of the immediate. */
function permuteQuadwords(name: string, opcode: string): Definition {
  return define(name, {
    encodings: [row(`vex.l1.66.0f3a.w1 ${opcode} /r`, 'Vqq', 'Wqq', 'Ib').cpuid('avx2')],
    execute(m, target, source, immediate) {
      m.avxCheck()
      const from = m.readHalves(source!)
      const fields = m.vectorOf(m.shl(twoBitFields(m, m.immediate(immediate!)), m.const(3)))
      const places = m.vectorConst(repeated(64, 0x0706050403020100n))
      writeWhole(m, target!, eachHalf(m, target!, (half) => {
        const [a, b] = [half * 2, half * 2 + 1]
        const spread = m.shuffle(fields, fields,
          [a, a, a, a, a, a, a, a, b, b, b, b, b, b, b, b])
        return pickBytes(m, from, m.vector('i8x16.add', spread, places))
      }))
    },
  })
}

/** VPERMILPS within each half: by the low two bits of each doubleword. */
const permuteSingles = halfwise('vpermilps', [
  ...bothLengths('vex.66.0f38.w0 0c /r', 'VX HX WX', 'avx'),
  ...bothLengths('vex.66.0f3a.w0 04 /r', 'VX WX Ib', 'avx'),
], (m, a, b, immediate) => {
  if (b !== undefined) {
    const numbers = m.vector('v128.and', b, m.vectorConst(repeated(32, 3n)))
    return m.vector('i8x16.swizzle', a, doublewordBytes(m, numbers))
  }
  const fields = m.vectorOf(m.shl(twoBitFields(m, immediate!), m.const(2)))
  const spread = m.shuffle(fields, fields, [0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3])
  return m.vector('i8x16.swizzle', a,
    m.vector('i8x16.add', spread, m.vectorConst(repeated(32, 0x03020100n))))
})

/** VPERMILPD: the second bit of each quadword chooses; of an immediate, a bit each. */
const permuteDoubles = halfwise('vpermilpd', [
  ...bothLengths('vex.66.0f38.w0 0d /r', 'VX HX WX', 'avx'),
  ...bothLengths('vex.66.0f3a.w0 05 /r', 'VX WX Ib', 'avx'),
], (m, a, b, immediate, half) => {
  const upper = b !== undefined
    ? m.vector('i64x2.shr_s', m.vector('i64x2.shl', b, m.const(62)), m.const(63))
    : maskFromBits(m, immediate!, 0x02020202020202020101010101010101n << BigInt(half * 2))
  return m.bitselect(
    m.shuffle(a, a, [8, 9, 10, 11, 12, 13, 14, 15, 8, 9, 10, 11, 12, 13, 14, 15]),
    m.shuffle(a, a, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]), upper)
})

/** VPSLLVD and the others: counts beyond the lane shift everything out. */
function shiftByVector(
  name: string, pattern: string, op: VectorOp, width: 32 | 64,
): Definition {
  const rows = bothLengths(`vex.66.0f38.${pattern} /r`, 'VX HX WX', 'avx2')
  return halfwise(name, rows, (m, a, counts) => {
    // Scalars are wider than lanes of 32 bits, so that a count of 32 shifts all out of these.
    const most = op.endsWith('shr_s') ? 31n : 32n
    const b = width === 64 ? counts!
      : m.vector('i32x4.min_u', counts!, m.vectorConst(repeated(32, most)))
    let result = a
    for (let lane = 0; lane < 128 / width; lane++) {
      const count = m.lane(b, width, lane)
      const value = m.lane(a, width, lane)
      const shifted = op.endsWith('shl') ? m.shl(value, count)
        : op.endsWith('shr_u') ? m.shr(value, count) : m.sar(m.sx(value, width), count)
      const kept = width === 32 ? shifted
        : m.select(m.lessUnsigned(count, m.const(width)), shifted, m.const(0))
      result = m.withLane(result, width, lane, kept)
    }
    return result
  })
}

/** VPBLENDD: bits of the immediate, four for each half. */
const blendDoublewords = define('vpblendd', {
  encodings: bothLengths('vex.66.0f3a.w0 02 /r', 'VX HX WX Ib', 'avx2'),
  execute(m, target, first, second, immediate) {
    m.avxCheck()
    const bits = m.immediate(immediate!)
    const b = readWhole(m, second!)
    const a = readWhole(m, first!)
    const masks = [0x08080808040404040202020201010101n, 0x80808080404040402020202010101010n]
    writeWhole(m, target!, eachHalf(m, target!, (half) =>
      m.bitselect(b[half], a[half], maskFromBits(m, bits, masks[half]!))))
  },
})

export const avxPermute: readonly Definition[] = [
  broadcast('vbroadcastss', '18', 'd', 'avx', ['l0', 'l1'], splat32),
  broadcast('vbroadcastsd', '19', 'q', 'avx', ['l1'], splat64),
  broadcast('vpbroadcastb', '78', 'b', 'avx2', ['l0', 'l1'], splat8),
  broadcast('vpbroadcastw', '79', 'w', 'avx2', ['l0', 'l1'], splat16),
  broadcast('vpbroadcastd', '58', 'd', 'avx2', ['l0', 'l1'], splat32),
  broadcast('vpbroadcastq', '59', 'q', 'avx2', ['l0', 'l1'], splat64),
  broadcastHalf('vbroadcastf128', '1a', 'avx'), broadcastHalf('vbroadcasti128', '5a', 'avx2'),
  permuteHalves('vperm2f128', '06', 'avx'), permuteHalves('vperm2i128', '46', 'avx2'),
  insertHalf('vinsertf128', '18', 'avx'), insertHalf('vinserti128', '38', 'avx2'),
  extractHalf('vextractf128', '19', 'avx'), extractHalf('vextracti128', '39', 'avx2'),
  permuteDoublewords('vpermd', '36'), permuteDoublewords('vpermps', '16'),
  permuteQuadwords('vpermq', '00'), permuteQuadwords('vpermpd', '01'),
  permuteSingles, permuteDoubles,
  shiftByVector('vpsllvd', 'w0 47', 'i32x4.shl', 32),
  shiftByVector('vpsllvq', 'w1 47', 'i64x2.shl', 64),
  shiftByVector('vpsrlvd', 'w0 45', 'i32x4.shr_u', 32),
  shiftByVector('vpsrlvq', 'w1 45', 'i64x2.shr_u', 64),
  shiftByVector('vpsravd', 'w0 46', 'i32x4.shr_s', 32),
  blendDoublewords,
]
