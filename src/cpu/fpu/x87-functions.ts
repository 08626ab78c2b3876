/**
 * x87 functions of ordinary numbers beside the basic arithmetic: FSQRT, FRNDINT, FSCALE, FPREM and
 * FPREM1 (Intel SDM 2A). What is unusual is the exact routine's.
 */
import { call, f64, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { statusWithCodes } from './x87-compare.ts'
import { RoundedFunction } from './x87-round.ts'
import {
  BIAS, exponentOf, EXPONENT, isOrdinary, LEADING, loadControl, SIGN, type StackFunction,
  wideLocals, type Wide,
} from './x87-state.ts'
import { outcomeOf, statusAfter, ValueFunction } from './x87-value.ts'

/** Values of the rounding control, shifted down. */
const [NEAREST, DOWN, UP] = [0, 1, 2]
const ROUNDING_SHIFT = 10
/** Condition codes in an outcome. */
const [C0, C1, C3] = [0x100 << 16, 0x200 << 16, 0x4000 << 16]

function firstOf(f: FunctionBuilder): Wide {
  const [significand, signExponent] = f.parameters as [Local, Local]
  return { significand, signExponent }
}

function secondOf(f: FunctionBuilder): Wide {
  const [, , significand, signExponent] = f.parameters as [Local, Local, Local, Local]
  return { significand, signExponent }
}

function signOf({ signExponent }: Wide): Expression {
  return i32.and(signExponent, i32.const(SIGN))
}

/**
 * Square roots: a root of the significand by the host's doubles, made exact by one step of Newton's
 * method in whole numbers. The root is a little too small then, and counted up; what remains says
 * how it is rounded.
 */
class Root extends RoundedFunction {
  readonly #mulHigh: FunctionReference
  readonly #a: Wide
  readonly #isOdd: Local
  readonly #estimate: Local
  readonly #rest: Local
  readonly #restHigh: Local

  constructor(f: FunctionBuilder, mulHigh: FunctionReference) {
    super(f)
    this.#mulHigh = mulHigh
    this.#a = firstOf(f)
    this.#isOdd = f.local('i32')
    this.#estimate = f.local('f64')
    this.#rest = f.local('i64')
    this.#restHigh = f.local('i64')
  }

  write(): void {
    const { s, f, high } = this
    const a = this.#a
    s.write(() => {
      s.reject(i32.eqz(isOrdinary(a)))
      f.ifUnlikely(i64.eqz(a.significand), () => f.returnPair(i64.const(0), a.signExponent))
      s.reject(signOf(a))
      f.set(this.exponent, i32.sub(exponentOf(a), i32.const(BIAS)))
      f.set(this.#isOdd, i32.and(this.exponent, i32.const(1)))
      f.set(this.exponent, i32.add(i32.shrS(this.exponent, i32.const(1)), i32.const(BIAS)))
      this.#estimateRoot()
      this.#setRest()
      const error = f64.div(this.#restAsFloat(), f64.mul(this.#estimate, f64.const(2)))
      f.set(high, i64.add(high, i64.sub(i64.truncSatF64S(f64.floor(error)), i64.const(1))))
      this.#setRest()
      this.#countUp()
      const isAbove = i64.or(this.#restHigh, i64.extendU(i64.gtU(this.#rest, high)))
      const lost = i64.extendU(i64.ne(i64.or(this.#rest, this.#restHigh), i64.const(0)))
      f.set(this.low, i64.or(lost, select(i64.const(0), i64.const(LEADING), i64.eqz(isAbove))))
      this.returnRounded()
    })
  }

  /** Of the significand, times 2^64 where the exponent is odd, else 2^63. */
  #estimateRoot(): void {
    const { f } = this
    const half = f64.convertI64S(i64.shrU(this.#a.significand, i64.const(1)))
    const factor = select(f64.const(2), f64.const(1), this.#isOdd)
    f.set(this.#estimate, f64.mul(f64.sqrt(f64.mul(half, factor)), f64.const(2 ** 32)))
    const cut = i64.truncSatF64S(f64.mul(this.#estimate, f64.const(0.5)))
    f.set(this.high, i64.shl(cut, i64.const(1)))
  }

  /** What the square of `high` is short of. */
  #setRest(): void {
    const { f, high, kept } = this
    const { significand } = this.#a
    f.set(kept, i64.mul(high, high))
    f.set(this.#rest, select(i64.const(0), i64.shl(significand, i64.const(63)), this.#isOdd))
    f.set(this.#restHigh,
      i64.shrU(significand, i64.extendU(i32.eqz(this.#isOdd))))
    const borrow = i64.extendU(i64.ltU(this.#rest, kept))
    f.set(this.#restHigh,
      i64.sub(i64.sub(this.#restHigh, call(this.#mulHigh, high, high)), borrow))
    f.set(this.#rest, i64.sub(this.#rest, kept))
  }

  #restAsFloat(): Expression {
    const low = f64.convertI64S(i64.shrU(this.#rest, i64.const(1)))
    return f64.add(f64.mul(f64.convertI64S(this.#restHigh), f64.const(2 ** 64)),
      f64.mul(low, f64.const(2)))
  }

  /** The next square is as much more as the root and its successor are together. */
  #countUp(): void {
    const { f, high, kept } = this
    f.block((done) => f.loop((again) => {
      f.set(kept, i64.or(i64.shl(high, i64.const(1)), i64.const(1)))
      const stepHigh = i64.shrU(high, i64.const(63))
      f.brIf(done, i64.ltU(this.#restHigh, stepHigh))
      const isShort = i32.and(i64.eq(this.#restHigh, stepHigh), i64.ltU(this.#rest, kept))
      f.brIf(done, isShort)
      const borrow = i64.extendU(i64.ltU(this.#rest, kept))
      f.set(this.#restHigh, i64.sub(i64.sub(this.#restHigh, stepHigh), borrow))
      f.set(this.#rest, i64.sub(this.#rest, kept))
      f.set(high, i64.add(high, i64.const(1)))
      f.br(again)
    }))
  }
}

/** Builds the part x87Integral: rounded to a whole number as the control word says. */
function buildIntegral(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Integral)
  const s = new ValueFunction(f)
  const a = firstOf(f)
  const [drop, unit, lost] = [f.local('i64'), f.local('i64'), f.local('i64')]
  const [exponent, mode, up] = [f.local('i32'), f.local('i32'), f.local('i32')]
  s.write(() => {
    s.reject(i32.eqz(isOrdinary(a)))
    f.set(exponent, exponentOf(a))
    const isWhole = i32.or(i64.eqz(a.significand), i32.geU(exponent, i32.const(BIAS + 63)))
    f.if(isWhole, () => f.returnPair(a.significand, a.signExponent))
    f.set(mode, i32.and(i32.shrU(loadControl(), i32.const(ROUNDING_SHIFT)), i32.const(3)))
    // The fraction, from the top of `lost` down; below one half all is alike.
    f.set(drop, i64.extendU(i32.sub(i32.const(BIAS + 63), exponent)))
    f.set(unit, select(i64.shrU(a.significand, drop), i64.const(0), i64.ltU(drop, i64.const(64))))
    f.set(lost, select(i64.shl(a.significand, i64.sub(i64.const(0), drop)), i64.const(1),
      i64.leU(drop, i64.const(64))))
    const isNearest = i32.eq(mode, i32.const(NEAREST))
    const isNearer = i64.gtU(lost, i64.sub(i64.const(LEADING), i64.and(unit, i64.const(1))))
    const away = select(i32.const(DOWN), i32.const(UP), signOf(a))
    f.set(up, select(isNearer,
      i32.and(i32.eq(mode, away), i64.ne(lost, i64.const(0))), isNearest))
    f.set(unit, i64.add(unit, i64.extendU(up)))
    const outcome = (signExponent: Expression): Expression =>
      outcomeOf(signExponent, i64.ne(lost, i64.const(0)), up)
    f.if(i64.eqz(unit), () => f.returnPair(i64.const(0), outcome(signOf(a))))
    f.set(drop, i64.clz(unit))
    f.set(exponent, i32.sub(i32.const(BIAS + 63), i32.wrap(drop)))
    f.returnPair(i64.shl(unit, drop), outcome(i32.or(signOf(a), exponent)))
  })
  return f
}

/** Builds the part x87Scaled: the first number times two to the whole part of the second. */
function buildScaled(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Scaled)
  const s = new ValueFunction(f)
  const [a, b] = [firstOf(f), secondOf(f)]
  const [power, exponent] = [f.local('i32'), f.local('i32')]
  const MOST = 16
  s.write(() => {
    s.reject(i32.eqz(i32.and(isOrdinary(a), isOrdinary(b))))
    const isAlike = i32.or(i64.eqz(a.significand), i32.ltU(exponentOf(b), i32.const(BIAS)))
    f.if(isAlike, () => f.returnPair(a.significand, a.signExponent))
    f.set(exponent, i32.sub(i32.const(BIAS + 63), exponentOf(b)))
    s.reject(i32.ltS(exponent, i32.const(63 - MOST)))
    f.set(power, i32.wrap(i64.shrU(b.significand, i64.extendU(exponent))))
    f.set(power, select(i32.sub(i32.const(0), power), power, signOf(b)))
    f.set(exponent, i32.add(exponentOf(a), power))
    s.reject(i32.geU(i32.sub(exponent, i32.const(1)), i32.const(EXPONENT - 1)))
    f.returnPair(a.significand, i32.or(signOf(a), exponent))
  })
  return f
}

/** Builds the part x87Remainder, whose outcome has the low bits of the quotient as condition codes:
 * what one division of 128 by 64 bits does. */
function buildRemainder(module: ModuleBuilder, divide: FunctionReference): FunctionReference {
  const f = module.function(partSignatures.x87Remainder)
  const s = new ValueFunction(f)
  const [a, b] = [firstOf(f), secondOf(f)]
  const isNearest = f.parameters[4]!
  const [distance, low, quotient, rest] =
    [f.local('i64'), f.local('i64'), f.local('i64'), f.local('i64')]
  const [sign, exponent, codes] = [f.local('i32'), f.local('i32'), f.local('i32')]
  s.write(() => {
    s.reject(i32.eqz(i32.and(isOrdinary(a), isOrdinary(b))))
    s.reject(i64.eqz(b.significand))
    f.if(i64.eqz(a.significand), () => f.returnPair(i64.const(0), a.signExponent))
    f.set(distance, i64.extendS(i32.sub(exponentOf(a), exponentOf(b))))
    s.reject(i64.geS(distance, i64.const(64)))
    f.ifUnlikely(i64.ltS(distance, i64.const(0)), () => {
      // Just below the divisor the nearest multiple may be the divisor.
      s.reject(i32.and(isNearest, i64.eq(distance, i64.const(-1))))
      f.returnPair(a.significand, a.signExponent)
    })
    const top = i64.shrU(i64.shrU(a.significand, i64.const(1)),
      i64.sub(i64.const(63), distance))
    f.set(low, i64.shl(a.significand, distance))
    f.set(quotient, call(divide, top, low, b.significand))
    f.set(rest, i64.sub(low, i64.mul(quotient, b.significand)))
    f.set(sign, signOf(a))
    const other = i64.sub(b.significand, rest)
    const isNearer = i64.gtU(i64.add(rest, i64.and(quotient, i64.const(1))), other)
    f.if(i32.and(isNearest, isNearer), () => {
      f.set(quotient, i64.add(quotient, i64.const(1)))
      f.set(rest, other)
      f.set(sign, i32.xor(sign, i32.const(SIGN)))
    })
    const code = (bit: bigint, name: number): Expression =>
      select(i32.const(0), i32.const(name), i64.eqz(i64.and(quotient, i64.const(bit))))
    f.set(codes, i32.or(i32.or(code(4n, C0), code(2n, C3)), code(1n, C1)))
    f.if(i64.eqz(rest), () => f.returnPair(i64.const(0), i32.or(codes, signOf(a))))
    f.set(distance, i64.clz(rest))
    f.set(exponent, i32.sub(exponentOf(b), i32.wrap(distance)))
    s.reject(i32.ltS(exponent, i32.const(1)))
    f.returnPair(i64.shl(rest, distance), i32.or(codes, i32.or(sign, exponent)))
  })
  return f
}

export interface FunctionParts {
  readonly x87Root: FunctionReference
  readonly x87Integral: FunctionReference
  readonly x87Scaled: FunctionReference
  readonly x87Remainder: FunctionReference
}

/** Builds the functions on numbers; `divide` is of 128 by 64 bits. */
export function buildX87Functions(
  module: ModuleBuilder, mulHigh: FunctionReference, divide: FunctionReference,
): FunctionParts {
  const root = module.function(partSignatures.x87Root)
  new Root(root, mulHigh).write()
  return {
    x87Root: root, x87Integral: buildIntegral(module), x87Scaled: buildScaled(module),
    x87Remainder: buildRemainder(module, divide),
  }
}

/** The parts on the stack, and the functions on numbers that they call. */
const valuePartOf = {
  x87Sqrt: 'x87Root', x87Rndint: 'x87Integral', x87Scale: 'x87Scaled',
  x87Prem: 'x87Remainder', x87Prem1: 'x87Remainder',
} as const
export type X87Function = keyof typeof valuePartOf

/** A function of numbers, for whoever has ST and ST(1). */
export interface FunctionCall {
  readonly part: keyof FunctionParts
  readonly takesTwo: boolean
  /** It rounds as the control word says only to the nearest number. */
  readonly needsNearest: boolean
  /** What the part is told behind the numbers. */
  readonly constants: readonly Expression[]
}

export function functionCallOf(name: X87Function): FunctionCall {
  const part = valuePartOf[name]
  return {
    part, takesTwo: part === 'x87Scaled' || part === 'x87Remainder',
    needsNearest: part === 'x87Root',
    constants: part === 'x87Remainder' ? [i32.const(name === 'x87Prem1' ? 1 : 0)] : [],
  }
}

/** A status word after a function with an outcome; a remainder sets all condition codes. */
export function statusAfterFunction(
  part: keyof FunctionParts, status: Expression, outcome: Expression,
): Expression {
  const kept = part === 'x87Remainder' ? statusWithCodes(status, i32.const(0)) : status
  return statusAfter(kept, outcome)
}

/** Builds a STACK_OPERATION that puts a function of ST, or of ST and ST(1), into ST. */
export function buildX87Function(s: StackFunction, name: X87Function, parts: FunctionParts): void {
  const { f } = s
  const { part, takesTwo, needsNearest, constants } = functionCallOf(name)
  const [a, b, result] = [wideLocals(f), wideLocals(f), wideLocals(f)]
  const numbers: Expression[] = [a.significand, a.signExponent]
  if (takesTwo) numbers.push(b.significand, b.signExponent)
  s.write(() => {
    if (needsNearest) s.requirePlain()
    else s.requireMasked()
    s.requireFull(s.top)
    s.loadRegister(a, s.top)
    if (takesTwo) {
      s.requireFull(s.source())
      s.loadRegister(b, s.source())
    }
    f.setPair(result.significand, result.signExponent, parts[part], ...numbers, ...constants)
    s.rejectOutcome(result.signExponent)
    s.setRegister(s.top, result.signExponent, result.significand)
    s.finish(statusAfterFunction(part, s.status, result.signExponent))
  })
}
