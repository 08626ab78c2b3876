/**
 * x87 instructions as operations on the register stack: a name and the shape of the operands,
 * numbered, so that generated code can ask for them.
 */
import { assert } from '../../base/assert.ts'
import type { Operand } from '../operand.ts'
import { computeServices } from './compute.ts'
import { moveServices } from './move.ts'
import type { Service } from '../machine.ts'

/** Shapes of operands: none, one register, two, or memory of a width in bits. */
export const shapes = ['', 'st', 'st st', '16', '32', '64', '80'] as const
export type StackShape = typeof shapes[number]

const SHAPE_BITS = 3
export const SHAPE_MASK = (1 << SHAPE_BITS) - 1

export const stackServices: Readonly<Record<string, Service>> = {
  ...moveServices, ...computeServices,
}

const names = Object.keys(stackServices)

export function shapeOfOperands(operands: readonly Operand[]): StackShape {
  const [first, second] = operands
  if (!first) return ''
  if (first.kind === 'st') return second ? 'st st' : 'st'
  return String(first.width) as StackShape
}

/** The number of an operation. */
export function formNumber(name: string, shape: StackShape): number {
  const index = names.indexOf(name)
  assert(index >= 0, `there is an x87 operation ${name}`)
  return index << SHAPE_BITS | shapes.indexOf(shape)
}

export function formOf(number: number): { readonly name: string, readonly shape: StackShape } {
  return { name: names[number >> SHAPE_BITS]!, shape: shapes[number & SHAPE_MASK]! }
}
