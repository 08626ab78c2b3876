/**
 * Arithmetic flags as generated code reads and leaves them: each has a slot of its own in the
 * context, in the form in which results come (state.ts), so that setting one is a store.
 */
import { i32, i64, type Expression } from '../../../wasm/expression.ts'
import type { FlagName } from '../../../isa/definition.ts'
import { CpuContext } from '../../state.ts'
import type { ScalarReading } from './scalars.ts'
import type { Value } from './value.ts'

export type SlotName = FlagName | 'df'

/** Address of a flag's slot. */
export function slotAt(name: SlotName): number {
  return CpuContext.offsets[name]
}

/** What a slot holds. */
export type SlotReader = (name: SlotName) => Expression

const ZERO = i64.const(0n)

/** A flag as a boolean. */
export function flagExpression(slot: SlotReader, name: SlotName): Expression {
  switch (name) {
    case 'zf': return i64.eqz(slot(name))
    case 'sf': case 'of': return i64.ltS(slot(name), ZERO)
    case 'pf': return i32.eqz(i32.and(
      i32.popcnt(i32.and(i32.wrap(slot(name)), i32.const(0xff))), i32.const(1)))
    case 'af': return i32.and(i32.shrU(i32.wrap(slot(name)), i32.const(4)), i32.const(1))
    case 'cf': case 'df': return i32.wrap(slot(name))
  }
}

function signsDiffer(slot: SlotReader): Expression {
  return i64.ltS(i64.xor(slot('sf'), slot('of')), ZERO)
}

/** The positive one of each pair of conditions, in the order of their codes (JO, JB, JE, ...). */
export const conditionExpressions: readonly ((slot: SlotReader) => Expression)[] = [
  (slot) => flagExpression(slot, 'of'),
  (slot) => flagExpression(slot, 'cf'),
  (slot) => flagExpression(slot, 'zf'),
  (slot) => i32.or(flagExpression(slot, 'cf'), flagExpression(slot, 'zf')),
  (slot) => flagExpression(slot, 'sf'),
  (slot) => flagExpression(slot, 'pf'),
  signsDiffer,
  (slot) => i32.or(signsDiffer(slot), flagExpression(slot, 'zf')),
]

/** The form in which a flag's slot holds `value`. */
export function slotValue(name: SlotName, value: Value, m: ScalarReading): Value {
  const { shape } = value
  switch (name) {
    case 'zf':
      return shape.kind === 'isZero' ? shape.of : m.scalar(m.xor(m.zx(value, 1), m.const(1)))
    case 'sf': case 'of':
      return shape.kind === 'bit'
        ? shape.index === 63 ? shape.of : m.shl(shape.of, m.const(63 - shape.index))
        : m.shl(value, m.const(63))
    case 'pf':
      return shape.kind === 'parity' ? shape.of : m.scalar(m.xor(m.zx(value, 1), m.const(1)))
    case 'af':
      return shape.kind === 'bit' && shape.index === 4 ? shape.of : m.shl(value, m.const(4))
    case 'cf': case 'df':
      return m.scalar(value)
  }
}
