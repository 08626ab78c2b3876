/**
 * x87 sums, products and quotients of ordinary numbers, rounded to nearest by the precision that
 * the control word asks for (Intel SDM 1, 8.1.5.2). What is unusual, or leaves the range of normal
 * numbers, is the exact routine's.
 *
 * A result comes as 128 bits, the leading one at the top; the lowest bit stands for all that was
 * shifted out.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { partSignatures } from '../interpreter/parts.ts'
import {
  areNormal, BIAS, exponentOf, EXPONENT, isOrdinary, isZero, LEADING, loadControl, SIGN,
  StackFunction, wideLocals, type Wide,
} from './x87-state.ts'
import { outcomeOf, ValueFunction } from './x87-value.ts'

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

/** What a shift right by less than 64 drops, at the top of 64 bits. */
function shiftedOut(value: Expression, shift: Expression): Expression {
  return i64.shl(i64.shl(value, i64.const(1)), i64.sub(i64.const(63), shift))
}

/** Which way data goes is as good as random, so what depends on it is computed without branches. */
class Arithmetic {
  readonly s: ValueFunction
  readonly f: FunctionBuilder
  readonly #needs: ArithmeticNeeds
  readonly #a: Wide
  readonly #b: Wide
  readonly #sign: Local
  readonly #exponent: Local
  readonly #high: Local
  readonly #low: Local
  readonly #distance: Local
  readonly #drop: Local
  readonly #up: Local
  readonly #kept: Local

  constructor(f: FunctionBuilder, needs: ArithmeticNeeds) {
    const [a, signA, b, signB] = f.parameters as [Local, Local, Local, Local]
    this.s = new ValueFunction(f)
    this.f = f
    this.#needs = needs
    this.#a = { significand: a, signExponent: signA }
    this.#b = { significand: b, signExponent: signB }
    this.#sign = f.local('i32')
    this.#exponent = f.local('i32')
    this.#high = f.local('i64')
    this.#low = f.local('i64')
    this.#distance = f.local('i64')
    this.#drop = f.local('i64')
    this.#up = f.local('i32')
    this.#kept = f.local('i64')
  }

  write(operation: keyof ValueParts): void {
    const { s, f } = this
    s.write(() => {
      f.ifUnlikely(i32.eqz(areNormal(this.#a, this.#b)),
        () => s.reject(i32.eqz(i32.and(isOrdinary(this.#a), isOrdinary(this.#b)))))
      switch (operation) {
        case 'x87Product': this.#multiply(); break
        case 'x87Quotient': this.#divide(); break
        default: this.#add()
      }
      this.#round()
      f.returnPair(this.#high, outcomeOf(i32.or(this.#sign, this.#exponent),
        i64.ne(this.#low, i64.const(0)), this.#up))
    })
  }

  /** Sets the result to a zero or an operand that need not be computed. */
  #be(sign: Expression, exponent: Expression, significand: Expression): void {
    const { f } = this
    f.set(this.#sign, sign)
    f.set(this.#exponent, exponent)
    f.set(this.#high, significand)
    f.set(this.#low, i64.const(0))
  }

  #signs(): Expression {
    return i32.and(i32.xor(this.#a.signExponent, this.#b.signExponent), i32.const(SIGN))
  }

  #add(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    // The larger magnitude first; zeros have the smallest exponent.
    const smaller = i32.or(i32.ltU(exponentOf(a), exponentOf(b)), i32.and(
      i32.eq(exponentOf(a), exponentOf(b)), i64.ltU(a.significand, b.significand)))
    f.set(this.#up, smaller)
    f.set(this.#exponent, a.signExponent)
    f.set(a.signExponent, select(b.signExponent, a.signExponent, this.#up))
    f.set(b.signExponent, select(this.#exponent, b.signExponent, this.#up))
    f.set(this.#high, a.significand)
    f.set(a.significand, select(b.significand, a.significand, this.#up))
    f.set(b.significand, select(this.#high, b.significand, this.#up))
    this.#be(i32.and(a.signExponent, i32.const(SIGN)), exponentOf(a), a.significand)
    f.if(i64.eqz(b.significand), () => {
      // Zeros of both signs make the positive one.
      f.if(isZero(a), () => f.set(this.#sign,
        i32.and(i32.and(a.signExponent, b.signExponent), i32.const(SIGN))))
    }, () => this.#addAligned())
  }

  #addAligned(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    f.set(this.#distance, i64.extendU(i32.sub(exponentOf(a), exponentOf(b))))
    this.#align()
    f.if(this.#signs(), () => {
      f.set(this.#low, i64.sub(i64.const(0), this.#low))
      f.set(this.#high, i64.sub(i64.sub(a.significand, this.#kept),
        i64.extendU(i64.ne(this.#low, i64.const(0)))))
      this.#normalise()
    }, () => {
      const carry = this.#kept
      f.set(this.#high, i64.add(a.significand, this.#kept))
      f.set(carry, i64.extendU(i64.ltU(this.#high, a.significand)))
      const lost = i64.and(this.#low, carry)
      f.set(this.#low, i64.or(i64.or(i64.shrU(this.#low, carry), lost),
        i64.shl(i64.and(this.#high, carry), i64.const(63))))
      f.set(this.#high, i64.or(i64.shrU(this.#high, carry), i64.shl(carry, i64.const(63))))
      f.set(this.#exponent, i32.add(this.#exponent, i32.wrap(carry)))
    })
  }

  /** The second operand, shifted right by the distance: into kept and low. */
  #align(): void {
    const { f } = this
    const value = this.#b.significand
    const distance = this.#distance
    f.set(this.#kept, i64.const(0))
    f.if(i64.ltU(distance, i64.const(64)), () => {
      f.set(this.#kept, i64.shrU(value, distance))
      f.set(this.#low, shiftedOut(value, distance))
    }, () => {
      f.set(this.#low, value)
      f.if(i64.gtU(distance, i64.const(64)), () => {
        f.set(this.#low, i64.const(1))
        f.if(i64.ltU(distance, i64.const(128)), () => {
          const lost = i64.ne(i64.shl(value, i64.sub(i64.const(0), distance)), i64.const(0))
          f.set(this.#low, i64.or(i64.shrU(value, distance), i64.extendU(lost)))
        })
      })
    })
  }

  #normalise(): void {
    const { f } = this
    f.if(i64.eqz(this.#high), () => {
      f.set(this.#high, this.#low)
      f.set(this.#low, i64.const(0))
      f.set(this.#exponent, i32.sub(this.#exponent, i32.const(64)))
    })
    f.if(i64.eqz(this.#high), () => this.#be(i32.const(0), i32.const(0), i64.const(0)), () => {
      const shift = this.#distance
      f.set(shift, i64.clz(this.#high))
      this.#shiftLeft(shift)
      // Below the normal range the exponent must not look like a zero's.
      this.s.reject(i32.leS(this.#exponent, i32.const(0)))
    })
  }

  /** Shifts the result left by less than 64. */
  #shiftLeft(shift: Local): void {
    const { f } = this
    const moved = i64.shrU(i64.shrU(this.#low, i64.const(1)), i64.sub(i64.const(63), shift))
    f.set(this.#high, i64.or(i64.shl(this.#high, shift), moved))
    f.set(this.#low, i64.shl(this.#low, shift))
    f.set(this.#exponent, i32.sub(this.#exponent, i32.wrap(shift)))
  }

  #multiply(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    this.#be(this.#signs(), i32.const(0), i64.const(0))
    f.if(i32.eqz(i32.or(i64.eqz(a.significand), i64.eqz(b.significand))), () => {
      f.set(this.#high, call(this.#needs.mulHigh, a.significand, b.significand))
      f.set(this.#low, i64.mul(a.significand, b.significand))
      f.set(this.#exponent,
        i32.sub(i32.add(exponentOf(a), exponentOf(b)), i32.const(BIAS - 1)))
      f.set(this.#distance, i64.extendU(i64.geS(this.#high, i64.const(0))))
      this.#shiftLeft(this.#distance)
      this.s.reject(i32.leS(this.#exponent, i32.const(0)))
    })
  }

  #divide(): void {
    const { f } = this
    const [a, b] = [this.#a, this.#b]
    this.s.reject(i64.eqz(b.significand))
    this.#be(this.#signs(), i32.const(0), i64.const(0))
    f.if(i32.eqz(i64.eqz(a.significand)), () => {
      const rest = this.#distance
      f.set(this.#exponent,
        i32.add(i32.sub(exponentOf(a), exponentOf(b)), i32.const(BIAS - 1)))
      f.set(this.#kept, a.significand)
      f.if(i64.geU(a.significand, b.significand), () => {
        f.set(this.#kept, i64.shrU(a.significand, i64.const(1)))
        f.set(this.#low, i64.shl(a.significand, i64.const(63)))
        f.set(this.#exponent, i32.add(this.#exponent, i32.const(1)))
      })
      f.set(this.#high, call(this.#needs.divide, this.#kept, this.#low, b.significand))
      f.set(rest, i64.sub(this.#low, i64.mul(this.#high, b.significand)))
      // What is left tells whether half a unit, less or more was cut off.
      const other = i64.sub(b.significand, rest)
      f.set(this.#low, i64.extendU(i64.ne(rest, i64.const(0))))
      f.if(i64.geU(rest, other), () => f.set(this.#low,
        i64.or(i64.extendU(i64.ne(rest, other)), i64.const(LEADING))))
      this.s.reject(i32.leS(this.#exponent, i32.const(0)))
    })
  }

  /** Rounds `high` by what is in `low`, and by the precision control; leaves up. */
  #round(): void {
    const { f } = this
    const [high, low, drop, unit] = [this.#high, this.#low, this.#drop, this.#kept]
    const control = i32.and(i32.shrU(loadControl(), i32.const(8)), i32.const(3))
    f.set(unit, i64.const(1))
    f.if(i32.eqz(i32.and(control, i32.const(1))), () => {
      f.set(drop, i64.const(40))
      f.if(control, () => f.set(drop, i64.const(11)))
      const above = i64.sub(i64.const(0), drop)
      const lost = i64.extendU(i64.ne(i64.shl(low, above), i64.const(0)))
      f.set(low, i64.or(i64.or(i64.shl(high, above), i64.shrU(low, drop)), lost))
      f.set(high, i64.shl(i64.shrU(high, drop), drop))
      f.set(unit, i64.shl(unit, drop))
    })
    const isHalf = i64.eq(low, i64.const(LEADING))
    const isOdd = i64.ne(i64.and(high, unit), i64.const(0))
    f.set(this.#up, i32.or(i64.gtU(low, i64.const(LEADING)), i32.and(isHalf, isOdd)))
    f.set(high, i64.add(high, i64.and(unit, i64.sub(i64.const(0), i64.extendU(this.#up)))))
    f.ifUnlikely(i32.and(i64.eqz(high), this.#up), () => {
      f.set(high, i64.const(LEADING))
      f.set(this.#exponent, i32.add(this.#exponent, i32.const(1)))
    })
    this.s.reject(i32.geS(this.#exponent, i32.const(EXPONENT)))
  }
}

/** Builds the functions on numbers. */
export function buildX87Values(module: ModuleBuilder, mulHigh: FunctionReference): ValueParts {
  const divide = buildDivideNormalised(module)
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
function buildDivideNormalised(module: ModuleBuilder): FunctionReference {
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
