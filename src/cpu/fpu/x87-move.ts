/**
 * x87 operations that only move: exchanges, signs, stores to registers, conditional moves, and the
 * top of the stack.
 */
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import { Move, moveOf } from './x87-number.ts'
import { EXPONENT, loadTags, SIGN, type StackFunction, wideLocals } from './x87-state.ts'

/** Builds a STACK_OPERATION that exchanges the top with another register. */
export function buildX87Exchange(s: StackFunction): void {
  const { f } = s
  const value = wideLocals(f)
  const other = f.local('i32')
  s.write(() => {
    f.set(other, s.target())
    s.requireFull(s.top)
    s.requireFull(other)
    s.loadRegister(value, s.top)
    s.setRegister(s.top, s.signExponent(other), s.significand(other))
    s.setRegister(other, value.signExponent, value.significand)
    s.finish(s.statusWithoutC1())
  })
}

/** Builds a STACK_OPERATION that moves. */
export function buildX87Move(s: StackFunction): void {
  const { f } = s
  const plain = (): Expression => s.statusWithoutC1()
  const copy = (to: Expression, from: Expression): void =>
    s.setRegister(to, s.signExponent(from), s.significand(from))
  const onTop = (sign: Expression): void => {
    s.requireFull(s.top)
    s.setRegister(s.top, sign, s.significand(s.top))
    s.finish(plain())
  }
  const turn = (by: number): void => s.finish(s.withTop(plain(), i32.add(s.top, i32.const(by))))
  const cases: Readonly<Record<number, () => void>> = {
    [Move.NEGATE]: () => onTop(i32.xor(s.signExponent(s.top), i32.const(SIGN))),
    [Move.ABSOLUTE]: () => onTop(i32.and(s.signExponent(s.top), i32.const(EXPONENT))),
    [Move.STORE]: () => {
      s.requireFull(s.top)
      copy(s.target(), s.top)
      s.setTags(i32.or(loadTags(), s.mark(s.target())))
      s.finish(plain())
    },
    [Move.CONDITIONAL]: () => {
      s.requireFull(s.top)
      s.requireFull(s.source())
      f.if(i32.eqz(i64.eqz(s.low)), () => copy(s.top, s.source()))
      f.return(i64.const(0))
    },
    [Move.FREE]: () => {
      s.setTags(i32.and(loadTags(), i32.xor(s.mark(s.target()), i32.const(-1))))
      s.finish(plain())
    },
    [Move.UP]: () => turn(16),
    [Move.DOWN]: () => turn(-16),
  }
  s.write(() => f.switch(moveOf(s.index), Object.values(cases), () => f.unreachable()))
}
