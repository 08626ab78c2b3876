/**
 * Memory operands of x87 operations as 80-bit numbers: singles, doubles and integers that are
 * ordinary.
 */
import { shapes } from '../../isa/x87/form.ts'
import { f32, f64, i32, i64, type Expression } from '../../wasm/expression.ts'
import { BIAS, LEADING, SIGN, type StackFunction, type Wide } from './x87-state.ts'

const SHAPE_MASK = 7
const DOUBLE_BIAS = 1023
const shape = (name: typeof shapes[number]): number => shapes.indexOf(name)

export function isShape(s: StackFunction, name: typeof shapes[number]): Expression {
  return i32.eq(i32.and(s.form, i32.const(SHAPE_MASK)), i32.const(shape(name)))
}

/** A double, in `s.low`'s form, to `into`; NaNs and denormals are rejected. */
function widen(s: StackFunction, bits: Expression, into: Wide): void {
  const { f } = s
  const sign = i32.and(i32.wrap(i64.shrU(bits, i64.const(48))), i32.const(SIGN))
  const exponent = i32.and(i32.wrap(i64.shrU(bits, i64.const(52))), i32.const(0x7ff))
  const fraction = i64.shl(bits, i64.const(11))
  f.set(into.significand, i64.or(fraction, i64.const(LEADING)))
  f.set(into.signExponent, exponent)
  f.if(i32.geU(i32.sub(into.signExponent, i32.const(1)), i32.const(0x7fe)), () => {
    // A zero or an infinity has no fraction; the leading bit stands where the exponent's was.
    s.reject(i64.ne(i64.shl(bits, i64.const(12)), i64.const(0)))
    f.if(into.signExponent, () => f.set(into.signExponent, i32.const(0x7fff - BIAS + DOUBLE_BIAS)),
      () => {
        f.set(into.significand, i64.const(0))
        f.set(into.signExponent, i32.const(DOUBLE_BIAS - BIAS))
      })
  })
  f.set(into.signExponent,
    i32.or(i32.add(into.signExponent, i32.const(BIAS - DOUBLE_BIAS)), sign))
}

/** Loads a floating-point operand of 32 or 64 bits. */
export function widenFloat(s: StackFunction, into: Wide): void {
  const { f } = s
  const bits = f.local('i64')
  f.set(bits, s.low)
  f.if(isShape(s, '32'), () => {
    const twice = i32.shl(i32.wrap(s.low), i32.const(1))
    s.reject(i32.eqz(i32.shrU(i32.sub(twice, i32.const(1)), i32.const(24))))
    f.set(bits, i64.reinterpret(f64.promote(f32.reinterpret(i32.wrap(s.low)))))
  })
  widen(s, bits, into)
}

/** Loads an integer operand of 16, 32 or 64 bits. */
export function widenInteger(s: StackFunction, into: Wide): void {
  const { f } = s
  const value = f.local('i64')
  f.set(value, s.low)
  f.if(isShape(s, '16'), () => f.set(value, i64.extend16(s.low)))
  f.if(isShape(s, '32'), () => f.set(value, i64.extend32(s.low)))
  const zeros = i64.clz(value)
  f.set(into.signExponent, i32.const(0))
  f.if(i64.ltS(value, i64.const(0)), () => {
    f.set(into.signExponent, i32.const(SIGN))
    f.set(value, i64.sub(i64.const(0), value))
  })
  f.set(into.significand, i64.shl(value, zeros))
  f.if(i32.eqz(i64.eqz(value)), () => f.set(into.signExponent, i32.or(into.signExponent,
    i32.sub(i32.const(BIAS + 63), i32.wrap(zeros)))))
}
