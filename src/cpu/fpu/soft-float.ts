/**
 * Floating point by integer operations in WebAssembly: what the fast path (fast-float.ts) has no
 * answer for while all exceptions are masked, whatever operands, rounding control, DAZ and FTZ are.
 *
 * It gives the results and flags of isa/float, which is the reference. Quotients and roots start
 * from those of WebAssembly, rounded to 53 bits; the remainder says whether the true one is above
 * or below.
 */
import type { FloatOp } from '../../isa/backend.ts'
import { half, type Encoding } from '../../isa/float/encoding.ts'
import { INEXACT, INVALID, ZERO_DIVIDE } from '../../isa/float/round.ts'
import {
  call, f32, f64, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { floatOps } from './float-number.ts'
import { loadMxcsr } from './float-state.ts'
import {
  encodingOf, exchange, flushOperands, FLUSH_TO_ZERO, isInfinite, isNaN, isNothing, isSignaling,
  modeOf, noteSubnormal, partsOf, raise, returnInvalid, returnNaN, shiftRight, signBit, signOf,
  signOfNothing, unpack, type Encoders, type Parts,
} from './soft-number.ts'

type Width = 32 | 64

const ROUNDING = 3 << 13
/** The bit of a double that the leading bit of a significand would be. */
const LEADING = 1n << 52n
const ONE = 1023n << 52n

/** One operation's function; the operands are its parameters, and may be changed. */
interface Site {
  readonly f: FunctionBuilder
  readonly e: Encoding
  readonly width: Width
  readonly a: Local
  readonly b: Local
  readonly encoders: Encoders
  readonly mulHigh: FunctionReference
}

function returnEncoded(
  { f, width, encoders }: Site, sign: Expression, { exponent, significand }: Parts,
): void {
  f.return(call(encoders[width], sign, exponent, significand, loadMxcsr()))
}

/** The value of what is no NaN. */
function valueOf({ width }: Site, bits: Expression): Expression {
  return width === 64 ? f64.reinterpret(bits) : f64.promote(f32.reinterpret(i32.wrap(bits)))
}

/** Makes `x` the number of larger magnitude. */
function orderParts(f: FunctionBuilder, x: Parts, y: Parts, swapOthers: () => void): void {
  const isLess = i32.or(i32.ltS(x.exponent, y.exponent),
    i32.and(i32.eq(x.exponent, y.exponent), i64.ltU(x.significand, y.significand)))
  f.if(isLess, () => {
    exchange(f, x.exponent, y.exponent)
    exchange(f, x.significand, y.significand)
    swapOthers()
  })
}

function addition(site: Site): void {
  const { f, e, a, b } = site
  const differ = (): Expression => i32.eqz(i64.eqz(signOf(i64.xor(a, b), e)))
  f.if(i32.and(i32.and(isInfinite(a, e), isInfinite(b, e)), differ()), () => returnInvalid(f, e))
  noteSubnormal(f, e, [a, b])
  f.if(isInfinite(a, e), () => f.return(a))
  f.if(isInfinite(b, e), () => f.return(b))
  const [x, y] = [partsOf(f), partsOf(f)]
  unpack(f, e, a, x)
  unpack(f, e, b, y)
  orderParts(f, x, y, () => exchange(f, a, b))
  shiftRight(f, y.significand, i32.sub(x.exponent, y.exponent))
  f.if(differ(), () => {
    f.set(x.significand, i64.sub(x.significand, y.significand))
    f.if(i64.eqz(x.significand), () => f.return(signOfNothing(e)))
  }, () => f.set(x.significand, i64.add(x.significand, y.significand)))
  f.if(i64.eqz(x.significand), () => f.return(a))
  returnEncoded(site, signOf(a, e), x)
}

function multiplication(site: Site): void {
  const { f, e, a, b, mulHigh } = site
  const sign = signOf(i64.xor(a, b), e)
  const infinite = i32.or(isInfinite(a, e), isInfinite(b, e))
  const nothing = i32.or(isNothing(a, e), isNothing(b, e))
  f.if(i32.and(infinite, nothing), () => returnInvalid(f, e))
  noteSubnormal(f, e, [a, b])
  f.if(infinite, () => f.return(i64.or(sign, i64.const(e.infinity))))
  f.if(nothing, () => f.return(sign))
  const [x, y] = [partsOf(f), partsOf(f)]
  unpack(f, e, a, x)
  unpack(f, e, b, y)
  const isMore = i64.ne(i64.mul(x.significand, y.significand), i64.const(0n))
  f.set(x.significand, i64.or(call(mulHigh, x.significand, y.significand), i64.extendU(isMore)))
  f.set(x.exponent, i32.add(i32.add(x.exponent, y.exponent), i32.const(2)))
  returnEncoded(site, sign, x)
}

/** The significand of a double as an integer. */
function integerOf(bits: Expression): Expression {
  return i64.or(i64.and(bits, i64.const(LEADING - 1n)), i64.const(LEADING))
}

/** Nine bits more than `found` has, by the sign of what is left. */
function refined(f: FunctionBuilder, found: Local, rest: Local): Expression {
  const direction = i64.or(i64.shrS(rest, i64.const(63n)),
    i64.extendU(i64.ne(rest, i64.const(0n))))
  return i64.add(i64.shl(found, i64.const(9n)), direction)
}

/** A significand as a double from 1 to 2: its lowest ten bits must be zeros. */
function fractionOf(significand: Expression): Expression {
  return f64.reinterpret(i64.add(i64.shrU(significand, i64.const(10n)), i64.const(ONE - LEADING)))
}

function division(site: Site): void {
  const { f, e, a, b } = site
  const sign = signOf(i64.xor(a, b), e)
  const both = (is: typeof isNothing): Expression => i32.and(is(a, e), is(b, e))
  f.if(i32.or(both(isNothing), both(isInfinite)), () => returnInvalid(f, e))
  f.if(i32.and(isNothing(b, e), i32.eqz(isInfinite(a, e))), () => {
    raise(f, i32.const(ZERO_DIVIDE))
    f.return(i64.or(sign, i64.const(e.infinity)))
  })
  noteSubnormal(f, e, [a, b])
  f.if(isInfinite(a, e), () => f.return(i64.or(sign, i64.const(e.infinity))))
  f.if(i32.or(isInfinite(b, e), isNothing(a, e)), () => f.return(sign))
  const [x, y] = [partsOf(f), partsOf(f)]
  const [found, rest, isLess] = [f.local('i64'), f.local('i64'), f.local('i64')]
  unpack(f, e, a, x)
  unpack(f, e, b, y)
  f.set(found, i64.reinterpret(f64.div(fractionOf(x.significand), fractionOf(y.significand))))
  f.set(isLess, i64.extendU(i64.ltU(found, i64.const(ONE))))
  f.set(found, integerOf(found))
  // Less than half the divisor is left, so that 64 bits of the difference are enough.
  const dividend = i64.shl(x.significand, i64.add(i64.const(42n), isLess))
  f.set(rest, i64.sub(dividend, i64.mul(found, i64.shrU(y.significand, i64.const(10n)))))
  f.set(x.significand, refined(f, found, rest))
  f.set(x.exponent, i32.sub(i32.sub(x.exponent, y.exponent),
    i32.sub(i32.wrap(isLess), i32.const(1))))
  returnEncoded(site, sign, x)
}

function squareRoot(site: Site): void {
  const { f, e, a } = site
  f.if(isNothing(a, e), () => f.return(a))
  f.if(i32.eqz(i64.eqz(signOf(a, e))), () => returnInvalid(f, e))
  f.if(isInfinite(a, e), () => f.return(a))
  noteSubnormal(f, e, [a])
  const x = partsOf(f)
  const [found, rest, odd] = [f.local('i64'), f.local('i64'), f.local('i64')]
  unpack(f, e, a, x)
  f.set(odd, i64.extendU(i32.and(x.exponent, i32.const(1))))
  const radicand = i64.add(i64.reinterpret(fractionOf(x.significand)),
    i64.shl(odd, i64.const(52n)))
  f.set(found, integerOf(i64.reinterpret(f64.sqrt(f64.reinterpret(radicand)))))
  f.set(rest, i64.sub(i64.shl(x.significand, i64.add(i64.const(42n), odd)),
    i64.mul(found, found)))
  f.set(x.significand, refined(f, found, rest))
  f.set(x.exponent, i32.add(i32.shrS(x.exponent, i32.const(1)), i32.const(1)))
  returnEncoded(site, i64.const(0n), x)
}

/** The second operand when either is a NaN or both are zeros. */
function extremum(site: Site, op: 'min' | 'max'): void {
  const { f, e, a, b } = site
  f.if(i32.or(isNaN(a, e), isNaN(b, e)), () => {
    raise(f, i32.const(INVALID))
    f.return(b)
  })
  noteSubnormal(f, e, [a, b])
  f.return(select(a, b, f64[op === 'min' ? 'lt' : 'gt'](valueOf(site, a), valueOf(site, b))))
}

function comparison(site: Site, signaling: boolean): void {
  const { f, e, a, b } = site
  f.if(i32.or(isNaN(a, e), isNaN(b, e)), () => {
    const isOne = (bits: Expression): Expression =>
      i32.and(isNaN(bits, e), isSignaling(bits, e))
    f.if(signaling ? i32.const(1) : i32.or(isOne(a), isOne(b)),
      () => raise(f, i32.const(INVALID)))
    f.return(i64.const(0n))
  })
  noteSubnormal(f, e, [a, b])
  const [x, y] = [valueOf(site, a), valueOf(site, b)]
  f.return(i64.extendU(i32.add(i32.sub(f64.gt(x, y), f64.lt(x, y)), i32.const(2))))
}

/** Sets `whole` to `x`, an integer by the rounding mode. */
function toWhole(f: FunctionBuilder, whole: Local, x: Local, mode: Expression): void {
  f.block((done) => f.switch(mode, (['nearest', 'floor', 'ceil'] as const).map((how) => () => {
    f.set(whole, f64[how](x))
    f.br(done)
  }), () => f.set(whole, f64.trunc(x))))
}

function roundToIntegral(site: Site): void {
  const { f, e, a, b, width } = site
  returnNaN(f, e, [a])
  const [x, whole, how] = [f.local('f64'), f.local('f64'), f.local('i32')]
  f.set(how, i32.wrap(b))
  f.set(x, valueOf(site, a))
  toWhole(f, whole, x, select(modeOf(loadMxcsr()), i32.and(how, i32.const(3)),
    i32.and(how, i32.const(4))))
  f.if(i32.and(i32.eqz(i32.and(how, i32.const(8))), f64.ne(x, whole)),
    () => raise(f, i32.const(INEXACT)))
  f.return(width === 64 ? i64.reinterpret(whole)
    : i64.extendU(i32.reinterpret(f32.demote(whole))))
}

/** Out of range and NaN give only the top bit. */
function toInteger(site: Site, to: Width, truncated: boolean): void {
  const { f, e, a } = site
  const [x, whole] = [f.local('f64'), f.local('f64')]
  const limit = 2 ** (to - 1)
  f.set(x, valueOf(site, a))
  toWhole(f, whole, x, truncated ? i32.const(3) : modeOf(loadMxcsr()))
  const fits = i32.and(f64.ge(whole, f64.const(-limit)), f64.lt(whole, f64.const(limit)))
  f.if(i32.or(isNaN(a, e), i32.eqz(fits)), () => {
    raise(f, i32.const(INVALID))
    f.return(i64.const(BigInt.asIntN(64, 1n << BigInt(to - 1))))
  })
  f.if(f64.ne(x, whole), () => raise(f, i32.const(INEXACT)))
  const integer = i64.truncSatF64S(whole)
  f.return(to === 64 ? integer : i64.and(integer, i64.const(0xffff_ffffn)))
}

function fromInteger(site: Site, from: Width): void {
  const { f, e, a } = site
  const x = partsOf(f)
  const isNegative = i64.ltS(a, i64.const(0n))
  if (from === 32) f.set(a, i64.extend32(a))
  f.if(i64.eqz(a), () => f.return(i64.const(0n)))
  f.set(x.significand, select(i64.sub(i64.const(0n), a), a, isNegative))
  f.set(x.exponent, i32.const(62))
  returnEncoded(site,
    select(signBit(e), i64.const(0n), isNegative), x)
}

/** Moves what stands at bits of `from` to those of `to`. */
function moved(bits: Expression, from: bigint, to: bigint): Expression {
  return to > from ? i64.shl(bits, i64.const(to - from)) : i64.shrU(bits, i64.const(from - to))
}

/** From one precision to another; `control` stands for MXCSR. */
function conversion(site: Site, from: Encoding, to: Width | 16, control: Expression): void {
  const { f, a, encoders } = site
  const target = to === 16 ? half : encodingOf(to)
  const topOf = (e: Encoding): bigint => e.fractionBits + BigInt(e.exponentMask.toString(2).length)
  const sign = moved(signOf(a, from), topOf(from), topOf(target))
  f.if(isNaN(a, from), () => {
    f.if(isSignaling(a, from), () => raise(f, i32.const(INVALID)))
    const payload = moved(i64.and(a, i64.const(from.fraction)), from.fractionBits,
      target.fractionBits)
    f.return(i64.or(i64.or(sign, payload), i64.const(target.infinity | target.quiet)))
  })
  f.if(isInfinite(a, from), () => f.return(i64.or(sign, i64.const(target.infinity))))
  f.if(isNothing(a, from), () => f.return(sign))
  // Denormal numbers of half precision are no exception.
  if (from !== half) noteSubnormal(f, from, [a])
  const x = partsOf(f)
  unpack(f, from, a, x)
  f.return(call(encoders[to], sign, x.exponent, x.significand, control))
}

/** Half precision knows neither FTZ nor a rounding mode of its own. */
function toHalf(site: Site): void {
  const { f, b, e } = site
  const [how, control] = [f.local('i32'), f.local('i32')]
  f.set(how, i32.wrap(b))
  const mode = select(i32.and(loadMxcsr(), i32.const(ROUNDING)),
    i32.shl(i32.and(how, i32.const(3)), i32.const(13)), i32.and(how, i32.const(4)))
  f.set(control, i32.or(i32.and(loadMxcsr(), i32.const(~(FLUSH_TO_ZERO | ROUNDING))), mode))
  conversion(site, e, 16, control)
}

const takesTwo: ReadonlySet<FloatOp> = new Set(
  ['add', 'sub', 'mul', 'div', 'min', 'max', 'compare', 'compareSignaling'])

function writeOperation(site: Site, op: FloatOp): void {
  const { f, e, width, a, b } = site
  switch (op) {
    case 'fromInt32': return fromInteger(site, 32)
    case 'fromInt64': return fromInteger(site, 64)
    case 'fromHalf':
      f.set(a, i64.and(a, i64.const(0xffffn)))
      return conversion(site, half, 32, loadMxcsr())
  }
  flushOperands(f, e, takesTwo.has(op) ? [a, b] : [a])
  switch (op) {
    case 'add': case 'sub': case 'mul': case 'div': returnNaN(f, e, [a, b]); break
    case 'sqrt': returnNaN(f, e, [a])
  }
  switch (op) {
    case 'sub': f.set(b, i64.xor(b, signBit(e))); return addition(site)
    case 'add': return addition(site)
    case 'mul': return multiplication(site)
    case 'div': return division(site)
    case 'sqrt': return squareRoot(site)
    case 'min': case 'max': return extremum(site, op)
    case 'compare': return comparison(site, false)
    case 'compareSignaling': return comparison(site, true)
    case 'round': return roundToIntegral(site)
    case 'convert': return conversion(site, e, width === 32 ? 64 : 32, loadMxcsr())
    case 'toHalf': return toHalf(site)
    case 'toInt32': return toInteger(site, 32, false)
    case 'toInt64': return toInteger(site, 64, false)
    case 'toInt32Truncated': return toInteger(site, 32, true)
    case 'toInt64Truncated': return toInteger(site, 64, true)
  }
}

export type SoftFloat = Readonly<Record<Width, Readonly<Record<FloatOp, FunctionReference>>>>

/** Builds (a i64, b i64) -> i64 for each operation, for use while all exceptions are masked. */
export function buildSoftFloat(
  module: ModuleBuilder, encoders: Encoders, mulHigh: FunctionReference,
): SoftFloat {
  const build = (op: FloatOp, width: Width): FunctionReference => {
    const f = module.function({ parameters: ['i64', 'i64'], result: 'i64' })
    const [a, b] = f.parameters as [Local, Local]
    const e = encodingOf(width)
    if (width === 32 && !op.startsWith('fromInt')) {
      // What stands above a single is no part of it.
      for (const bits of [a, b]) f.set(bits, i64.and(bits, i64.const(0xffff_ffffn)))
    }
    writeOperation({ f, e, width, a, b, encoders, mulHigh }, op)
    return f
  }
  // Half precision is converted from and to singles alone.
  const family = (width: Width) => Object.fromEntries(floatOps.map((op) =>
    [op, build(op, op.endsWith('Half') ? 32 : width)])) as Record<FloatOp, FunctionReference>
  return { 32: family(32), 64: family(64) }
}
