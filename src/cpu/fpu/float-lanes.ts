/**
 * Packed arithmetic under MXCSR lane by lane, each by the part `float`: what the tests in line
 * reject.
 */
import type { FloatVectorOp } from '../../isa/backend.ts'
import { laneOp, laneShapeOf } from '../../isa/float/lanes.ts'
import {
  call, i32, i64, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { floatNumber } from './float-number.ts'

type Width = 32 | 64

const vectorOps: readonly FloatVectorOp[] = [
  'add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'addsub', 'round', 'convert', 'fromInt32',
  'toInt32', 'toInt32Truncated',
]

/** The number by which generated code asks for an operation on lanes. */
export function floatVectorNumber(op: FloatVectorOp, width: Width): number {
  return vectorOps.indexOf(op) * 2 + (width === 64 ? 1 : 0)
}

/** A lane as a 64-bit scalar. */
function laneOf(vector: Expression, width: Width, lane: number): Expression {
  return width === 64 ? simd('i64', 29, [vector], [lane])
    : i64.extendU(simd('i32', 27, [vector], [lane]))
}

function setLane(
  f: FunctionBuilder, result: Local, width: Width, lane: number, value: Expression,
): void {
  f.set(result, width === 64 ? simd('v128', 30, [result, value], [lane])
    : simd('v128', 28, [result, i32.wrap(value)], [lane]))
}

/**
 * Builds (number i32, a v128, b v128) -> v128, the operations numbered by floatVectorNumber. The
 * second operand of `round` is its immediate in the lowest lane.
 */
export function buildFloatLanes(
  module: ModuleBuilder, float: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'v128', 'v128'], result: 'v128' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const result = f.local('v128')
  const cases = vectorOps.flatMap((op) => ([32, 64] as const).map((width) => () => {
    const { from, to, count } = laneShapeOf(op, width)
    for (let lane = 0; lane < count; lane++) {
      setLane(f, result, to, lane, call(float, i32.const(floatNumber(laneOp(op, lane), width)),
        laneOf(a, from, lane), laneOf(b, from, op === 'round' ? 0 : lane)))
    }
    f.return(result)
  }))
  f.switch(number, cases, () => f.unreachable())
  return f
}

/** Set in the first argument of `floatCompareLanes` for signaling comparisons, and for doubles. */
export const COMPARE_SIGNALING = 16
export const COMPARE_DOUBLE = 32

/** Builds (how i32, a v128, b v128) -> v128: ones in the lanes whose order has a bit in `how`. */
export function buildFloatCompareLanes(
  module: ModuleBuilder, float: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'v128', 'v128'], result: 'v128' })
  const [how, a, b] = f.parameters as [Local, Local, Local]
  const result = f.local('v128')
  const order = f.local('i32')
  const number = f.local('i32')
  const compareAll = (width: Width): void => {
    const quiet = floatNumber('compare', width)
    f.set(number, i32.const(quiet))
    f.if(i32.and(how, i32.const(COMPARE_SIGNALING)),
      () => f.set(number, i32.const(floatNumber('compareSignaling', width))))
    for (let lane = 0; lane < 128 / width; lane++) {
      f.set(order, i32.wrap(call(float, number, laneOf(a, width, lane), laneOf(b, width, lane))))
      const holds = i64.extendU(i32.and(i32.shrU(how, order), i32.const(1)))
      setLane(f, result, width, lane, i64.sub(i64.const(0), holds))
    }
    f.return(result)
  }
  f.set(result, v128.const(0n))
  f.if(i32.and(how, i32.const(COMPARE_DOUBLE)), () => compareAll(64))
  compareAll(32)
  return f
}
