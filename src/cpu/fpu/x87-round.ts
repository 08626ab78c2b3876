/**
 * Rounding of x87 results to nearest, by the precision that the control word asks for (Intel SDM 1,
 * 8.1.5.2).
 *
 * A result comes as 128 bits, the leading one at the top; the lowest bit stands for all that was
 * shifted out.
 */
import { i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { EXPONENT, LEADING, loadControl } from './x87-state.ts'
import { outcomeOf, ValueFunction } from './x87-value.ts'

/** Bits of the precision control; reserved 01 counts as extended. */
const EXTENDED = 0x100
const DOUBLE = 0x200

/** A function on numbers whose result is rounded. */
export class RoundedFunction {
  readonly s: ValueFunction
  readonly f: FunctionBuilder
  readonly sign: Local
  readonly exponent: Local
  readonly high: Local
  readonly low: Local
  /** Scratch space of others until it is rounded. */
  readonly kept: Local
  readonly up: Local
  readonly #drop: Local

  constructor(f: FunctionBuilder) {
    this.s = new ValueFunction(f)
    this.f = f
    this.sign = f.local('i32')
    this.exponent = f.local('i32')
    this.high = f.local('i64')
    this.low = f.local('i64')
    this.kept = f.local('i64')
    this.up = f.local('i32')
    this.#drop = f.local('i64')
  }

  /** Returns the result, rounded. */
  returnRounded(): void {
    this.#round()
    this.f.returnPair(this.high, outcomeOf(i32.or(this.sign, this.exponent),
      i64.ne(this.low, i64.const(0)), this.up))
  }

  /** Rounds `high` by what is in `low`, and by the precision control; leaves up. */
  #round(): void {
    const { f } = this
    const [high, low, drop, unit] = [this.high, this.low, this.#drop, this.kept]
    const isUp = (lowest: Expression): Expression =>
      i64.gtU(low, i64.sub(i64.const(LEADING), lowest))
    f.ifUnlikely(i32.eqz(i32.and(loadControl(), i32.const(EXTENDED))), () => {
      f.set(drop, select(i64.const(11), i64.const(40),
        i32.and(loadControl(), i32.const(DOUBLE))))
      const above = i64.sub(i64.const(0), drop)
      const lost = i64.extendU(i64.ne(i64.shl(low, above), i64.const(0)))
      f.set(low, i64.or(i64.or(i64.shl(high, above), i64.shrU(low, drop)), lost))
      f.set(unit, i64.shrU(high, drop))
      f.set(this.up, isUp(i64.and(unit, i64.const(1))))
      f.set(high, i64.shl(i64.add(unit, i64.extendU(this.up)), drop))
    }, () => {
      f.set(this.up, isUp(i64.and(high, i64.const(1))))
      f.set(high, i64.add(high, i64.extendU(this.up)))
    })
    f.ifUnlikely(i64.eqz(high), () => {
      f.set(high, i64.const(LEADING))
      f.set(this.exponent, i32.add(this.exponent, i32.const(1)))
      this.s.reject(i32.eq(this.exponent, i32.const(EXPONENT)))
    })
  }
}
