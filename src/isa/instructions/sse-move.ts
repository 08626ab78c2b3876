/**
 * Moves between xmm, mm and general registers and memory (AMD APM 4, chapter 2).
 *
 * MOVD with REX.W is what assemblers call MOVQ; the definition is one. Non-temporal hints have no
 * effect on results, and here none at all.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition, type Row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { enter, joinLow } from './sse-shared.ts'

function move(name: string, rows: readonly Row[], aligned: boolean): Definition {
  return define(name, {
    encodings: rows,
    execute(m, target, source) {
      m.sseCheck()
      const value = aligned ? m.readVectorAligned(source!) : m.readVector(source!)
      if (aligned) m.writeVectorAligned(target!, value)
      else m.writeVector(target!, value)
    },
  })
}

const loadAndStore = (prefix: string, load: string, store: string, feature: string) => [
  row(`${prefix} 0f ${load} /r`, 'Vx', 'Wx').cpuid(feature),
  row(`${prefix} 0f ${store} /r`, 'Wx', 'Vx').cpuid(feature),
]

/** MOVSS and MOVSD: a load clears the rest of the register, a move between registers keeps it. */
function moveScalar(name: string, prefix: string, width: 32 | 64, feature: string): Definition {
  const size = width === 32 ? 'd' : 'q'
  return define(name, {
    encodings: [
      row(`${prefix} 0f 10 /r m`, 'Vx', `M${size}`).cpuid(feature),
      row(`${prefix} 0f 10 /r r`, 'Vx', 'Ux').cpuid(feature),
      row(`${prefix} 0f 11 /r m`, `M${size}`, 'Vx').cpuid(feature),
      row(`${prefix} 0f 11 /r r`, 'Ux', 'Vx').cpuid(feature),
    ],
    execute(m, target, source) {
      m.sseCheck()
      const value = m.readVector(source!)
      if (m.isMemory(target!) || m.isMemory(source!)) {
        m.writeVector(target!, value)
      } else {
        const low = m.lane(value, width, 0)
        m.writeVector(target!, m.withLane(m.readVector(target!), width, 0, low))
      }
    },
  })
}

const movq = define('movq', {
  encodings: [
    row('np 0f 6f /r', 'Pq', 'Qq').cpuid('mmx'),
    row('np 0f 7f /r', 'Qq', 'Pq').cpuid('mmx'),
    row('f3 0f 7e /r', 'Vx', 'Wq').cpuid('sse2'),
    row('66 0f d6 /r', 'Wq', 'Vx').cpuid('sse2'),
  ],
  execute(m, target, source) {
    enter(m, target!.kind === 'memory' ? source! : target!)
    m.writeVector(target!, m.vectorOf(m.lane(m.readVector(source!), 64, 0)))
  },
})

const movd = define('movd', {
  encodings: [
    row('np 0f 6e /r', 'Pq', 'Ey').cpuid('mmx'),
    row('np 0f 7e /r', 'Ey', 'Pq').cpuid('mmx'),
    row('66 0f 6e /r', 'Vx', 'Ey').cpuid('sse2'),
    row('66 0f 7e /r', 'Ey', 'Vx').cpuid('sse2'),
  ],
  execute(m, target, source) {
    if (target!.kind === 'xmm' || target!.kind === 'mm') {
      enter(m, target!)
      m.writeVector(target!, m.vectorOf(m.read(source!)))
    } else {
      enter(m, source!)
      m.write(target!, m.lane(m.readVector(source!), 64, 0))
    }
  },
})

type Halves = <V>(m: Backend<V>, target: V, source: V) => V

const toLow: Halves = (m, target, source) => m.withLane(target, 64, 0, m.lane(source, 64, 0))
const toHigh: Halves = (m, target, source) => joinLow(m, target, source)
const highToLow: Halves = (m, target, source) => m.withLane(target, 64, 0, m.lane(source, 64, 1))

/** A move into one half of a register; stores of a half are `half` 0 or 1. */
function moveHalf(name: string, rows: readonly Row[], load: Halves, half: 0 | 1): Definition {
  return define(name, {
    encodings: rows,
    execute(m, target, source) {
      m.sseCheck()
      const value = m.readVector(source!)
      if (m.isMemory(target!)) m.writeVector(target!, m.vectorOf(m.lane(value, 64, half)))
      else m.writeVector(target!, load(m, m.readVector(target!), value))
    },
  })
}

const halfRows = (prefix: string, load: string, store: string, feature: string) => [
  row(`${prefix} 0f ${load} /r m`, 'Vx', 'Mq').cpuid(feature),
  row(`${prefix} 0f ${store} /r m`, 'Mq', 'Vx').cpuid(feature),
]

/** A move that repeats lanes: `lanes` are byte numbers of the source. */
function duplicate(name: string, pattern: string, source: string, lanes: readonly number[]) {
  return define(name, {
    encodings: [row(pattern, 'Vx', source).cpuid('pni')],
    execute(m, target, from) {
      m.sseCheck()
      const value = readMaybeAligned(m, from!)
      m.writeVector(target!, m.shuffle(value, value, lanes))
    },
  })
}

function readMaybeAligned<V>(m: Backend<V>, operand: Operand): V {
  return m.widthOf(operand) === 128 ? m.readVectorAligned(operand) : m.readVector(operand)
}

function signMask(name: string, prefix: string, op: 'i32x4.bitmask' | 'i64x2.bitmask') {
  return define(name, {
    encodings: [row(`${prefix} 0f 50 /r r`, 'Gd', 'Ux').cpuid(prefix === 'np' ? 'sse' : 'sse2')],
    execute(m, target, source) {
      m.sseCheck()
      m.write(target!, m.vector(op, m.readVector(source!)))
    },
  })
}

const movq2dq = define('movq2dq', {
  encodings: [row('f3 0f d6 /r r', 'Vx', 'Nq').cpuid('sse2')],
  execute(m, target, source) {
    m.sseCheck()
    m.enterMmx()
    m.writeVector(target!, m.readVector(source!))
  },
})

const movdq2q = define('movdq2q', {
  encodings: [row('f2 0f d6 /r r', 'Pq', 'Ux').cpuid('sse2')],
  execute(m, target, source) {
    m.sseCheck()
    m.enterMmx()
    m.writeVector(target!, m.readVector(source!))
  },
})

const movntq = define('movntq', {
  encodings: [row('np 0f e7 /r m', 'Mq', 'Pq').cpuid('sse')],
  execute(m, target, source) {
    m.enterMmx()
    m.writeVector(target!, m.readVector(source!))
  },
})

export const sseMove: readonly Definition[] = [
  move('movaps', loadAndStore('np', '28', '29', 'sse'), true),
  move('movapd', loadAndStore('66', '28', '29', 'sse2'), true),
  move('movdqa', loadAndStore('66', '6f', '7f', 'sse2'), true),
  move('movups', loadAndStore('np', '10', '11', 'sse'), false),
  move('movupd', loadAndStore('66', '10', '11', 'sse2'), false),
  move('movdqu', loadAndStore('f3', '6f', '7f', 'sse2'), false),
  move('movntps', [row('np 0f 2b /r m', 'Mx', 'Vx').cpuid('sse')], true),
  move('movntpd', [row('66 0f 2b /r m', 'Mx', 'Vx').cpuid('sse2')], true),
  move('movntdq', [row('66 0f e7 /r m', 'Mx', 'Vx').cpuid('sse2')], true),
  move('movntdqa', [row('66 0f 38 2a /r m', 'Vx', 'Mx').cpuid('sse4_1')], true),
  move('lddqu', [row('f2 0f f0 /r m', 'Vx', 'Mx').cpuid('pni')], false),
  moveScalar('movss', 'f3', 32, 'sse'),
  moveScalar('movsd', 'f2', 64, 'sse2'),
  movq, movd,
  moveHalf('movlps', halfRows('np', '12', '13', 'sse'), toLow, 0),
  moveHalf('movlpd', halfRows('66', '12', '13', 'sse2'), toLow, 0),
  moveHalf('movhps', halfRows('np', '16', '17', 'sse'), toHigh, 1),
  moveHalf('movhpd', halfRows('66', '16', '17', 'sse2'), toHigh, 1),
  moveHalf('movhlps', [row('np 0f 12 /r r', 'Vx', 'Ux').cpuid('sse')], highToLow, 0),
  moveHalf('movlhps', [row('np 0f 16 /r r', 'Vx', 'Ux').cpuid('sse')], toHigh, 0),
  duplicate('movsldup', 'f3 0f 12 /r', 'Wx', [0, 1, 2, 3, 0, 1, 2, 3, 8, 9, 10, 11, 8, 9, 10, 11]),
  duplicate('movshdup', 'f3 0f 16 /r', 'Wx',
    [4, 5, 6, 7, 4, 5, 6, 7, 12, 13, 14, 15, 12, 13, 14, 15]),
  duplicate('movddup', 'f2 0f 12 /r', 'Wq', [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7]),
  signMask('movmskps', 'np', 'i32x4.bitmask'),
  signMask('movmskpd', '66', 'i64x2.bitmask'),
  movq2dq, movdq2q, movntq,
]
