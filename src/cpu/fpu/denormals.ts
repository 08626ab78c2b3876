/**
 * Denormal operands, which MXCSR's DE tells of, and doubles that are not moderate
 * (float-bounds.ts), as compiled code deals with them.
 *
 * A region remembers bounds of vector registers, and then does not ask. What is not ordinary goes
 * to parts of the engine, and these may well yield denormals, or be given some: they note it in
 * core memory, and from then on until the region is left no operation is done in line. So what is
 * remembered reads: within these bounds, unless something was noted.
 */
import type { FloatOp, FloatVectorOp } from '../../isa/backend.ts'
import {
  call, f64, i32, i64, select, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { writeExactDouble, writeExactDoubles } from './exact-doubles.ts'
import { floatVectorNumber } from './float-lanes.ts'
import { FLOAT_DOUBLE, FLOAT_OP_MASK, floatNumber, floatOps } from './float-number.ts'
import { unsettled } from './float-state.ts'
import { isFar } from './inline-float.ts'

const CORE = 0
const Z = i32.const(0)

/** Operations whose results are floats of the width of their operands; the first ones by number. */
const arithmetic = new Set<string>(floatOps.slice(0, floatOps.indexOf('max') + 1))

/** Whether what an operation leaves to the engine is to go to a part that notes denormals. */
export function notesDenormals(op: FloatOp | FloatVectorOp): boolean {
  return arithmetic.has(op) || op === 'addsub' || op.startsWith('compare')
}

/** -> i32: not zero once a denormal was noted. */
function denormalsNoted(): Expression {
  return i32.load(CORE, Z, coreMap.denormals)
}

/** -> i32: not zero where nothing is done in line: the bits of `unsettled`, and NOTED. */
export function unsettledOrNoted(): Expression {
  return i32.or(unsettled(), denormalsNoted())
}

export function forgetDenormals(f: FunctionBuilder): void {
  f.store('i32', CORE, Z, Z, coreMap.denormals)
}

function noteIf(f: FunctionBuilder, condition: Expression): void {
  f.if(condition, () => noteDenormal(f))
}

/** Operations that leave bounds of their own for doubles; the first ones by number. */
const bounded = new Set<string>(floatOps.slice(0, floatOps.indexOf('sqrt') + 1))

/** Notes it from here on. */
export function noteDenormal(f: FunctionBuilder): void {
  f.store('i32', CORE, Z, i32.const(1), coreMap.denormals)
}

/** -> i32, for the bits of a double or single; the smallest normal number counts as denormal. */
export function isDenormal(bits: Expression, width: 32 | 64): Expression {
  const twice = i64.shl(bits, i64.const(1))
  return width === 64 ? i64.eqz(i64.shrU(i64.sub(twice, i64.const(1)), i64.const(53)))
    : i32.eqz(i32.shrU(i32.sub(i32.wrap(twice), i32.const(1)), i32.const(24)))
}

/** -> i32, for the bits of a double: neither normal nor zero. */
function isOdd(bits: Expression): Expression {
  const twice = i64.shl(bits, i64.const(1))
  const exponent = i64.sub(i64.shrU(twice, i64.const(53)), i64.const(1))
  return i32.and(i64.geU(exponent, i64.const(0x7fe)), i32.eqz(i64.eqz(twice)))
}

/** -> i32: whether tests in line are passed over because something was noted, but not by MXCSR. */
function isOnlyNoted(): Expression {
  return i32.and(denormalsNoted(), i32.eqz(unsettled()))
}

/** Normal, and not the smallest normal number either, which may have been rounded to. */
function isPlainlyNormal(result: Expression): Expression {
  const magnitude = f64.abs(result)
  return i32.and(f64.gt(magnitude, f64.const(2 ** -1022)), f64.lt(magnitude, f64.const(Infinity)))
}

const quick = ['add', 'sub', 'mul', 'div'] as const

/** Returns the result if all are normal doubles: then nothing is to be noted anew. */
function writeQuickly(f: FunctionBuilder, number: Local, a: Local, b: Local): void {
  const [x, y, result] = [f.local('f64'), f.local('f64'), f.local('f64')]
  f.block((usual) => {
    f.brIf(usual, i32.eqz(isOnlyNoted()))
    f.brIf(usual, i32.or(isOdd(a), isOdd(b)))
    f.set(x, f64.reinterpret(a))
    f.set(y, f64.reinterpret(b))
    for (const op of quick) {
      f.if(i32.eq(number, i32.const(floatNumber(op, 64))), () => {
        f.set(result, f64[op](x, y))
        f.brIf(usual, i32.eqz(isPlainlyNormal(result)))
        f.return(i64.reinterpret(result))
      })
    }
  })
}

/** Builds (number i32, a i64, b i64) -> i64 around the part `float`. */
function buildFloatNoting(
  module: ModuleBuilder, float: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'i64', 'i64'], result: 'i64' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const isDouble = f.local('i32')
  const result = f.local('i64')
  f.block((usual) => writeExactDouble({ f, number, a, b, result, usual }))
  writeQuickly(f, number, a, b)
  f.set(isDouble, i32.ne(i32.and(number, i32.const(FLOAT_DOUBLE)), Z))
  f.set(result, call(float, number, a, b))
  const isOne = (bits: Expression): Expression =>
    select(isDenormal(bits, 64), isDenormal(bits, 32), isDouble)
  noteIf(f, i32.or(isOne(a), isOne(b)))
  const isAmong = (ops: ReadonlySet<string>): Expression =>
    i32.ltU(i32.and(number, i32.const(FLOAT_OP_MASK)), i32.const(ops.size))
  noteIf(f, i32.and(isAmong(arithmetic), isOne(result)))
  noteIf(f, i32.and(i32.and(isDouble, isAmong(bounded)),
    i32.or(i32.or(isFar(a), isFar(b)), isFar(result))))
  f.return(result)
  return f
}

const ANY_TRUE = 83
const pairs = { add: 240, sub: 241, mul: 242, div: 243 } as const
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

/** -> i32: whether a lane is denormal, as isDenormal says. */
export function hasDenormal(vector: Expression, width: 32 | 64): Expression {
  return simd('i32', ANY_TRUE, [denormalLanes(vector, width)])
}

/** -> i32: whether a lane is neither moderate nor zero. */
function hasFar(vector: Expression): Expression {
  const [low, high] = [0, 1].map((lane) => isFar(simd('i64', 29, [vector], [lane])))
  return i32.or(low!, high!)
}

/** The same for two doubles at once. */
function writeQuickPairs(f: FunctionBuilder, number: Local, a: Local, b: Local): void {
  const result = f.local('v128')
  const lanesOf = (vector: Expression): Expression[] =>
    [0, 1].map((lane) => simd('f64', 33, [vector], [lane]))
  const bitsOf = (vector: Expression): Expression[] => lanesOf(vector).map(i64.reinterpret)
  f.block((usual) => {
    f.brIf(usual, i32.eqz(isOnlyNoted()))
    f.brIf(usual, [...bitsOf(a), ...bitsOf(b)].map(isOdd).reduce((one, two) => i32.or(one, two)))
    for (const op of quick) {
      f.if(i32.eq(number, i32.const(floatVectorNumber(op, 64))), () => {
        f.set(result, simd('v128', pairs[op], [a, b]))
        for (const lane of lanesOf(result)) f.brIf(usual, i32.eqz(isPlainlyNormal(lane)))
        f.return(result)
      })
    }
  })
}

/** Builds (number i32, a v128, b v128) -> v128 around the part `floatVector`. */
function buildFloatVectorNoting(
  module: ModuleBuilder, floatVector: FunctionReference,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'v128', 'v128'], result: 'v128' })
  const [number, a, b] = f.parameters as [Local, Local, Local]
  const result = f.local('v128')
  f.block((usual) => writeExactDoubles({ f, number, a, b, result, usual }))
  writeQuickPairs(f, number, a, b)
  f.set(result, call(floatVector, number, a, b))
  const check = (width: 32 | 64): void => {
    for (const vector of [a, b, result]) {
      noteIf(f, hasDenormal(vector, width))
    }
  }
  f.if(i32.and(number, i32.const(1)), () => {
    check(64)
    const isExtremum = (['min', 'max'] as const).map((op) =>
      i32.eq(number, i32.const(floatVectorNumber(op, 64))))
    f.if(i32.eqz(i32.or(isExtremum[0]!, isExtremum[1]!)), () => {
      for (const vector of [a, b, result]) noteIf(f, hasFar(vector))
    })
  }, () => check(32))
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
