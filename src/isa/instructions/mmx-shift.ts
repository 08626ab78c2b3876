/**
 * Packed shifts, by an immediate or by the low 64 bits of a register or memory. A count beyond the
 * lane shifts everything out; WebAssembly would take it modulo the lane width.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'
import type { VectorOp } from '../vector-op.ts'
import { BYTES, bothFiles, enter, maskOf, readSource, splat8 } from './sse-shared.ts'

function countOf<V>(m: Backend<V>, source: Operand): V {
  if (source.kind === 'immediate') return m.and(m.immediate(source), m.const(0xff))
  return m.lane(readSource(m, source), 64, 0)
}

function shift(name: string, opcode: string, group: string, op: VectorOp, width: number) {
  const arithmetic = op.endsWith('_s')
  return define(name, {
    encodings: [
      ...bothFiles(`0f ${opcode}`),
      row(`np 0f ${group} r`, 'Nq', 'Ib').cpuid('mmx'),
      row(`66 0f ${group} r`, 'Ux', 'Ib').cpuid('sse2'),
    ],
    execute(m, target, source) {
      enter(m, target!)
      const count = countOf(m, source!)
      const a = m.readVector(target!)
      const within = m.lessUnsigned(count, m.const(width))
      if (arithmetic) {
        const bounded = m.select(within, count, m.const(width - 1))
        m.writeVector(target!, m.vector(op, a, bounded))
      } else {
        m.writeVector(target!, m.vector('v128.and', m.vector(op, a, count), maskOf(m, within)))
      }
    },
  })
}

const psrldq = define('psrldq', {
  encodings: [row('66 0f 73 /3 r', 'Ux', 'Ib').cpuid('sse2')],
  execute(m, target, count) {
    m.sseCheck()
    const from = m.vector('i8x16.add_sat_u', m.vectorConst(BYTES), splat8(m, m.immediate(count!)))
    m.writeVector(target!, m.vector('i8x16.swizzle', m.readVector(target!), from))
  },
})

const pslldq = define('pslldq', {
  encodings: [row('66 0f 73 /7 r', 'Ux', 'Ib').cpuid('sse2')],
  execute(m, target, count) {
    m.sseCheck()
    // Beyond 16 a byte number less the count could wrap around into the vector.
    const bytes = m.vector('i8x16.min_u',
      splat8(m, m.immediate(count!)), splat8(m, m.const(16)))
    const from = m.vector('i8x16.sub', m.vectorConst(BYTES), bytes)
    m.writeVector(target!, m.vector('i8x16.swizzle', m.readVector(target!), from))
  },
})

export const mmxShift: readonly Definition[] = [
  shift('psllw', 'f1', '71 /6', 'i16x8.shl', 16),
  shift('pslld', 'f2', '72 /6', 'i32x4.shl', 32),
  shift('psllq', 'f3', '73 /6', 'i64x2.shl', 64),
  shift('psrlw', 'd1', '71 /2', 'i16x8.shr_u', 16),
  shift('psrld', 'd2', '72 /2', 'i32x4.shr_u', 32),
  shift('psrlq', 'd3', '73 /2', 'i64x2.shr_u', 64),
  shift('psraw', 'e1', '71 /4', 'i16x8.shr_s', 16),
  shift('psrad', 'e2', '72 /4', 'i32x4.shr_s', 32),
  psrldq, pslldq,
]
