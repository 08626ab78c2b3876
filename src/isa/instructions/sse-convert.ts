/**
 * SSE comparisons and conversions (AMD APM 4, chapter 2), and the control register.
 *
 * A float comparison yields 0 unordered, 1 less, 2 equal, 3 greater.
 */
import { Vector } from '../../abi/x86/control.ts'
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { MXCSR_MASK } from '../x87/image.ts'

type FloatWidth = 32 | 64

/** COMISS and the others: ZF, PF and CF; the rest are cleared. */
function compareFlags(
  name: string, pattern: string, width: FloatWidth, op: 'compare' | 'compareSignaling',
): Definition {
  return define(name, {
    encodings: [
      row(`${pattern} /r`, 'Vx', width === 32 ? 'Wd' : 'Wq').cpuid(width === 32 ? 'sse' : 'sse2'),
    ],
    flags: 'oszapc',
    execute(m, first, second) {
      m.sseCheck()
      const b = m.lane(m.readVector(second!), width, 0)
      const order = m.float(op, width, m.lane(m.readVector(first!), width, 0), b)
      m.floatCheck()
      m.setFlags({
        of: m.const(0), sf: m.const(0), af: m.const(0), pf: m.isZero(order),
        cf: m.lessUnsigned(order, m.const(2)),
        // Unordered or equal: 0 or 2.
        zf: m.isZero(m.and(order, m.const(1))),
      })
    },
  })
}

/** Ones where the predicate of the immediate holds. */
function comparePredicate(name: string, prefix: string, width: FloatWidth, packed: boolean) {
  const source = packed ? 'Wx' : width === 32 ? 'Wd' : 'Wq'
  return define(name, {
    encodings: [
      row(`${prefix} 0f c2 /r`, 'Vx', source, 'Ib').cpuid(width === 32 ? 'sse' : 'sse2'),
    ],
    execute(m, target, from, immediate) {
      m.sseCheck()
      const predicate = m.and(m.immediate(immediate!), m.const(7))
      const b = packed ? m.readVectorAligned(from!) : m.readVector(from!)
      const a = m.readVector(target!)
      // Zeros in the lanes that a scalar comparison leaves alone raise nothing.
      const low = (v: typeof a) => m.vectorOf(m.lane(v, width, 0))
      const mask = packed ? m.floatCompare(width, predicate, a, b)
        : m.floatCompare(width, predicate, low(a), low(b))
      m.floatCheck()
      m.writeVector(target!, packed ? mask : m.withLane(a, width, 0, m.lane(mask, width, 0)))
    },
  })
}

/** CVTSI2SS and CVTSI2SD. */
function fromInteger(name: string, prefix: string, width: FloatWidth): Definition {
  return define(name, {
    encodings: [row(`${prefix} 0f 2a /r`, 'Vx', 'Ey').cpuid(width === 32 ? 'sse' : 'sse2')],
    execute(m, target, source) {
      m.sseCheck()
      const op = m.widthOf(source!) === 64 ? 'fromInt64' : 'fromInt32'
      const value = m.float(op, width, m.read(source!))
      m.floatCheck()
      m.writeVector(target!, m.withLane(m.readVector(target!), width, 0, value))
    },
  })
}

/** CVTSS2SI, CVTTSD2SI and the others. */
function toInteger(name: string, pattern: string, width: FloatWidth, truncated: boolean) {
  return define(name, {
    encodings: [
      row(`${pattern} /r`, 'Gy', width === 32 ? 'Wd' : 'Wq').cpuid(width === 32 ? 'sse' : 'sse2'),
    ],
    execute(m, target, source) {
      m.sseCheck()
      const wide = m.widthOf(target!) === 64
      const op = truncated
        ? wide ? 'toInt64Truncated' : 'toInt32Truncated'
        : wide ? 'toInt64' : 'toInt32'
      const value = m.float(op, width, m.lane(m.readVector(source!), width, 0))
      m.floatCheck()
      m.write(target!, value)
    },
  })
}

/** CVTSS2SD and CVTSD2SS; `width` is the source's. */
function scalarToScalar(name: string, pattern: string, width: FloatWidth): Definition {
  return define(name, {
    encodings: [row(`${pattern} /r`, 'Vx', width === 32 ? 'Wd' : 'Wq').cpuid('sse2')],
    execute(m, target, source) {
      m.sseCheck()
      const value = m.float('convert', width, m.lane(m.readVector(source!), width, 0))
      m.floatCheck()
      const other = width === 32 ? 64 : 32
      m.writeVector(target!, m.withLane(m.readVector(target!), other, 0, value))
    },
  })
}

interface PackedConversion {
  readonly source: string
  readonly op: 'convert' | 'fromInt32' | 'toInt32' | 'toInt32Truncated'
  readonly feature: 'sse' | 'sse2'
  /** Width that `op` is asked for: that of its floating-point side, or of its argument. */
  readonly width: FloatWidth
}

function readAny<V>(m: Backend<V>, operand: Operand): V {
  return m.widthOf(operand) === 128 ? m.readVectorAligned(operand) : m.readVector(operand)
}

/** A packed conversion between xmm registers; lanes above the last are cleared. */
function packedConversion(name: string, pattern: string, c: PackedConversion): Definition {
  return define(name, {
    encodings: [row(`${pattern} /r`, 'Vx', c.source).cpuid(c.feature)],
    execute(m, target, source) {
      m.sseCheck()
      const a = readAny(m, source!)
      const result = m.floatVector(c.op, c.width, a)
      m.floatCheck()
      m.writeVector(target!, result)
    },
  })
}

/** Conversions between xmm and mm. CVTPI2PS keeps the upper half of its destination. */
function withMmx(
  name: string, pattern: string, target: string, source: string, c: PackedConversion,
): Definition {
  return define(name, {
    encodings: [row(`${pattern} /r`, target, source).cpuid(c.feature)],
    execute(m, to, from) {
      m.sseCheck()
      // From memory, CVTPI2PS and CVTPI2PD leave the x87 unit alone.
      if (to!.kind === 'mm' || from!.kind === 'mm') m.enterMmx()
      const a = readAny(m, from!)
      const lanes = m.widthOf(from!) === 64 ? m.vectorOf(m.lane(a, 64, 0)) : a
      const result = m.floatVector(c.op, c.width, lanes)
      m.floatCheck()
      const keeps = to!.kind === 'xmm' && c.width === 32
      m.writeVector(to!,
        keeps ? m.withLane(m.readVector(to!), 64, 0, m.lane(result, 64, 0)) : result)
    },
  })
}

const SINGLE_TO_INTEGER: PackedConversion = {
  source: 'Wx', op: 'toInt32', feature: 'sse2', width: 32,
}
const DOUBLE_TO_INTEGER: PackedConversion = {
  source: 'Wx', op: 'toInt32', feature: 'sse2', width: 64,
}
const INTEGER_TO_SINGLE: PackedConversion = {
  source: 'Wx', op: 'fromInt32', feature: 'sse2', width: 32,
}
const INTEGER_TO_DOUBLE: PackedConversion = {
  source: 'Wq', op: 'fromInt32', feature: 'sse2', width: 64,
}
const truncated = (c: PackedConversion): PackedConversion => ({ ...c, op: 'toInt32Truncated' })
const twoSingles = (c: PackedConversion): PackedConversion => ({ ...c, feature: 'sse' })

const ldmxcsr = define('ldmxcsr', {
  encodings: [row('np 0f ae /2 m', 'Md').cpuid('sse')],
  execute(m, source) {
    m.sseCheck()
    const value = m.read(source!)
    m.faultIf(m.lessUnsigned(m.const(MXCSR_MASK), value), Vector.GP, 0)
    m.setMxcsr(value)
  },
})
const stmxcsr = define('stmxcsr', {
  encodings: [row('np 0f ae /3 m', 'Md').cpuid('sse')],
  execute(m, target) {
    m.sseCheck()
    m.write(target!, m.mxcsr())
  },
})

export const sseConvert: readonly Definition[] = [
  compareFlags('ucomiss', 'np 0f 2e', 32, 'compare'),
  compareFlags('ucomisd', '66 0f 2e', 64, 'compare'),
  compareFlags('comiss', 'np 0f 2f', 32, 'compareSignaling'),
  compareFlags('comisd', '66 0f 2f', 64, 'compareSignaling'),
  comparePredicate('cmpps', 'np', 32, true), comparePredicate('cmppd', '66', 64, true),
  comparePredicate('cmpss', 'f3', 32, false), comparePredicate('cmpsd', 'f2', 64, false),
  fromInteger('cvtsi2ss', 'f3', 32), fromInteger('cvtsi2sd', 'f2', 64),
  toInteger('cvtss2si', 'f3 0f 2d', 32, false), toInteger('cvttss2si', 'f3 0f 2c', 32, true),
  toInteger('cvtsd2si', 'f2 0f 2d', 64, false), toInteger('cvttsd2si', 'f2 0f 2c', 64, true),
  scalarToScalar('cvtss2sd', 'f3 0f 5a', 32), scalarToScalar('cvtsd2ss', 'f2 0f 5a', 64),
  packedConversion('cvtps2pd', 'np 0f 5a',
    { source: 'Wq', op: 'convert', feature: 'sse2', width: 32 }),
  packedConversion('cvtpd2ps', '66 0f 5a',
    { source: 'Wx', op: 'convert', feature: 'sse2', width: 64 }),
  packedConversion('cvtps2dq', '66 0f 5b', SINGLE_TO_INTEGER),
  packedConversion('cvttps2dq', 'f3 0f 5b', truncated(SINGLE_TO_INTEGER)),
  packedConversion('cvtdq2ps', 'np 0f 5b', INTEGER_TO_SINGLE),
  packedConversion('cvtpd2dq', 'f2 0f e6', DOUBLE_TO_INTEGER),
  packedConversion('cvttpd2dq', '66 0f e6', truncated(DOUBLE_TO_INTEGER)),
  packedConversion('cvtdq2pd', 'f3 0f e6', INTEGER_TO_DOUBLE),
  withMmx('cvtpi2ps', 'np 0f 2a', 'Vx', 'Qq', twoSingles(INTEGER_TO_SINGLE)),
  withMmx('cvtpi2pd', '66 0f 2a', 'Vx', 'Qq', INTEGER_TO_DOUBLE),
  withMmx('cvtps2pi', 'np 0f 2d', 'Pq', 'Wq', twoSingles(SINGLE_TO_INTEGER)),
  withMmx('cvttps2pi', 'np 0f 2c', 'Pq', 'Wq', truncated(twoSingles(SINGLE_TO_INTEGER))),
  withMmx('cvtpd2pi', '66 0f 2d', 'Pq', 'Wx', DOUBLE_TO_INTEGER),
  withMmx('cvttpd2pi', '66 0f 2c', 'Pq', 'Wx', truncated(DOUBLE_TO_INTEGER)),
  ldmxcsr, stmxcsr,
]
