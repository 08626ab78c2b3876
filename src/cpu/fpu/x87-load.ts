/**
 * x87 loads: FLD and FILD.
 */
import { i32 } from '../../wasm/expression.ts'
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import { takesInteger } from './x87-number.ts'
import { isShape, widenFloat, widenInteger } from './x87-operand.ts'
import { loadTags, StackFunction, wideLocals } from './x87-state.ts'

/** Builds a STACK_OPERATION that pushes a register or a memory operand. */
export function buildX87Load(
  module: ModuleBuilder, signature: Signature, exact: FunctionReference,
): FunctionReference {
  const f = module.function(signature)
  const s = new StackFunction(f, exact)
  const value = wideLocals(f)
  const below = f.local('i32')
  s.write(() => {
    f.set(below, s.physical(i32.const(-16)))
    s.requireEmpty(below)
    f.if(isShape(s, 'st'), () => {
      s.requireFull(s.target())
      f.set(value.signExponent, s.signExponent(s.target()))
      f.set(value.significand, s.significand(s.target()))
    }, () => f.if(isShape(s, '80'), () => {
      f.set(value.signExponent, s.high)
      f.set(value.significand, s.low)
    }, () => f.if(takesInteger(s.index),
      () => widenInteger(s, value), () => widenFloat(s, value))))
    s.setRegister(below, value.signExponent, value.significand)
    s.setTags(i32.or(loadTags(), s.mark(below)))
    s.finish(s.withTop(s.statusWith(i32.const(0), i32.const(0)), below))
  })
  return f
}
