/**
 * Memory operands of x87 operations as 80-bit numbers: singles, doubles and integers that are
 * ordinary.
 */
import { f32, f64, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { isShape, takesInteger } from './x87-number.ts'
import { BIAS, LEADING, SIGN, type Wide, wideLocals } from './x87-state.ts'
import { ValueFunction } from './x87-value.ts'

const DOUBLE_BIAS = 1023

/** A double to `into`; NaNs and denormals are rejected. */
function widen(s: ValueFunction, bits: Expression, into: Wide): void {
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
function widenFloat(s: ValueFunction, form: Local, bits: Local, into: Wide): void {
  const { f } = s
  f.if(isShape(form, '32'), () => {
    const twice = i32.shl(i32.wrap(bits), i32.const(1))
    s.reject(i32.eqz(i32.shrU(i32.sub(twice, i32.const(1)), i32.const(24))))
    f.set(bits, i64.reinterpret(f64.promote(f32.reinterpret(i32.wrap(bits)))))
  })
  widen(s, bits, into)
}

/** Loads an integer operand of 16, 32 or 64 bits. */
function widenInteger({ f }: ValueFunction, form: Local, value: Local, into: Wide): void {
  f.if(isShape(form, '16'), () => f.set(value, i64.extend16(value)))
  f.if(isShape(form, '32'), () => f.set(value, i64.extend32(value)))
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

/** Builds the part x87Widen. */
export function buildX87Widen(module: ModuleBuilder): FunctionReference {
  const f = module.function(partSignatures.x87Widen)
  const [form, index, bits] = f.parameters as [Local, Local, Local]
  const s = new ValueFunction(f)
  const into = wideLocals(f)
  s.write(() => {
    f.if(takesInteger(index),
      () => widenInteger(s, form, bits, into), () => widenFloat(s, form, bits, into))
    f.returnPair(into.significand, into.signExponent)
  })
  return f
}
