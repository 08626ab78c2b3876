/**
 * SSE floating-point arithmetic, scalar and packed, under MXCSR (AMD APM 4, chapter 2).
 *
 * The exceptions of all lanes are collected before the check, and the check stands before the
 * result is written, so that an unmasked one leaves the destination as it was.
 */
import type { Backend, FloatOp, FloatVectorOp } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { VectorOp } from '../vector-op.ts'
import { combining } from './sse-shared.ts'

type FloatWidth = 32 | 64
/** Operations that are there for scalars and vectors alike. */
type TwoWayOp = FloatOp & FloatVectorOp

/** Applies `compute` to every lane of `width` bits. */
export function eachLane<V>(
  m: Backend<V>, width: FloatWidth, a: V, b: V, compute: (a: V, b: V, lane: number) => V,
): V {
  let result = b
  for (let lane = 0; lane < 128 / width; lane++) {
    const value = compute(m.lane(a, width, lane), m.lane(b, width, lane), lane)
    result = m.withLane(result, width, lane, value)
  }
  return result
}

function packedFloat(name: string, prefix: string, opcode: string, op: TwoWayOp): Definition {
  const width = prefix === 'np' ? 32 : 64
  return define(name, {
    encodings: [
      row(`${prefix} 0f ${opcode} /r`, 'Vx', 'Wx').cpuid(width === 32 ? 'sse' : 'sse2'),
    ],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      const a = m.readVector(target!)
      const result = op === 'sqrt' ? m.floatVector(op, width, b) : m.floatVector(op, width, a, b)
      m.floatCheck()
      m.writeVector(target!, result)
    },
  })
}

function scalarFloat(name: string, prefix: string, opcode: string, op: TwoWayOp): Definition {
  const width = prefix === 'f3' ? 32 : 64
  return define(name, {
    encodings: [
      row(`${prefix} 0f ${opcode} /r`, 'Vx', width === 32 ? 'Wd' : 'Wq')
        .cpuid(width === 32 ? 'sse' : 'sse2'),
    ],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.lane(m.readVector(source!), width, 0)
      const whole = m.readVector(target!)
      const result = op === 'sqrt'
        ? m.float(op, width, b)
        : m.float(op, width, m.lane(whole, width, 0), b)
      m.floatCheck()
      m.writeVector(target!, m.withLane(whole, width, 0, result))
    },
  })
}

/** The packed and scalar forms in both precisions. */
function arithmetic(name: string, opcode: string, op: TwoWayOp): Definition[] {
  return [
    packedFloat(`${name}ps`, 'np', opcode, op), packedFloat(`${name}pd`, '66', opcode, op),
    scalarFloat(`${name}ss`, 'f3', opcode, op), scalarFloat(`${name}sd`, 'f2', opcode, op),
  ]
}

/** ADDSUBPS and ADDSUBPD: even lanes subtract, odd lanes add. */
function addSub(name: string, prefix: string, width: FloatWidth): Definition {
  return define(name, {
    encodings: [row(`${prefix} 0f d0 /r`, 'Vx', 'Wx').cpuid('pni')],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      const a = m.readVector(target!)
      const result = m.floatVector('addsub', width, a, b)
      m.floatCheck()
      m.writeVector(target!, result)
    },
  })
}

/** The bytes of every other lane of two vectors, from lane `first`. */
function pairBytes(width: FloatWidth, first: 0 | 1): number[] {
  const bytes = width / 8
  return Array.from({ length: 16 }, (_, i) =>
    (Math.floor(i / bytes) * 2 + first) * bytes + i % bytes)
}

/** HADDPS, HSUBPS and their double forms: neighbours within each operand. */
function horizontal(
  name: string, prefix: string, opcode: string, width: FloatWidth, op: 'add' | 'sub',
): Definition {
  return define(name, {
    encodings: [row(`${prefix} 0f ${opcode} /r`, 'Vx', 'Wx').cpuid('pni')],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      const a = m.readVector(target!)
      const neighbours = (first: 0 | 1) => m.shuffle(a, b, pairBytes(width, first))
      const result = m.floatVector(op, width, neighbours(0), neighbours(1))
      m.floatCheck()
      m.writeVector(target!, result)
    },
  })
}

/** RCPPS and RSQRTPS: estimates, which raise no exceptions. */
function estimate(name: string, opcode: string, pure: string): Definition[] {
  const packed = define(`${name}ps`, {
    encodings: [row(`np 0f ${opcode} /r`, 'Vx', 'Wx').cpuid('sse')],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      m.writeVector(target!, eachLane(m, 32, b, b, (_, y) => m.pure(pure, y)))
    },
  })
  const scalar = define(`${name}ss`, {
    encodings: [row(`f3 0f ${opcode} /r`, 'Vx', 'Wd').cpuid('sse')],
    execute(m, target, source) {
      m.sseCheck()
      const b = m.lane(m.readVector(source!), 32, 0)
      m.writeVector(target!, m.withLane(m.readVector(target!), 32, 0, m.pure(pure, b)))
    },
  })
  return [packed, scalar]
}

/** Bitwise logic on floating-point operands. */
function logic(name: string, opcode: string, op: VectorOp, reversed = false): Definition[] {
  return ([['ps', 'np', 'sse'], ['pd', '66', 'sse2']] as const).map(([suffix, prefix, feature]) =>
    combining(`${name}${suffix}`, [row(`${prefix} 0f ${opcode} /r`, 'Vx', 'Wx').cpuid(feature)],
      (m, a, b) => reversed ? m.vector(op, b, a) : m.vector(op, a, b)))
}

/** UNPCKLPS and the others; `lanes` are byte numbers, 16 and up in the source. */
function unpack(name: string, pattern: string, lanes: readonly number[]): Definition {
  const feature = pattern.startsWith('np') ? 'sse' : 'sse2'
  return combining(name, [row(`${pattern} /r`, 'Vx', 'Wx').cpuid(feature)],
    (m, a, b) => m.shuffle(a, b, lanes))
}

/** DPPS and DPPD: a masked dot product, summed in pairs, spread by the mask's low bits. */
function dotProduct(name: string, opcode: string, width: FloatWidth): Definition {
  return define(name, {
    encodings: [row(`66 0f 3a ${opcode} /r`, 'Vx', 'Wx', 'Ib').cpuid('sse4_1')],
    execute(m, target, source, immediate) {
      m.sseCheck()
      const b = m.readVectorAligned(source!)
      const a = m.readVector(target!)
      const [result] = dotProducts(m, width, [[a, b]], m.immediate(immediate!))
      m.writeVector(target!, result!)
    },
  })
}

/** The dot products of pairs of vectors: each step in all of them before the next. */
export function dotProducts<V>(
  m: Backend<V>, width: FloatWidth, pairs: readonly (readonly [V, V])[], mask: V,
): V[] {
  const zero = m.const(0)
  const product = (from: V, by: V, lane: number): V => {
    const wanted = m.bitOf(mask, lane + 4)
    // Zero times zero raises nothing, as a lane that is left out must not.
    const x = m.select(wanted, m.lane(from, width, lane), zero)
    return m.float('mul', width, x, m.select(wanted, m.lane(by, width, lane), zero))
  }
  const lanes = Array.from({ length: 128 / width }, (_, lane) => lane)
  let sums = pairs.map(([a, b]) => lanes.map((lane) => product(a, b, lane)))
  m.floatCheck()
  while (sums[0]!.length > 1) {
    sums = sums.map((terms) => lanes.slice(0, terms.length / 2)
      .map((i) => m.float('add', width, terms[i * 2]!, terms[i * 2 + 1]!)))
    m.floatCheck()
  }
  return pairs.map(([a, b], pair) => eachLane(m, width, a, b, (_x, _y, lane) =>
    m.select(m.bitOf(mask, lane), sums[pair]![0]!, zero)))
}

/** ROUNDPS and the others: the immediate says how. */
function rounding(name: string, opcode: string, width: FloatWidth, packed: boolean): Definition {
  const source = packed ? 'Wx' : width === 32 ? 'Wd' : 'Wq'
  return define(name, {
    encodings: [row(`66 0f 3a ${opcode} /r`, 'Vx', source, 'Ib').cpuid('sse4_1')],
    execute(m, target, from, immediate) {
      m.sseCheck()
      const how = m.immediate(immediate!)
      const b = packed ? m.readVectorAligned(from!) : m.readVector(from!)
      const whole = m.readVector(target!)
      const result = packed
        ? m.floatVector('round', width, b, how)
        : m.withLane(whole, width, 0, m.float('round', width, m.lane(b, width, 0), how))
      m.floatCheck()
      m.writeVector(target!, result)
    },
  })
}

export const sseFloat: readonly Definition[] = [
  ...arithmetic('add', '58', 'add'), ...arithmetic('mul', '59', 'mul'),
  ...arithmetic('sub', '5c', 'sub'), ...arithmetic('div', '5e', 'div'),
  ...arithmetic('min', '5d', 'min'), ...arithmetic('max', '5f', 'max'),
  ...arithmetic('sqrt', '51', 'sqrt'),
  ...estimate('rcp', '53', 'rcp32'), ...estimate('rsqrt', '52', 'rsqrt32'),
  ...logic('and', '54', 'v128.and'), ...logic('andn', '55', 'v128.andnot', true),
  ...logic('or', '56', 'v128.or'), ...logic('xor', '57', 'v128.xor'),
  unpack('unpcklps', 'np 0f 14', [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]),
  unpack('unpckhps', 'np 0f 15', [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31]),
  unpack('unpcklpd', '66 0f 14', [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]),
  unpack('unpckhpd', '66 0f 15', [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]),
  addSub('addsubps', 'f2', 32), addSub('addsubpd', '66', 64),
  horizontal('haddps', 'f2', '7c', 32, 'add'), horizontal('haddpd', '66', '7c', 64, 'add'),
  horizontal('hsubps', 'f2', '7d', 32, 'sub'), horizontal('hsubpd', '66', '7d', 64, 'sub'),
  dotProduct('dpps', '40', 32), dotProduct('dppd', '41', 64),
  rounding('roundps', '08', 32, true), rounding('roundpd', '09', 64, true),
  rounding('roundss', '0a', 32, false), rounding('roundsd', '0b', 64, false),
]
