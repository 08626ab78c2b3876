/**
 * x87 stores to memory: FST, FSTP, FIST, FISTP and FISTTP of numbers that fit.
 *
 * The function yields the bits; what it would change in the unit is left in coreMap.x87Result until
 * the store has not faulted.
 */
import { i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { CpuContext } from '../state.ts'
import { isShape, takesInteger, truncates } from './x87-number.ts'
import {
  BIAS, exponentOf, isOrdinary, isZero, LEADING, loadControl, loadTags, SIGN,
  type StackFunction, wideLocals, type Wide,
} from './x87-state.ts'
import { outcomeOf, ValueFunction } from './x87-value.ts'

const CORE = 0
const Z = i32.const(0)
const at = CpuContext.offsets
const result = coreMap.x87Result
const TRUNCATE = 3

/** Builds () -> (): status word and tags become what the store waited with. */
export function buildX87Commit(module: ModuleBuilder): FunctionReference {
  const f = module.function({ parameters: [] })
  f.store('i32As16', CORE, Z, i32.load16U(CORE, Z, result), at.x87Status)
  f.store('i32As8', CORE, Z, i32.load16U(CORE, Z, result + 2), at.x87Tags)
  return f
}

/** A number as the bits of a memory operand. */
class Narrow {
  readonly #s: ValueFunction
  readonly #f: FunctionBuilder
  readonly #form: Local
  readonly #index: Local
  readonly #value: Wide
  /** What is kept of the significand, and what is cut off, from the top of 64 bits. */
  readonly #kept: Local
  readonly #rest: Local
  readonly #exponent: Local
  readonly #mode: Local
  readonly #up: Local

  constructor(f: FunctionBuilder) {
    const [form, index, significand, signExponent] =
      f.parameters as [Local, Local, Local, Local]
    this.#f = f
    this.#s = new ValueFunction(f)
    this.#form = form
    this.#index = index
    this.#value = { significand, signExponent }
    this.#kept = f.local('i64')
    this.#rest = f.local('i64')
    this.#exponent = f.local('i32')
    this.#mode = f.local('i32')
    this.#up = f.local('i32')
  }

  write(): void {
    const s = this.#s
    const f = this.#f
    s.write(() => {
      s.reject(i32.eqz(isOrdinary(this.#value)))
      f.set(this.#mode, i32.and(i32.shrU(loadControl(), i32.const(10)), i32.const(3)))
      f.if(takesInteger(this.#index), () => this.#toInteger())
      f.if(isShape(this.#form, '64'), () => this.#narrow(11, 1023))
      this.#narrow(40, 127)
    })
  }

  #isNegative(): Expression {
    return i32.and(this.#value.signExponent, i32.const(SIGN))
  }

  /** Rounds `kept` by `rest` and the mode. */
  #round(): void {
    const f = this.#f
    const half = i64.const(LEADING)
    const odd = i32.wrap(i64.and(this.#kept, i64.const(1)))
    const nearest = i32.or(i64.gtU(this.#rest, half), i32.and(i64.eq(this.#rest, half), odd))
    // Modes 1 and 2 go down and up, away from zero for one of the signs.
    const sign = i32.shrU(this.#isNegative(), i32.const(15))
    const away = i32.eq(this.#mode, i32.sub(i32.const(2), sign))
    const isInexact = i64.ne(this.#rest, i64.const(0))
    f.set(this.#up, select(nearest, i32.and(away, isInexact), i32.eqz(this.#mode)))
    f.set(this.#kept, i64.add(this.#kept, i64.extendU(this.#up)))
  }

  /** To a format whose significand has `drop` bits less, and the leading one not written. */
  #narrow(drop: number, bias: number): void {
    const f = this.#f
    const { significand } = this.#value
    const fraction = 63 - drop
    const width = drop === 11 ? 64 : 32
    f.set(this.#exponent, i32.sub(exponentOf(this.#value), i32.const(BIAS - bias)))
    f.if(isZero(this.#value), () => f.set(this.#exponent, i32.const(0)), () => {
      this.#s.reject(i32.leS(this.#exponent, i32.const(0)))
      f.set(this.#kept, i64.shrU(significand, i64.const(drop)))
      f.set(this.#rest, i64.shl(significand, i64.const(64 - drop)))
      this.#round()
      // A carry out of the significand makes it the next exponent's.
      f.set(this.#kept, i64.sub(this.#kept, i64.const(1n << BigInt(fraction))))
      this.#s.reject(i32.geS(i32.add(this.#exponent,
        i32.wrap(i64.shrU(this.#kept, i64.const(fraction)))), i32.const(2 * bias + 1)))
    })
    const sign = i64.shl(i64.extendU(this.#isNegative()), i64.const(width - 16))
    this.#finish(i64.or(sign, i64.add(this.#kept,
      i64.shl(i64.extendU(this.#exponent), i64.const(fraction)))))
  }

  #toInteger(): void {
    const f = this.#f
    const { significand } = this.#value
    const shift = this.#exponent
    f.if(truncates(this.#index), () => f.set(this.#mode, i32.const(TRUNCATE)))
    f.if(i32.eqz(isZero(this.#value)), () => {
      f.set(shift, i32.sub(i32.const(BIAS + 63), exponentOf(this.#value)))
      this.#s.reject(i32.leS(shift, i32.const(0)))
      const count = i64.extendU(shift)
      f.if(i32.ltU(shift, i32.const(64)), () => {
        f.set(this.#kept, i64.shrU(significand, count))
        f.set(this.#rest, i64.shl(significand, i64.sub(i64.const(0), count)))
      }, () => f.set(this.#rest,
        select(significand, i64.const(1), i32.eq(shift, i32.const(64)))))
      this.#round()
    })
    const limit = select(i64.const(1n << 15n), select(i64.const(1n << 31n), i64.const(LEADING),
      isShape(this.#form, '32')), isShape(this.#form, '16'))
    this.#s.reject(i64.geU(this.#kept, limit))
    f.if(this.#isNegative(), () => f.set(this.#kept, i64.sub(i64.const(0), this.#kept)))
    this.#finish(this.#kept)
  }

  #finish(bits: Expression): void {
    this.#f.returnPair(bits,
      outcomeOf(i32.const(0), i64.ne(this.#rest, i64.const(0)), this.#up))
  }
}

/** Builds the part x87Narrow. */
export function buildX87Narrow(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Narrow)
  new Narrow(f).write()
  return f
}

/** Builds a STACK_OPERATION that stores the top of the stack in memory. */
export function buildX87Store(s: StackFunction, narrow: FunctionReference): void {
  const { f } = s
  const value = wideLocals(f)
  const [outcome, tags] = [f.local('i32'), f.local('i32')]
  s.write(() => {
    s.requireMasked()
    s.requireFull(s.top)
    s.loadRegister(value, s.top)
    f.if(isShape(s.form, '80'), () => {
      f.store('i32', CORE, Z, value.signExponent, result + 4)
    }, () => {
      f.setPair(value.significand, outcome, narrow,
        s.form, s.index, value.significand, value.signExponent)
      s.rejectOutcome(outcome)
    })
    f.set(s.status, s.statusAfter(outcome))
    f.set(tags, loadTags())
    f.if(s.pops(), () => {
      f.set(s.status, s.withTop(s.status, i32.add(s.top, i32.const(16))))
      f.set(tags, i32.and(tags, i32.xor(s.mark(s.top), i32.const(-1))))
    })
    f.store('i32As16', CORE, Z, s.status, result)
    f.store('i32As16', CORE, Z, tags, result + 2)
    f.store('i32', CORE, Z, i32.const(1), result + 8)
    f.return(value.significand)
  })
}
