/**
 * Fused multiply-add by integer operations in WebAssembly: what fast-fused.ts has no answer for
 * while all exceptions are masked. Product and sum have 128 bits, in two halves, of which the
 * lowest also stands for all below.
 */
import type { Encoding } from '../../isa/float/encoding.ts'
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { loadMxcsr } from './float-state.ts'
import type { SoftFloat } from './soft-float.ts'
import {
  encodingOf, exchange, flushOperands, isInfinite, isNothing, noteSubnormal, partsOf, returnInvalid,
  returnNaN, signBit, signOf, signOfNothing, unpack, type Encoders, type Parts,
} from './soft-number.ts'

type Width = 32 | 64

const NOTHING = i64.const(0n)
/** The exponent of what is less than any product. */
const LEAST = -10_000

interface Needs {
  readonly encoders: Encoders
  readonly mulHigh: FunctionReference
  readonly soft: SoftFloat
}

/** The upper half is the significand. */
interface LongParts extends Parts {
  readonly low: Local
}

function longPartsOf(f: FunctionBuilder): LongParts {
  return { ...partsOf(f), low: f.local('i64') }
}

/** Moves both halves `count` places to the left, from 1 to 63. */
function shiftLeft(f: FunctionBuilder, x: LongParts, count: Expression): void {
  f.set(x.significand, i64.or(i64.shl(x.significand, count),
    i64.shrU(x.low, i64.sub(i64.const(64n), count))))
  f.set(x.low, i64.shl(x.low, count))
  f.set(x.exponent, i32.sub(x.exponent, i32.wrap(count)))
}

/** Moves both halves to the right. */
function shiftRight(f: FunctionBuilder, x: LongParts, count: Expression): void {
  const { significand, low } = x
  const [places, lost] = [f.local('i64'), f.local('i64')]
  f.set(places, i64.extendU(count))
  f.if(i64.geU(places, i64.const(64n)), () => {
    f.set(low, i64.or(significand, i64.extendU(i64.ne(low, NOTHING))))
    f.set(significand, NOTHING)
    f.set(places, i64.sub(places, i64.const(64n)))
  })
  f.if(i64.geU(places, i64.const(64n)), () => {
    f.set(low, i64.extendU(i64.ne(i64.or(significand, low), NOTHING)))
    f.set(significand, NOTHING)
    f.set(places, NOTHING)
  })
  f.if(i64.ne(places, NOTHING), () => {
    const rest = i64.sub(i64.const(64n), places)
    f.set(lost, i64.extendU(i64.ne(i64.shl(low, rest), NOTHING)))
    f.set(low, i64.or(i64.or(i64.shrU(low, places), i64.shl(significand, rest)), lost))
    f.set(significand, i64.shrU(significand, places))
  })
}

/** Makes `x` the larger one; if they change places, `sign` becomes `other`. */
function order(
  f: FunctionBuilder, x: LongParts, y: LongParts, sign: Local, other: Expression,
): void {
  const isLess = (...fields: (keyof LongParts)[]): Expression => {
    const [field, ...rest] = fields
    const [one, two] = [x[field!], y[field!]]
    const less = field === 'exponent' ? i32.ltS(one, two) : i64.ltU(one, two)
    const same = field === 'exponent' ? i32.eq(one, two) : i64.eq(one, two)
    return rest.length ? i32.or(less, i32.and(same, isLess(...rest))) : less
  }
  f.if(isLess('exponent', 'significand', 'low'), () => {
    for (const field of ['exponent', 'significand', 'low'] as const) {
      exchange(f, x[field], y[field])
    }
    f.set(sign, other)
  })
}

/** What NaNs, infinities and zeros give. */
function returnSpecial(
  f: FunctionBuilder, e: Encoding, [a, b, c]: readonly [Local, Local, Local], add: Expression,
): void {
  const sign = signOf(i64.xor(a, b), e)
  const infinite = i32.or(isInfinite(a, e), isInfinite(b, e))
  const nothing = i32.or(isNothing(a, e), isNothing(b, e))
  const opposite = i32.and(isInfinite(c, e), i64.ne(sign, signOf(c, e)))
  f.if(i32.and(infinite, i32.or(nothing, opposite)), () => returnInvalid(f, e))
  noteSubnormal(f, e, [a, b, c])
  f.if(infinite, () => f.return(i64.or(sign, i64.const(e.infinity))))
  f.if(isInfinite(c, e), () => f.return(c))
  f.if(nothing, () => f.return(add))
}

function buildOne(
  module: ModuleBuilder, width: Width, { encoders, mulHigh, soft }: Needs,
): FunctionReference {
  const f = module.function({ parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i64' })
  const [number, a, b, c] = f.parameters as [Local, Local, Local, Local]
  const e = encodingOf(width)
  if (width === 32) {
    for (const bits of [a, b, c]) f.set(bits, i64.and(bits, i64.const(0xffff_ffffn)))
  }
  flushOperands(f, e, [a, b, c])
  returnNaN(f, e, [a, b, c])
  f.if(i32.and(number, i32.const(2)), () => f.set(a, i64.xor(a, signBit(e))))
  f.if(i32.and(number, i32.const(1)), () => f.set(c, i64.xor(c, signBit(e))))
  const [sign, differ, low] = [f.local('i64'), f.local('i32'), f.local('i64')]
  f.set(sign, signOf(i64.xor(a, b), e))
  returnSpecial(f, e, [a, b, c], call(soft[width].add, sign, c))
  f.set(differ, i64.ne(sign, signOf(c, e)))
  const [x, y] = [longPartsOf(f), longPartsOf(f)]
  unpack(f, e, a, x)
  unpack(f, e, b, y)
  f.set(y.significand, i64.shl(y.significand, i64.const(1n)))
  f.set(x.low, i64.mul(x.significand, y.significand))
  f.set(x.significand, call(mulHigh, x.significand, y.significand))
  f.set(x.exponent, i32.add(i32.add(x.exponent, y.exponent), i32.const(1)))
  f.if(i64.eqz(i64.shrU(x.significand, i64.const(62n))), () => shiftLeft(f, x, i64.const(1n)))
  unpack(f, e, c, y)
  f.if(i64.eqz(y.significand), () => f.set(y.exponent, i32.const(LEAST)))
  order(f, x, y, sign, signOf(c, e))
  shiftRight(f, y, i32.sub(x.exponent, y.exponent))
  f.if(differ, () => {
    f.set(low, i64.sub(x.low, y.low))
    f.set(x.significand, i64.sub(i64.sub(x.significand, y.significand),
      i64.extendU(i64.ltU(x.low, y.low))))
  }, () => {
    f.set(low, i64.add(x.low, y.low))
    f.set(x.significand, i64.add(i64.add(x.significand, y.significand),
      i64.extendU(i64.ltU(low, y.low))))
  })
  f.set(x.low, low)
  f.if(i64.eqz(i64.or(x.significand, x.low)), () => f.return(signOfNothing(e)))
  f.if(i64.eqz(x.significand), () => {
    f.set(x.significand, x.low)
    f.set(x.low, NOTHING)
    f.set(x.exponent, i32.sub(x.exponent, i32.const(64)))
  })
  f.set(low, i64.sub(i64.clz(x.significand), i64.const(1n)))
  f.if(i64.gtS(low, NOTHING), () => shiftLeft(f, x, low))
  f.set(x.significand, i64.or(x.significand, i64.extendU(i64.ne(x.low, NOTHING))))
  f.return(call(encoders[width], sign, x.exponent, x.significand, loadMxcsr()))
  return f
}

export type SoftFused = Readonly<Record<Width, FunctionReference>>

/** Builds (number i32, a i64, b i64, c i64) -> i64 for each width, numbered by fusedNumber. */
export function buildSoftFused(module: ModuleBuilder, needs: Needs): SoftFused {
  return { 32: buildOne(module, 32, needs), 64: buildOne(module, 64, needs) }
}
