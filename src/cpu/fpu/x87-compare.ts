/**
 * x87 comparisons of numbers and infinities: FCOM, FUCOM, FCOMI, FICOM and their like, and FTST.
 */
import { i32, i64, select, type Expression } from '../../wasm/expression.ts'
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import { goesToFlags, isWithZero, takesInteger } from './x87-number.ts'
import { isShape, widenFloat, widenInteger } from './x87-operand.ts'
import {
  exponentOf, EXPONENT, isOrdinary, LEADING, SIGN, StackFunction, wideLocals, type Wide,
} from './x87-state.ts'

const CONDITIONS = 0x4700
/** C0 is for less, C3 for equal; in the flags CF and ZF are. */
const LESS = 0x100
const EQUAL = 0x4000
const CF = 1
const ZF = 0x40

function isNumber(wide: Wide): Expression {
  const isInfinite = i32.and(i32.eq(exponentOf(wide), i32.const(EXPONENT)),
    i64.eq(wide.significand, i64.const(LEADING)))
  return i32.or(isOrdinary(wide), isInfinite)
}

/** Builds a STACK_OPERATION that compares, and yields the flags where they are wanted. */
export function buildX87Compare(
  module: ModuleBuilder, signature: Signature, exact: FunctionReference,
): FunctionReference {
  const f = module.function(signature)
  const s = new StackFunction(f, exact)
  const a = wideLocals(f)
  const b = wideLocals(f)
  const less = f.local('i32')
  const equal = f.local('i32')
  s.write(() => {
    s.requireMasked()
    s.requireFull(s.top)
    f.set(a.signExponent, s.signExponent(s.top))
    f.set(a.significand, s.significand(s.top))
    const isOnStack = i32.or(isShape(s, 'st st'), isShape(s, ''))
    f.if(i32.and(isOnStack, i32.eqz(isWithZero(s.index))), () => {
      s.requireFull(s.source())
      f.set(b.signExponent, s.signExponent(s.source()))
      f.set(b.significand, s.significand(s.source()))
    }, () => f.if(i32.eqz(isWithZero(s.index)), () =>
      f.if(takesInteger(s.index), () => widenInteger(s, b), () => widenFloat(s, b))))
    s.reject(i32.eqz(i32.and(isNumber(a), isNumber(b))))
    const sameExponent = i32.eq(exponentOf(a), exponentOf(b))
    const sameSize = i32.and(sameExponent, i64.eq(a.significand, b.significand))
    const smaller = i32.or(i32.ltU(exponentOf(a), exponentOf(b)),
      i32.and(sameExponent, i64.ltU(a.significand, b.significand)))
    const isNegative = i32.ne(i32.and(a.signExponent, i32.const(SIGN)), i32.const(0))
    const signsDiffer = i32.and(i32.xor(a.signExponent, b.signExponent), i32.const(SIGN))
    const bothZero = i64.eqz(i64.or(a.significand, b.significand))
    f.set(equal, i32.or(bothZero, i32.and(sameSize, i32.eqz(signsDiffer))))
    f.set(less, i32.and(i32.eqz(equal),
      select(isNegative, i32.xor(smaller, isNegative), signsDiffer)))
    f.if(goesToFlags(s.index), () => s.finish(s.status, i64.extendU(
      i32.or(i32.mul(less, i32.const(CF)), i32.mul(equal, i32.const(ZF))))))
    const found = i32.or(i32.mul(less, i32.const(LESS)), i32.mul(equal, i32.const(EQUAL)))
    s.finish(i32.or(i32.and(s.status, i32.const(0xffff & ~CONDITIONS)), found))
  })
  return f
}
