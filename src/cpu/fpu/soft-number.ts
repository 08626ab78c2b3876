/**
 * Numbers of half, single and double precision as integers in WebAssembly: taken apart into
 * exponent and significand, and rounded back as MXCSR asks, with what that raises while all
 * exceptions are masked (IEEE 754, 3.4 and 7; AMD APM 1, 4.2.2 and 4.8).
 *
 * A significand has its leading bit at 62, and there stands for 1; its lowest bit is also set for
 * whatever is left below it. That is enough to round sums, products, quotients and roots rightly.
 */
import { double, half, single, type Encoding } from '../../isa/float/encoding.ts'
import {
  DENORMAL, DOWN, INEXACT, INVALID, OVERFLOW, UNDERFLOW,
} from '../../isa/float/round.ts'
import { i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { loadMxcsr } from './float-state.ts'

const CORE = 0
const Z = i32.const(0)
/** Where a significand's leading bit stands. */
const LEADING_AT = 62
const DENORMALS_ARE_ZEROS = 1 << 6
export const FLUSH_TO_ZERO = 1 << 15
const UP = 2

export function encodingOf(width: 32 | 64): Encoding {
  return width === 64 ? double : single
}

/** MXCSR's rounding control. */
export function modeOf(control: Expression): Expression {
  return i32.and(i32.shrU(control, i32.const(13)), i32.const(3))
}

export function raise(f: FunctionBuilder, flags: Expression): void {
  f.store('i32', CORE, Z, i32.or(loadMxcsr(), flags), CpuContext.offsets.mxcsr)
}

export function signBit(e: Encoding): Expression {
  return i64.const(BigInt.asIntN(64, e.sign))
}

export function signOf(bits: Expression, e: Encoding): Expression {
  return i64.and(bits, signBit(e))
}

function magnitudeOf(bits: Expression, e: Encoding): Expression {
  return i64.and(bits, i64.const(e.sign - 1n))
}

export function isNaN(bits: Expression, e: Encoding): Expression {
  return i64.gtU(magnitudeOf(bits, e), i64.const(e.infinity))
}

/** For what is known to be a NaN. */
export function isSignaling(bits: Expression, e: Encoding): Expression {
  return i64.eqz(i64.and(bits, i64.const(e.quiet)))
}

export function isInfinite(bits: Expression, e: Encoding): Expression {
  return i64.eq(magnitudeOf(bits, e), i64.const(e.infinity))
}

export function isNothing(bits: Expression, e: Encoding): Expression {
  return i64.eqz(magnitudeOf(bits, e))
}

function isSubnormal(bits: Expression, e: Encoding): Expression {
  return i64.ltU(i64.sub(magnitudeOf(bits, e), i64.const(1n)), i64.const(e.fraction))
}

/** Makes denormal operands zeros if MXCSR says so. */
export function flushOperands(f: FunctionBuilder, e: Encoding, operands: readonly Local[]): void {
  f.if(i32.and(loadMxcsr(), i32.const(DENORMALS_ARE_ZEROS)), () => {
    for (const operand of operands) {
      f.if(isSubnormal(operand, e),
        () => f.set(operand, signOf(operand, e)))
    }
  })
}

/** Raises DE if one of the operands is denormal. */
export function noteSubnormal(f: FunctionBuilder, e: Encoding, operands: readonly Local[]): void {
  f.if(operands.map((operand) => isSubnormal(operand, e)).reduce((a, b) => i32.or(a, b)),
    () => raise(f, i32.const(DENORMAL)))
}

const oneOf = (...conditions: Expression[]): Expression =>
  conditions.reduce((a, b) => i32.or(a, b))

export function returnInvalid(f: FunctionBuilder, e: Encoding): void {
  raise(f, i32.const(INVALID))
  f.return(i64.const(BigInt.asIntN(64, e.indefinite)))
}

/** Returns the first NaN among the operands, made quiet. */
export function returnNaN(f: FunctionBuilder, e: Encoding, operands: readonly Local[]): void {
  f.if(oneOf(...operands.map((bits) => isNaN(bits, e))), () => {
    f.if(oneOf(...operands.map((bits) => i32.and(isNaN(bits, e), isSignaling(bits, e)))),
      () => raise(f, i32.const(INVALID)))
    const first = operands.reduceRight<Expression>((rest, bits) =>
      rest === bits ? bits : select(bits, rest, isNaN(bits, e)), operands.at(-1)!)
    f.return(i64.or(first, i64.const(e.quiet)))
  })
}

/** The sign of a sum that is zero, of operands of different signs. */
export function signOfNothing(e: Encoding): Expression {
  return select(signBit(e), i64.const(0n),
    i32.eq(modeOf(loadMxcsr()), i32.const(DOWN)))
}

export interface Parts {
  readonly exponent: Local
  readonly significand: Local
}

/** Has two locals change their values. */
export function exchange(f: FunctionBuilder, one: Local, other: Local): void {
  const kept = f.local(one.type)
  f.set(kept, one)
  f.set(one, other)
  f.set(other, kept)
}

export function partsOf(f: FunctionBuilder): Parts {
  return { exponent: f.local('i32'), significand: f.local('i64') }
}

/** Takes a finite number apart. A zero has no significand, and a smaller exponent than others. */
export function unpack(f: FunctionBuilder, e: Encoding, bits: Local, parts: Parts): void {
  const { exponent, significand } = parts
  f.set(significand, i64.and(bits, i64.const(e.fraction)))
  f.set(exponent, i32.and(i32.wrap(i64.shrU(bits, i64.const(e.fractionBits))),
    i32.const(e.exponentMask)))
  f.if(exponent, () => f.set(significand, i64.or(significand, i64.const(e.fraction + 1n))),
    () => f.set(exponent, i32.const(1)))
  f.set(exponent, i32.add(exponent, i32.const(LEADING_AT - e.bias - Number(e.fractionBits))))
  normalize(f, parts)
}

/** Moves the leading bit of any significand to its place. */
export function normalize(f: FunctionBuilder, { exponent, significand }: Parts): void {
  f.if(i64.ltS(significand, i64.const(0n)), () => {
    f.set(significand, i64.or(i64.shrU(significand, i64.const(1n)),
      i64.and(significand, i64.const(1n))))
    f.set(exponent, i32.add(exponent, i32.const(1)))
  }, () => {
    f.set(exponent, i32.sub(exponent, i32.wrap(i64.sub(i64.clz(significand), i64.const(1n)))))
    f.set(significand, i64.shl(significand, i64.sub(i64.clz(significand), i64.const(1n))))
  })
}

/** Moves a significand `count` places to the right. */
export function shiftRight(f: FunctionBuilder, significand: Local, count: Expression): void {
  const places = i64.extendU(count)
  f.if(i32.gtU(count, i32.const(LEADING_AT)),
    () => f.set(significand, i64.extendU(i64.ne(significand, i64.const(0n)))),
    () => {
      const below = i64.sub(i64.shl(i64.const(1n), places), i64.const(1n))
      f.set(significand, i64.or(i64.shrU(significand, places),
        i64.extendU(i64.ne(i64.and(significand, below), i64.const(0n)))))
    })
}

/**
 * Builds (sign i64, exponent i32, significand i64, control i32) -> i64: rounds and encodes a number
 * that is not zero, and raises what comes of it. The sign is in its place, the significand need not
 * be normalized; `control` is MXCSR, or what stands for it.
 */
function buildEncode(module: ModuleBuilder, e: Encoding): FunctionReference {
  const f = module.function({ parameters: ['i64', 'i32', 'i64', 'i32'], result: 'i64' })
  const [sign, exponent, significand, control] = f.parameters as [Local, Local, Local, Local]
  const { precision, minimum, maximum } = e.format
  const dropped = BigInt(LEADING_AT + 1 - precision)
  const half = 1n << dropped - 1n
  const [increment, lost, bits] = [f.local('i64'), f.local('i64'), f.local('i64')]
  const [mode, flags, isTiny] = [f.local('i32'), f.local('i32'), f.local('i32')]
  normalize(f, { exponent, significand })
  f.set(mode, modeOf(control))
  f.set(increment, i64.const(half))
  f.if(mode, () => {
    const away = select(i32.const(UP), i32.const(DOWN), i64.eqz(sign))
    f.set(increment, select(i64.const(2n * half - 1n), i64.const(0n), i32.eq(mode, away)))
  })
  f.if(i32.ltS(exponent, i32.const(minimum)), () => {
    // Not tiny if it is rounded up to the smallest normal number where the range has no end.
    const carries = i64.ltS(i64.add(significand, increment), i64.const(0n))
    f.set(isTiny, i32.eqz(i32.and(i32.eq(exponent, i32.const(minimum - 1)), carries)))
    f.if(i32.and(isTiny, i32.ne(i32.and(control, i32.const(FLUSH_TO_ZERO)), Z)), () => {
      raise(f, i32.const(UNDERFLOW | INEXACT))
      f.return(sign)
    })
    shiftRight(f, significand, i32.sub(i32.const(minimum), exponent))
    f.set(exponent, i32.const(minimum))
  })
  f.set(lost, i64.and(significand, i64.const(2n * half - 1n)))
  f.set(bits, i64.shrU(i64.add(significand, increment), i64.const(dropped)))
  // A tie goes to what is even.
  f.if(i32.and(i32.eqz(mode), i64.eq(lost, i64.const(half))),
    () => f.set(bits, i64.and(bits, i64.const(-2n))))
  // The leading bit, or a carry into it, counts the exponent up.
  f.set(bits, i64.add(bits, i64.shl(i64.extendS(i32.sub(exponent, i32.const(minimum))),
    i64.const(e.fractionBits))))
  f.if(i32.eqz(i64.eqz(lost)), () => f.set(flags,
    select(i32.const(INEXACT | UNDERFLOW), i32.const(INEXACT), isTiny)))
  f.if(i32.or(i32.gtS(exponent, i32.const(maximum)), i64.geU(bits, i64.const(e.infinity))), () => {
    f.set(flags, i32.const(OVERFLOW | INEXACT))
    f.set(bits, i64.sub(i64.const(e.infinity), i64.extendU(i64.eqz(increment))))
  })
  f.if(flags, () => raise(f, flags))
  f.return(i64.or(sign, bits))
  return f
}

export type Encoders = Readonly<Record<16 | 32 | 64, FunctionReference>>

export function buildEncoders(module: ModuleBuilder): Encoders {
  return {
    16: buildEncode(module, half), 32: buildEncode(module, single),
    64: buildEncode(module, double),
  }
}
