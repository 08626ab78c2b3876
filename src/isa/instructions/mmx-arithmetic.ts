/**
 * Packed integer arithmetic, comparison and logic: MMX, and the same opcodes on xmm with prefix 66
 * (AMD APM 4 and 5, chapters 1).
 */
import type { Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import { bothFiles, combining, repeated, type Combine } from './sse-shared.ts'

/** Mnemonic, opcode after 0f, lane operation; operands in the order of the instruction. */
const lanewise: readonly (readonly [string, string, VectorOp])[] = [
  ['paddb', 'fc', 'i8x16.add'], ['paddw', 'fd', 'i16x8.add'], ['paddd', 'fe', 'i32x4.add'],
  ['psubb', 'f8', 'i8x16.sub'], ['psubw', 'f9', 'i16x8.sub'], ['psubd', 'fa', 'i32x4.sub'],
  ['paddsb', 'ec', 'i8x16.add_sat_s'], ['paddsw', 'ed', 'i16x8.add_sat_s'],
  ['paddusb', 'dc', 'i8x16.add_sat_u'], ['paddusw', 'dd', 'i16x8.add_sat_u'],
  ['psubsb', 'e8', 'i8x16.sub_sat_s'], ['psubsw', 'e9', 'i16x8.sub_sat_s'],
  ['psubusb', 'd8', 'i8x16.sub_sat_u'], ['psubusw', 'd9', 'i16x8.sub_sat_u'],
  ['pmullw', 'd5', 'i16x8.mul'], ['pmaddwd', 'f5', 'i32x4.dot_i16x8_s'],
  ['pcmpeqb', '74', 'i8x16.eq'], ['pcmpeqw', '75', 'i16x8.eq'], ['pcmpeqd', '76', 'i32x4.eq'],
  ['pcmpgtb', '64', 'i8x16.gt_s'], ['pcmpgtw', '65', 'i16x8.gt_s'],
  ['pcmpgtd', '66', 'i32x4.gt_s'],
  ['pand', 'db', 'v128.and'], ['por', 'eb', 'v128.or'], ['pxor', 'ef', 'v128.xor'],
]

/** Those whose MMX form came later. */
const later: readonly (readonly [string, string, string, VectorOp])[] = [
  ['sse2', 'paddq', 'd4', 'i64x2.add'], ['sse2', 'psubq', 'fb', 'i64x2.sub'],
  ['sse', 'pavgb', 'e0', 'i8x16.avgr_u'], ['sse', 'pavgw', 'e3', 'i16x8.avgr_u'],
  ['sse', 'pminub', 'da', 'i8x16.min_u'], ['sse', 'pmaxub', 'de', 'i8x16.max_u'],
  ['sse', 'pminsw', 'ea', 'i16x8.min_s'], ['sse', 'pmaxsw', 'ee', 'i16x8.max_s'],
]

const andNot: Combine = (m, a, b) => m.vector('v128.andnot', b, a)

/** The upper halves of the sixteen-bit products. */
function multiplyHigh(signed: boolean): Combine {
  const low = signed ? 'i32x4.extmul_low_i16x8_s' : 'i32x4.extmul_low_i16x8_u'
  const high = signed ? 'i32x4.extmul_high_i16x8_s' : 'i32x4.extmul_high_i16x8_u'
  return (m, a, b) => m.shuffle(m.vector(low, a, b), m.vector(high, a, b),
    [2, 3, 6, 7, 10, 11, 14, 15, 18, 19, 22, 23, 26, 27, 30, 31])
}

/** The even 32-bit lanes, next to one another in the low half. */
const EVEN_DWORDS = [0, 1, 2, 3, 8, 9, 10, 11, 0, 1, 2, 3, 8, 9, 10, 11]

const multiplyEvenUnsigned: Combine = (m, a, b) => m.vector('i64x2.extmul_low_i32x4_u',
  m.shuffle(a, a, EVEN_DWORDS), m.shuffle(b, b, EVEN_DWORDS))

/** Sums of the absolute differences of eight bytes, in each half. */
const sumOfDifferences: Combine = (m, a, b) => {
  const differences = m.vector('v128.or',
    m.vector('i8x16.sub_sat_u', a, b), m.vector('i8x16.sub_sat_u', b, a))
  const words = m.vector('i16x8.add',
    m.vector('v128.and', differences, m.vectorConst(repeated(16, 0xffn))),
    m.vector('i16x8.shr_u', differences, m.const(8)))
  const doublewords = m.vector('i32x4.add', words, m.vector('i32x4.shr_u', words, m.const(16)))
  const sums = m.vector('i64x2.add',
    doublewords, m.vector('i64x2.shr_u', doublewords, m.const(32)))
  return m.vector('v128.and', sums, m.vectorConst(repeated(64, 0xffffn)))
}

export const mmxArithmetic: readonly Definition[] = [
  ...lanewise.map(([name, opcode, op]) =>
    combining(name, bothFiles(`0f ${opcode}`), (m, a, b) => m.vector(op, a, b))),
  ...later.map(([feature, name, opcode, op]) =>
    combining(name, bothFiles(`0f ${opcode}`, feature), (m, a, b) => m.vector(op, a, b))),
  combining('pandn', bothFiles('0f df'), andNot),
  combining('pmulhw', bothFiles('0f e5'), multiplyHigh(true)),
  combining('pmulhuw', bothFiles('0f e4', 'sse'), multiplyHigh(false)),
  combining('pmuludq', bothFiles('0f f4', 'sse2'), multiplyEvenUnsigned),
  combining('psadbw', bothFiles('0f f6', 'sse'), sumOfDifferences),
]
