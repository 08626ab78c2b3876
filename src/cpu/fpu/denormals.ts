/**
 * Denormal operands, which MXCSR's DE tells of, as compiled code deals with them.
 *
 * A region remembers of vector registers that they hold no denormals, and then does not ask. What
 * is not ordinary goes to parts of the engine, and these may well yield denormals, or be given
 * some: they note it in core memory, and from then on until the region is left no operation is done
 * in line. So what is remembered reads: not denormal, unless some were noted.
 */
import type { FloatOp, FloatVectorOp } from '../../isa/backend.ts'
import {
  call, i32, i64, select, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { writeExactDoubles } from './exact-doubles.ts'
import { FLOAT_DOUBLE, FLOAT_OP_MASK, floatOps } from './float-number.ts'

const CORE = 0
const Z = i32.const(0)

/** Operations whose results are floats of the width of their operands; the first ones by number. */
const arithmetic = new Set<string>(floatOps.slice(0, floatOps.indexOf('max') + 1))

/** Whether what an operation leaves to the engine is to go to a part that notes denormals. */
export function notesDenormals(op: FloatOp | FloatVectorOp): boolean {
  return arithmetic.has(op) || op === 'addsub' || op.startsWith('compare')
}

/** -> i32: not zero once a denormal was noted. */
export function denormalsNoted(): Expression {
  return i32.load(CORE, Z, coreMap.denormals)
}

export function forgetDenormals(f: FunctionBuilder): void {
  f.store('i32', CORE, Z, Z, coreMap.denormals)
}

function noteIf(f: FunctionBuilder, condition: Expression): void {
  f.if(condition, () => f.store('i32', CORE, Z, i32.const(1), coreMap.denormals))
}

/** -> i32, for the bits of a double or single; the smallest normal number counts as denormal. */
function isDenormal(bits: Expression, isDouble: Expression): Expression {
  const twice = i64.shl(bits, i64.const(1))
  const double = i64.eqz(i64.shrU(i64.sub(twice, i64.const(1)), i64.const(53)))
  const single = i32.eqz(i32.shrU(i32.sub(i32.wrap(twice), i32.const(1)), i32.const(24)))
  return select(double, single, isDouble)
}

/** Builds (number i32, a i64, b i64) -> i64 around the part `float`. */
function buildFloatNoting(
  module: ModuleBuilder, float: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'i64', 'i64'], result: 'i64' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const isDouble = f.local('i32')
  const result = f.local('i64')
  f.set(isDouble, i32.ne(i32.and(number, i32.const(FLOAT_DOUBLE)), Z))
  f.set(result, call(float, number, a, b))
  noteIf(f, i32.or(isDenormal(a, isDouble), isDenormal(b, isDouble)))
  const isArithmetic = i32.ltU(i32.and(number, i32.const(FLOAT_OP_MASK)),
    i32.const(arithmetic.size))
  noteIf(f, i32.and(isArithmetic, isDenormal(result, isDouble)))
  f.return(result)
  return f
}

/** Opcodes of the core specification (prefix 0xfd) for lanes of 32 and of 64 bits. */
const lanes = {
  32: { add: 174, shrU: 173, eq: 55, exponent: 24 },
  64: { add: 206, shrU: 205, eq: 214, exponent: 53 },
} as const

/** Ones in lanes that are denormal, as isDenormal says. */
function denormalLanes(vector: Expression, width: 32 | 64): Expression {
  const { add, shrU, eq, exponent } = lanes[width]
  const ones = v128.const((1n << 128n) - 1n)
  const less = simd('v128', add, [simd('v128', add, [vector, vector]), ones])
  return simd('v128', eq, [simd('v128', shrU, [less, i32.const(exponent)]), v128.const(0n)])
}

const ANY_TRUE = 83

/** Builds (number i32, a v128, b v128) -> v128 around the part `floatVector`. */
function buildFloatVectorNoting(
  module: ModuleBuilder, floatVector: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'v128', 'v128'], result: 'v128' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const result = f.local('v128')
  f.block((usual) => writeExactDoubles({ f, number, a, b, result, usual }))
  f.set(result, call(floatVector, number, a, b))
  const check = (width: 32 | 64): void => {
    for (const vector of [a, b, result]) {
      noteIf(f, simd('i32', ANY_TRUE, [denormalLanes(vector, width)]))
    }
  }
  f.if(i32.and(number, i32.const(1)), () => check(64), () => check(32))
  f.return(result)
  return f
}

/** Builds the parts that note denormals around those that do not. */
export function buildNoting(
  module: ModuleBuilder, float: FunctionReference, floatVector: FunctionReference,
) {
  return {
    floatNoting: buildFloatNoting(module, float),
    floatVectorNoting: buildFloatVectorNoting(module, floatVector),
  }
}
