/**
 * SSSE3: byte shuffles, horizontal sums, signs, absolute values; MMX and xmm forms.
 */
import { define, row, type Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import {
  BYTES, combining, enter, joinLow, readSource, repeated, splat8, transforming, type Combine,
} from './sse-shared.ts'

function ssse3Rows(opcode: string) {
  return [
    row(`np 0f 38 ${opcode} /r`, 'Pq', 'Qq').cpuid('ssse3'),
    row(`66 0f 38 ${opcode} /r`, 'Vx', 'Wx').cpuid('ssse3'),
  ]
}

/** Picks bytes; a set top bit gives zero, as any number beyond the vector does in WebAssembly. */
const shuffleBytes: Combine = (m, a, b, wide) => {
  const meant = m.vectorConst(repeated(8, wide ? 0x8fn : 0x87n))
  return m.vector('i8x16.swizzle', a, m.vector('v128.and', b, meant))
}

const EVEN_WORDS = [0, 1, 4, 5, 8, 9, 12, 13, 16, 17, 20, 21, 24, 25, 28, 29]
const ODD_WORDS = [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31]
const EVEN_DWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const ODD_DWORDS = [4, 5, 6, 7, 12, 13, 14, 15, 20, 21, 22, 23, 28, 29, 30, 31]

/** Neighbours of the target, then of the source. */
function horizontal(op: VectorOp): Combine {
  const words = op.startsWith('i16x8')
  const even = words ? EVEN_WORDS : EVEN_DWORDS
  const odd = words ? ODD_WORDS : ODD_DWORDS
  return (m, a, b, wide) => {
    const first = wide ? a : joinLow(m, a, b)
    const second = wide ? b : first
    return m.vector(op, m.shuffle(first, second, even), m.shuffle(first, second, odd))
  }
}

/** Unsigned bytes of the target times signed bytes of the source, neighbours added. */
const multiplyAddBytes: Combine = (m, a, b) => {
  const eight = m.const(8)
  const even = m.vector('i16x8.mul',
    m.vector('v128.and', a, m.vectorConst(repeated(16, 0xffn))),
    m.vector('i16x8.shr_s', m.vector('i16x8.shl', b, eight), eight))
  const odd = m.vector('i16x8.mul',
    m.vector('i16x8.shr_u', a, eight), m.vector('i16x8.shr_s', b, eight))
  return m.vector('i16x8.add_sat_s', even, odd)
}

/** Negates where the source is negative, clears where it is zero. */
function sign(lanes: 'i8x16' | 'i16x8' | 'i32x4'): Combine {
  return (m, a, b) => {
    const zero = m.vectorConst(0n)
    const negated = m.vector(`${lanes}.sub`, zero, a)
    const chosen = m.bitselect(negated, a, m.vector(`${lanes}.gt_s`, zero, b))
    return m.vector('v128.andnot', chosen, m.vector(`${lanes}.eq`, b, zero))
  }
}

/** Rounded high half of a product; -1 times -1 wraps, where WebAssembly saturates. */
const multiplyHighRounded: Combine = (m, a, b) => {
  const lowest = m.vectorConst(repeated(16, 0x8000n))
  const both = m.vector('v128.and',
    m.vector('i16x8.eq', a, lowest), m.vector('i16x8.eq', b, lowest))
  return m.vector('v128.xor', m.vector('i16x8.q15mulr_sat_s', a, b), both)
}

/** The bytes from `count` on of source and then target. */
const palignr = define('palignr', {
  encodings: [
    row('np 0f 3a 0f /r', 'Pq', 'Qq', 'Ib').cpuid('ssse3'),
    row('66 0f 3a 0f /r', 'Vx', 'Wx', 'Ib').cpuid('ssse3'),
  ],
  execute(m, target, source, count) {
    enter(m, target!)
    const low = readSource(m, source!)
    const high = m.readVector(target!)
    const from = m.vector('i8x16.add_sat_u', m.vectorConst(BYTES), splat8(m, m.immediate(count!)))
    if (target!.kind === 'mm') {
      m.writeVector(target!, m.vector('i8x16.swizzle', joinLow(m, low, high), from))
      return
    }
    const beyond = m.vector('i8x16.sub', from, m.vectorConst(repeated(8, 16n)))
    m.writeVector(target!, m.vector('v128.or',
      m.vector('i8x16.swizzle', low, from), m.vector('i8x16.swizzle', high, beyond)))
  },
})

export const ssse3: readonly Definition[] = [
  combining('pshufb', ssse3Rows('00'), shuffleBytes),
  combining('phaddw', ssse3Rows('01'), horizontal('i16x8.add')),
  combining('phaddd', ssse3Rows('02'), horizontal('i32x4.add')),
  combining('phaddsw', ssse3Rows('03'), horizontal('i16x8.add_sat_s')),
  combining('pmaddubsw', ssse3Rows('04'), multiplyAddBytes),
  combining('phsubw', ssse3Rows('05'), horizontal('i16x8.sub')),
  combining('phsubd', ssse3Rows('06'), horizontal('i32x4.sub')),
  combining('phsubsw', ssse3Rows('07'), horizontal('i16x8.sub_sat_s')),
  combining('psignb', ssse3Rows('08'), sign('i8x16')),
  combining('psignw', ssse3Rows('09'), sign('i16x8')),
  combining('psignd', ssse3Rows('0a'), sign('i32x4')),
  combining('pmulhrsw', ssse3Rows('0b'), multiplyHighRounded),
  transforming('pabsb', ssse3Rows('1c'), (m, a) => m.vector('i8x16.abs', a)),
  transforming('pabsw', ssse3Rows('1d'), (m, a) => m.vector('i16x8.abs', a)),
  transforming('pabsd', ssse3Rows('1e'), (m, a) => m.vector('i32x4.abs', a)),
  palignr,
]
