/**
 * x87 sums, products and quotients of ordinary numbers, rounded to nearest. What is unusual, or
 * leaves the range of normal numbers, is the exact routine's.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { RoundedFunction } from './x87-round.ts'
import {
  BIAS, exponentOf, EXPONENT, isOrdinary, LEADING, SIGN,
  StackFunction, wideLocals, type Wide,
} from './x87-state.ts'

export type X87Arithmetic = 'add' | 'sub' | 'subr' | 'mul' | 'div' | 'divr'

export interface ValueParts {
  readonly x87Sum: FunctionReference
  readonly x87Product: FunctionReference
  readonly x87Quotient: FunctionReference
}

/** Functions that arithmetic calls. */
interface ArithmeticNeeds {
  readonly mulHigh: FunctionReference
  /** (high, low, divisor) -> quotient, for a divisor whose top bit is set. */
  readonly divide: FunctionReference
}

function isOutside(wide: Wide): Expression {
  return i32.geU(i32.sub(exponentOf(wide), i32.const(1)), i32.const(EXPONENT - 1))
}

/** Which way data goes is as good as random, so what depends on it is computed without branches. */
class Arithmetic extends RoundedFunction {
  readonly #needs: ArithmeticNeeds
  readonly #a: Wide
  readonly #b: Wide
  readonly #distance: Local

  constructor(f: FunctionBuilder, needs: ArithmeticNeeds) {
    super(f)
    const [a, signA, b, signB] = f.parameters as [Local, Local, Local, Local]
    this.#needs = needs
    this.#a = { significand: a, signExponent: signA }
    this.#b = { significand: b, signExponent: signB }
    this.#distance = f.local('i64')
  }

  write(operation: keyof ValueParts): void {
    const { s, f } = this
    s.write(() => {
      f.block((round) => {
        switch (operation) {
          case 'x87Product': this.#multiply(); break
          case 'x87Quotient': this.#divide(); break
          default: this.#add(round)
        }
        // Below the normal range the exponent must not look like a zero's.
        s.reject(i32.geU(i32.sub(this.exponent, i32.const(1)), i32.const(EXPONENT - 1)))
      })
      this.returnRounded()
    })
  }

  #returnZero(sign: Expression): void {
    this.f.returnPair(i64.const(0), sign)
  }

  /** Does something else where an operand is zero, and rejects what is neither zero nor normal. */
  #unlessNormal(zero: () => void): void {
    const { s, f } = this
    const [a, b] = [this.#a, this.#b]
    f.block((normal) => {
      f.block((other) => {
        // One by one they take less than one answer that is made of all of them.
        f.brUnlikely(other, i64.geS(i64.and(a.significand, b.significand), i64.const(0)))
        f.brUnlikely(other, isOutside(a))
        f.brUnlikely(other, isOutside(b))
        f.br(normal)
      })
      s.reject(i32.eqz(i32.and(isOrdinary(a), isOrdinary(b))))
      zero()
    })
  }

  #signs(): Expression {
    return i32.and(i32.xor(this.#a.signExponent, this.#b.signExponent), i32.const(SIGN))
  }

  #add(round: Label): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    this.#sort()
    this.#unlessNormal(() => {
      // Zeros of both signs make the positive one.
      f.if(i64.eqz(a.significand), () => this.#returnZero(
        i32.and(i32.and(a.signExponent, b.signExponent), i32.const(SIGN))))
      f.set(this.sign, i32.and(a.signExponent, i32.const(SIGN)))
      f.set(this.exponent, exponentOf(a))
      f.set(this.high, a.significand)
      f.set(this.low, i64.const(0))
      f.br(round)
    })
    f.set(this.sign, i32.and(a.signExponent, i32.const(SIGN)))
    f.set(this.exponent, i32.add(exponentOf(a), i32.const(1)))
    this.#align()
    this.#sum()
    f.ifUnlikely(i64.eqz(this.high), () => {
      f.set(this.high, this.low)
      f.set(this.low, i64.const(0))
      f.set(this.exponent, i32.sub(this.exponent, i32.const(64)))
      f.if(i64.eqz(this.high), () => this.#returnZero(i32.const(0)))
    })
    f.set(this.#distance, i64.clz(this.high))
    this.#shiftLeft(this.#distance)
  }

  /** The larger magnitude becomes the first operand; zeros have the smallest exponent. */
  #sort(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    f.set(this.up, i32.or(i32.ltU(exponentOf(a), exponentOf(b)), i32.and(
      i32.eq(exponentOf(a), exponentOf(b)), i64.ltU(a.significand, b.significand))))
    f.set(this.exponent, a.signExponent)
    f.set(a.signExponent, select(b.signExponent, a.signExponent, this.up))
    f.set(b.signExponent, select(this.exponent, b.signExponent, this.up))
    f.set(this.high, a.significand)
    f.set(a.significand, select(b.significand, a.significand, this.up))
    f.set(b.significand, select(this.high, b.significand, this.up))
  }

  /** The second operand as 128 bits with one to spare at the top, shifted right by the distance:
   * into kept and low. */
  #align(): void {
    const { f } = this
    const { significand } = this.#b
    const distance = this.#distance
    f.set(distance, i64.extendU(i32.sub(exponentOf(this.#a), exponentOf(this.#b))))
    f.set(this.kept, i64.shrU(i64.shrU(significand, distance), i64.const(1)))
    f.set(this.low, i64.shl(significand, i64.sub(i64.const(63), distance)))
    f.ifUnlikely(i64.gtU(distance, i64.const(63)), () => {
      f.set(this.kept, i64.const(0))
      // From here on it only matters that it is not zero.
      f.set(distance, select(i64.sub(distance, i64.const(63)), i64.const(63),
        i64.ltU(distance, i64.const(126))))
      const lost = i64.ne(i64.shl(significand, i64.sub(i64.const(0), distance)), i64.const(0))
      f.set(this.low, i64.or(i64.shrU(significand, distance), i64.extendU(lost)))
    })
  }

  /** Both ways, of which one is chosen. */
  #sum(): void {
    const { f } = this
    const [high, low] = [this.#a.significand, this.#b.significand]
    f.set(low, i64.shl(high, i64.const(63)))
    f.set(high, i64.shrU(high, i64.const(1)))
    const sum = i64.add(low, this.low)
    const plus = i64.add(i64.add(high, this.kept), i64.extendU(i64.ltU(sum, low)))
    const minus = i64.sub(i64.sub(high, this.kept), i64.extendU(i64.ltU(low, this.low)))
    f.set(this.high, select(minus, plus, this.#signs()))
    f.set(this.low, select(i64.sub(low, this.low), sum, this.#signs()))
  }

  /** Shifts the result left by less than 64. */
  #shiftLeft(shift: Local): void {
    const { f } = this
    const moved = i64.shrU(i64.shrU(this.low, i64.const(1)), i64.sub(i64.const(63), shift))
    f.set(this.high, i64.or(i64.shl(this.high, shift), moved))
    f.set(this.low, i64.shl(this.low, shift))
    f.set(this.exponent, i32.sub(this.exponent, i32.wrap(shift)))
  }

  #multiply(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    this.#unlessNormal(() => this.#returnZero(this.#signs()))
    f.set(this.sign, this.#signs())
    f.set(this.exponent,
      i32.sub(i32.add(exponentOf(a), exponentOf(b)), i32.const(BIAS - 1)))
    f.set(this.high, call(this.#needs.mulHigh, a.significand, b.significand))
    f.set(this.low, i64.mul(a.significand, b.significand))
    f.set(this.#distance, i64.extendU(i64.geS(this.high, i64.const(0))))
    this.#shiftLeft(this.#distance)
  }

  #divide(): void {
    const { s, f } = this
    const [a, b] = [this.#a, this.#b]
    this.#unlessNormal(() => {
      s.reject(i64.eqz(b.significand))
      this.#returnZero(this.#signs())
    })
    const rest = this.#distance
    f.set(this.sign, this.#signs())
    f.set(this.exponent,
      i32.add(i32.sub(exponentOf(a), exponentOf(b)), i32.const(BIAS - 1)))
    f.set(this.low, i64.const(0))
    f.set(this.kept, a.significand)
    f.if(i64.geU(a.significand, b.significand), () => {
      f.set(this.kept, i64.shrU(a.significand, i64.const(1)))
      f.set(this.low, i64.shl(a.significand, i64.const(63)))
      f.set(this.exponent, i32.add(this.exponent, i32.const(1)))
    })
    f.set(this.high, call(this.#needs.divide, this.kept, this.low, b.significand))
    f.set(rest, i64.sub(this.low, i64.mul(this.high, b.significand)))
    // What is left tells whether half a unit, less or more was cut off.
    const other = i64.sub(b.significand, rest)
    f.set(this.low, i64.extendU(i64.ne(rest, i64.const(0))))
    f.if(i64.geU(rest, other), () => f.set(this.low,
      i64.or(i64.extendU(i64.ne(rest, other)), i64.const(LEADING))))
  }
}

/** Builds the functions on numbers. */
export function buildX87Values(
  module: ModuleBuilder, mulHigh: FunctionReference, divide: FunctionReference,
): ValueParts {
  const build = (name: keyof ValueParts): FunctionReference => {
    const f = module.function(partSignatures[name])
    new Arithmetic(f, { mulHigh, divide }).write(name)
    return f
  }
  return {
    x87Sum: build('x87Sum'), x87Product: build('x87Product'), x87Quotient: build('x87Quotient'),
  }
}

const partOf = {
  add: 'x87Sum', sub: 'x87Sum', subr: 'x87Sum', mul: 'x87Product',
  div: 'x87Quotient', divr: 'x87Quotient',
} as const

/** Builds a STACK_OPERATION for an operation of two operands. */
export function buildX87Arithmetic(
  s: StackFunction, operation: X87Arithmetic, parts: ValueParts,
): void {
  const { f } = s
  const [a, b, result] = [wideLocals(f), wideLocals(f), wideLocals(f)]
  const at = f.local('i32')
  s.write(() => {
    s.requirePlain()
    f.set(at, s.target())
    s.requireFull(at)
    s.loadRegister(a, at)
    s.loadSource(b)
    const [first, second] = operation === 'subr' || operation === 'divr' ? [b, a] : [a, b]
    const isDifference = operation === 'sub' || operation === 'subr'
    const sign = isDifference ? i32.xor(second.signExponent, i32.const(SIGN))
      : second.signExponent
    f.setPair(result.significand, result.signExponent, parts[partOf[operation]],
      first.significand, first.signExponent, second.significand, sign)
    s.rejectOutcome(result.signExponent)
    s.setRegister(at, result.signExponent, result.significand)
    s.finish(s.statusAfter(result.signExponent))
  })
}

/** Builds (high, low, divisor) -> quotient of 128 by 64 bits, by halves; the divisor's top bit is
 * set, and `high` is below it (Knuth, TAOCP 2, 4.3.1, algorithm D). */
export function buildDivideNormalised(module: ModuleBuilder): FunctionReference {
  const f = module.function({ parameters: ['i64', 'i64', 'i64'], result: 'i64' })
  const [high, low, divisor] = f.parameters as [Local, Local, Local]
  const half = i64.const(32)
  const mask = i64.const(0xffff_ffffn)
  const quotient = f.local('i64')
  const rest = f.local('i64')
  const upper = f.local('i64')
  const digit = (next: Expression): void => {
    const top = i64.shrU(divisor, half)
    f.set(quotient, i64.divU(high, top))
    f.set(rest, i64.sub(high, i64.mul(quotient, top)))
    f.block((good) => f.loop((again) => {
      const tooLarge = i64.gtU(i64.mul(quotient, i64.and(divisor, mask)),
        i64.or(i64.shl(rest, half), next))
      f.brIf(good, i32.eqz(i32.or(i64.gtU(quotient, mask), tooLarge)))
      f.set(quotient, i64.sub(quotient, i64.const(1)))
      f.set(rest, i64.add(rest, top))
      f.brIf(again, i64.leU(rest, mask))
    }))
    f.set(high, i64.sub(i64.or(i64.shl(high, half), next), i64.mul(quotient, divisor)))
  }
  digit(i64.shrU(low, half))
  f.set(upper, i64.shl(quotient, half))
  digit(i64.and(low, mask))
  f.return(i64.add(upper, quotient))
  return f
}
