/**
 * Lane-wise vector operations on bigints, by their WebAssembly SIMD names: slow and obvious.
 */
import { assert } from '../../base/assert.ts'
import type { VectorOp } from '../vector-op.ts'

const MASK128 = (1n << 128n) - 1n

function maskOf(width: number): bigint {
  return (1n << BigInt(width)) - 1n
}

function signed(value: bigint, width: number): bigint {
  return BigInt.asIntN(width, value)
}

function lanesOf(vector: bigint, width: number): bigint[] {
  const mask = maskOf(width)
  return Array.from({ length: 128 / width }, (_, i) => vector >> BigInt(i * width) & mask)
}

function joined(lanes: readonly bigint[], width: number): bigint {
  const mask = maskOf(width)
  return lanes.reduce((sum, lane, i) => sum | (lane & mask) << BigInt(i * width), 0n)
}

function clamp(value: bigint, low: bigint, high: bigint): bigint {
  return value < low ? low : value > high ? high : value
}

function saturate(value: bigint, width: number, isSigned: boolean): bigint {
  return isSigned ? clamp(value, -(maskOf(width - 1) + 1n), maskOf(width - 1))
    : clamp(value, 0n, maskOf(width))
}

type Binary = (a: bigint, b: bigint, width: number) => bigint

/** By the name after the dot; lanes come unsigned. */
const binary: Readonly<Record<string, Binary>> = {
  eq: (a, b, width) => a === b ? maskOf(width) : 0n,
  gt_s: (a, b, width) => signed(a, width) > signed(b, width) ? maskOf(width) : 0n,
  gt_u: (a, b, width) => a > b ? maskOf(width) : 0n,
  add: (a, b) => a + b,
  sub: (a, b) => a - b,
  mul: (a, b) => a * b,
  add_sat_s: (a, b, width) => saturate(signed(a, width) + signed(b, width), width, true),
  sub_sat_s: (a, b, width) => saturate(signed(a, width) - signed(b, width), width, true),
  add_sat_u: (a, b, width) => saturate(a + b, width, false),
  sub_sat_u: (a, b, width) => saturate(a - b, width, false),
  min_s: (a, b, width) => signed(a, width) < signed(b, width) ? a : b,
  max_s: (a, b, width) => signed(a, width) > signed(b, width) ? a : b,
  min_u: (a, b) => a < b ? a : b,
  max_u: (a, b) => a > b ? a : b,
  avgr_u: (a, b) => a + b + 1n >> 1n,
  q15mulr_sat_s: (a, b, width) =>
    saturate(signed(a, width) * signed(b, width) + 0x4000n >> 15n, width, true),
}

const shifts: Readonly<Record<string, Binary>> = {
  shl: (a, count) => a << count,
  shr_s: (a, count, width) => signed(a, width) >> count,
  shr_u: (a, count) => a >> count,
}

function bitwise(name: string, a: bigint, b: bigint): bigint {
  switch (name) {
    case 'not': return ~a & MASK128
    case 'and': return a & b
    case 'andnot': return a & ~b & MASK128
    case 'or': return a | b
    default: return a ^ b
  }
}

/** `i16x8.narrow_i32x4_s`: both operands' lanes, halved with saturation. */
function narrow(width: number, name: string, a: bigint, b: bigint): bigint {
  const wide = [...lanesOf(a, width * 2), ...lanesOf(b, width * 2)]
  const isSigned = name.endsWith('_s')
  return joined(wide.map((lane) => saturate(signed(lane, width * 2), width, isSigned)), width)
}

/** Half the narrow lanes of a vector, widened. */
function extended(width: number, name: string, vector: bigint): bigint[] {
  const half = lanesOf(vector, width / 2)
  const chosen = name.includes('_low_') ? half.slice(0, half.length / 2)
    : half.slice(half.length / 2)
  return name.endsWith('_s') ? chosen.map((lane) => signed(lane, width / 2)) : chosen
}

function dot(a: bigint, b: bigint): bigint {
  const products = lanesOf(a, 16).map((lane, i) =>
    signed(lane, 16) * signed(lanesOf(b, 16)[i]!, 16))
  return joined([0, 2, 4, 6].map((i) => products[i]! + products[i + 1]!), 32)
}

function bitmask(lanes: readonly bigint[], width: number): bigint {
  return lanes.reduce((sum, lane, i) => sum | lane >> BigInt(width - 1) << BigInt(i), 0n)
}

/** The operation's result: a vector, or a scalar for bitmasks. */
export function vectorOperation(op: VectorOp, a: bigint, b: bigint): bigint {
  const [shape, name] = op.split('.') as [string, string]
  if (shape === 'v128') return bitwise(name, a, b)
  const width = Number(/^i(\d+)x/.exec(shape)![1])
  const left = lanesOf(a, width)
  if (name in binary) {
    const right = lanesOf(b, width)
    return joined(left.map((lane, i) => binary[name]!(lane, right[i]!, width)), width)
  }
  if (name in shifts) {
    const count = b % BigInt(width)
    return joined(left.map((lane) => shifts[name]!(lane, count, width)), width)
  }
  if (name.startsWith('narrow_')) return narrow(width, name, a, b)
  if (name.startsWith('extend_')) return joined(extended(width, name, a), width)
  if (name.startsWith('extmul_')) {
    const right = extended(width, name, b)
    return joined(extended(width, name, a).map((lane, i) => lane * right[i]!), width)
  }
  switch (name) {
    case 'abs': return joined(left.map((lane) => {
      const value = signed(lane, width)
      return value < 0n ? -value : value
    }), width)
    case 'bitmask': return bitmask(left, width)
    case 'dot_i16x8_s': return dot(a, b)
    default: {
      assert(name === 'swizzle', `vector operation ${op} is known`)
      return joined(lanesOf(b, 8).map((lane) => lane < 16n ? left[Number(lane)]! : 0n), 8)
    }
  }
}
