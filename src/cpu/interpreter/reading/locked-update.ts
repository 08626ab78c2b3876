/**
 * What a locked instruction makes of its operand, where one atomic instruction of WebAssembly does
 * it; all else compares and exchanges until nobody came in between.
 */
import { atomics, type Expression, type UpdateOperation } from '../../../wasm/expression.ts'
import { MACHINE } from '../parts.ts'
import type { Step, Value } from './value.ts'

export interface LockedUpdate {
  readonly operation: UpdateOperation | 'cmpxchg'
  readonly operands: readonly Value[]
}

/** How the new value comes of the old one; what else it is made of must be there before the old one
 * is read, which `steps` come before. */
export function lockedUpdateOf(
  value: Value, old: Value, steps: readonly Step[],
): LockedUpdate | undefined {
  const update = updateOf(value, old)
  return update?.operands.every((operand) => operand !== old && isThere(operand, steps))
    ? update : undefined
}

function updateOf(value: Value, old: Value): LockedUpdate | undefined {
  const { shape, operands } = value
  const [a, b] = operands
  if (shape.kind === 'choice') {
    const { test } = shape
    if (shape.b !== old || test.shape.kind !== 'equal') return undefined
    const [expected, found] = test.operands
    return found === old ? { operation: 'cmpxchg', operands: [expected!, shape.a] } : undefined
  }
  const operation = shape.kind === 'sum' ? 'add' : shape.kind === 'result' ? shape.operation
    : shape.kind === 'difference' && operands.length === 2 ? 'sub' : undefined
  if (operation === undefined || a !== old && b !== old) {
    return { operation: 'xchg', operands: [value] }
  }
  if (a === old) return { operation, operands: [b!] }
  return operation === 'sub' ? undefined : { operation, operands: [a!] }
}

function isThere(value: Value, steps: readonly Step[]): boolean {
  return value.isConstant
    || steps.some((step) => step === value || 'emit' in step && step.result === value)
}

/** -> i64: the old value of `width` bits; what comes of it is in its place. */
export function emitUpdate(
  { operation, operands }: LockedUpdate, width: number, machine: Expression,
): Expression {
  const [first, second] = operands.map((operand) => operand.expression())
  if (operation !== 'cmpxchg') return atomics.update(operation, width, MACHINE, machine, first!)
  return atomics.compareExchange(width, MACHINE, machine, first!, second!)
}
