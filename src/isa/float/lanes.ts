/**
 * Packed arithmetic under MXCSR: which lanes go where, and comparisons by predicate.
 */
import type { FloatOp, FloatVectorOp } from '../backend.ts'

type Width = 32 | 64
type LaneFloat = (op: FloatOp, width: Width, a: bigint, b: bigint) => bigint

/** Widths of the lanes that an operation reads and writes, and how many there are. */
export interface LaneShape {
  readonly from: Width
  readonly to: Width
  readonly count: number
}

export function laneShapeOf(op: FloatVectorOp, width: Width): LaneShape {
  switch (op) {
    case 'convert': return { from: width, to: width === 32 ? 64 : 32, count: 2 }
    case 'fromInt32': return { from: 32, to: width, count: 128 / width }
    case 'toInt32': case 'toInt32Truncated': return { from: width, to: 32, count: 128 / width }
    default: return { from: width, to: width, count: 128 / width }
  }
}

/** What an operation does to one lane. */
export function laneOp(op: FloatVectorOp, lane: number): FloatOp {
  return op === 'addsub' ? lane % 2 ? 'add' : 'sub' : op
}

function laneOf(vector: bigint, width: Width, lane: number): bigint {
  return vector >> BigInt(lane * width) & (1n << BigInt(width)) - 1n
}

/** All lanes by `float`. */
export function floatLanes(
  op: FloatVectorOp, width: Width, a: bigint, b: bigint, float: LaneFloat,
): bigint {
  const { from, to, count } = laneShapeOf(op, width)
  let result = 0n
  for (let lane = 0; lane < count; lane++) {
    const second = op === 'round' ? b : laneOf(b, from, lane)
    const value = float(laneOp(op, lane), width, laneOf(a, from, lane), second)
    result |= value << BigInt(lane * to)
  }
  return result
}

/**
 * For each of the predicates 0 to 15 of VCMPPS and its like, as a nibble, the orders (FloatOp) for
 * which it holds (AMD APM 4, at VCMPPD). The sixteen that follow differ in whether they signal.
 */
export const PREDICATE_ORDERS = 0xf8ca0735e9db1624n

/** The predicates that signal quiet NaNs, a bit each. */
export const SIGNALING_PREDICATES = 0x99996666

/** Ones in the lanes for which the predicate holds. */
export function compareLanes(
  width: Width, predicate: number, a: bigint, b: bigint, float: LaneFloat,
): bigint {
  const orders = PREDICATE_ORDERS >> BigInt((predicate & 15) * 4)
  const op = SIGNALING_PREDICATES >> (predicate & 31) & 1 ? 'compareSignaling' : 'compare'
  let result = 0n
  for (let lane = 0; lane < 128 / width; lane++) {
    const order = float(op, width, laneOf(a, width, lane), laneOf(b, width, lane))
    if (orders >> order & 1n) result |= (1n << BigInt(width)) - 1n << BigInt(lane * width)
  }
  return result
}
