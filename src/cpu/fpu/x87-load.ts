/**
 * x87 loads: FLD and FILD.
 */
import { i32 } from '../../wasm/expression.ts'
import { isShape } from './x87-number.ts'
import { loadTags, type StackFunction, wideLocals } from './x87-state.ts'

/** Builds a STACK_OPERATION that pushes a register or a memory operand. */
export function buildX87Load(s: StackFunction): void {
  const { f } = s
  const value = wideLocals(f)
  const below = f.local('i32')
  s.write(() => {
    f.set(below, s.physical(i32.const(-16)))
    s.requireEmpty(below)
    f.if(isShape(s.form, 'st'), () => {
      s.requireFull(s.target())
      s.loadRegister(value, s.target())
    }, () => f.if(isShape(s.form, '80'), () => {
      f.set(value.signExponent, s.high)
      f.set(value.significand, s.low)
    }, () => s.loadMemory(value)))
    s.setRegister(below, value.signExponent, value.significand)
    s.setTags(i32.or(loadTags(), s.mark(below)))
    s.finish(s.withTop(s.statusWithoutC1(), below))
  })
}
