/**
 * x87 comparisons of numbers and infinities: FCOM, FUCOM, FCOMI, FICOM and their like, and FTST.
 */
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { goesToFlags, isShape, isWithZero } from './x87-number.ts'
import {
  exponentOf, EXPONENT, isOrdinary, LEADING, SIGN, type StackFunction, wideLocals, type Wide,
} from './x87-state.ts'
import { REJECTED } from './x87-value.ts'

const CONDITIONS = 0x4700
const [C0, C1, C2, C3] = [0x100, 0x200, 0x400, 0x4000]
/** C0 is for less, C3 for equal; CF and ZF are in the flags, so many bits below. */
const CONDITION_SHIFT = 8
const CF = 1
const ZF = 0x40

function isNumber(wide: Wide): Expression {
  const isInfinite = i32.and(i32.eq(exponentOf(wide), i32.const(EXPONENT)),
    i64.eq(wide.significand, i64.const(LEADING)))
  return i32.or(isOrdinary(wide), isInfinite)
}

/** A status word after a comparison that does not go to the flags. */
export function statusAfterOrder(status: Expression, order: Expression): Expression {
  return statusWithCodes(status, i32.shl(order, i32.const(CONDITION_SHIFT)))
}

/** Builds the part x87Order. */
export function buildX87Order(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Order)
  const [aSignificand, aSign, bSignificand, bSign] = f.parameters as [Local, Local, Local, Local]
  const a: Wide = { significand: aSignificand, signExponent: aSign }
  const b: Wide = { significand: bSignificand, signExponent: bSign }
  const less = f.local('i32')
  const equal = f.local('i32')
  f.ifUnlikely(i32.eqz(i32.and(isNumber(a), isNumber(b))), () => f.return(i32.const(REJECTED)))
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
  f.return(i32.or(i32.mul(less, i32.const(CF)), i32.mul(equal, i32.const(ZF))))
  return f
}

/** Builds the part x87Class: what FXAM says of a number, as condition codes. */
export function buildX87Class(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Class)
  const [significand, signExponent] = f.parameters as [Local, Local]
  const wide = { significand, signExponent }
  const sign = f.local('i32')
  const isNegative = i32.and(signExponent, i32.const(SIGN))
  f.set(sign, select(i32.const(C1), i32.const(0), isNegative))
  const says = (codes: number): void => f.return(i32.or(sign, i32.const(codes)))
  f.if(i32.eqz(exponentOf(wide)), () => {
    f.if(i64.eqz(significand), () => says(C3))
    says(C3 | C2)
  })
  f.if(i64.geS(significand, i64.const(0)), () => says(0))
  f.if(i32.ne(exponentOf(wide), i32.const(EXPONENT)), () => says(C2))
  f.if(i64.eq(significand, i64.const(LEADING)), () => says(C2 | C0))
  says(C0)
  return f
}

/** A status word with other condition codes. */
export function statusWithCodes(status: Expression, codes: Expression): Expression {
  return i32.or(i32.and(status, i32.const(0xffff & ~CONDITIONS)), codes)
}

/** Builds a STACK_OPERATION that says of which class ST is. */
export function buildX87Xam(s: StackFunction, classOf: FunctionReference): void {
  s.write(() => {
    s.requireFull(s.top)
    s.finish(statusWithCodes(s.status,
      call(classOf, s.significand(s.top), s.signExponent(s.top))))
  })
}

/** Builds a STACK_OPERATION that compares, and yields the flags where they are wanted. */
export function buildX87Compare(s: StackFunction, order: FunctionReference): void {
  const { f } = s
  const a = wideLocals(f)
  const b = wideLocals(f)
  const found = f.local('i32')
  s.write(() => {
    s.requireMasked()
    s.requireFull(s.top)
    s.loadRegister(a, s.top)
    f.if(i32.eqz(isWithZero(s.index)), () => {
      f.if(isShape(s.form, ''), () => {
        s.requireFull(s.source())
        s.loadRegister(b, s.source())
      }, () => s.loadSource(b))
    })
    f.set(found, call(order, a.significand, a.signExponent, b.significand, b.signExponent))
    s.rejectOutcome(found)
    f.if(goesToFlags(s.index), () => s.finish(s.status, i64.extendU(found)))
    s.finish(statusAfterOrder(s.status, found))
  })
}
