/**
 * Functions on x87 numbers that are values, not registers: what those on the stack (x87-state.ts)
 * and compiled regions, which keep the stack in locals, have in common.
 *
 * Their second result is an *outcome*: sign and exponent of a number in the low half, above it what
 * the status word gets, PE and C1 at their places there; or REJECTED.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'

/** The operation is up to the exact routine. */
export const REJECTED = -(2 ** 31)

const C1 = 0x200
const INEXACT = 0x20
const STATUS_SHIFT = 16

/** The outcome of a result: how it was rounded are booleans. */
export function outcomeOf(signExponent: Expression, inexact: Expression, up: Expression) {
  return i32.or(signExponent, i32.or(i32.mul(inexact, i32.const(INEXACT << STATUS_SHIFT)),
    i32.mul(up, i32.const(C1 << STATUS_SHIFT))))
}

export function isRejected(outcome: Expression): Expression {
  return i32.ltS(outcome, i32.const(0))
}

export function signExponentOf(outcome: Expression): Expression {
  return i32.and(outcome, i32.const(0xffff))
}

/** A status word after an operation with an outcome. */
export function statusAfter(status: Expression, outcome: Expression): Expression {
  return i32.or(i32.and(status, i32.const(0xffff & ~C1)),
    i32.shrU(outcome, i32.const(STATUS_SHIFT)))
}

/** The same after one that does not round. */
export function statusWithoutC1(status: Expression): Expression {
  return i32.and(status, i32.const(0xffff & ~C1))
}

/** A function of two results, the second of which is an outcome. */
export class ValueFunction {
  readonly f: FunctionBuilder
  #slow!: Label

  constructor(f: FunctionBuilder) {
    this.f = f
  }

  /** Writes `body`, which returns, or rejects. */
  write(body: () => void): void {
    this.f.block((slow) => {
      this.#slow = slow
      body()
    })
    this.f.returnPair(i64.const(0), i32.const(REJECTED))
  }

  reject(condition: Expression): void {
    this.f.brUnlikely(this.#slow, condition)
  }
}
