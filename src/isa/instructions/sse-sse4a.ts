/**
 * SSE4a, AMD's own: bit fields of the low quadword, scalar non-temporal stores (AMD APM 4).
 *
 * A length of 0 means 64. The upper half of the destination is left undefined by the manual; the
 * processor that we report leaves EXTRQ's and INSERTQ's as zero.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'

/** Ones in the low `length` bits, modulo 64; all for 0. */
function fieldMask<V>(m: Backend<V>, length: V): V {
  return m.shr(m.const(0xffffffffffffffffn), m.neg(length))
}

const extrq = define('extrq', {
  encodings: [
    row('66 0f 78 /0 r', 'Ux', 'Ib', 'Ib').cpuid('sse4a'),
    row('66 0f 79 /r r', 'Vx', 'Ux').cpuid('sse4a'),
  ],
  execute(m, target, first, second) {
    m.sseCheck()
    const fields = second ? undefined : m.lane(m.readVector(first!), 64, 0)
    const length = fields === undefined ? m.immediate(first!) : fields
    const index = fields === undefined ? m.immediate(second!) : m.shr(fields, m.const(8))
    const low = m.lane(m.readVector(target!), 64, 0)
    m.writeVector(target!, m.vectorOf(m.and(m.shr(low, index), fieldMask(m, length))))
  },
})

const insertq = define('insertq', {
  encodings: [
    row('f2 0f 78 /r r', 'Vx', 'Ux', 'Ib', 'Ib').cpuid('sse4a'),
    row('f2 0f 79 /r r', 'Vx', 'Ux').cpuid('sse4a'),
  ],
  execute(m, target, source, first, second) {
    m.sseCheck()
    const from = m.readVector(source!)
    const fields = m.lane(from, 64, 1)
    const length = first ? m.immediate(first) : fields
    const index = second ? m.immediate(second) : m.shr(fields, m.const(8))
    const mask = fieldMask(m, length)
    const field = m.shl(m.and(m.lane(from, 64, 0), mask), index)
    const kept = m.and(m.lane(m.readVector(target!), 64, 0), m.not(m.shl(mask, index)))
    m.writeVector(target!, m.vectorOf(m.or(kept, field)))
  },
})

function storeScalar(name: string, prefix: string, memory: string): Definition {
  return define(name, {
    encodings: [row(`${prefix} 0f 2b /r m`, memory, 'Vx').cpuid('sse4a')],
    execute(m, target, source) {
      m.sseCheck()
      m.writeVector(target!, m.readVector(source!))
    },
  })
}

export const sse4a: readonly Definition[] = [
  extrq, insertq, storeScalar('movntss', 'f3', 'Md'), storeScalar('movntsd', 'f2', 'Mq'),
]
