/**
 * Pure functions that semantics call by name: what neither the algebra nor WebAssembly has as an
 * operation, and what is too long to write out.
 *
 * A family of functions is a record in a file of its own, joined here.
 */
import { assert } from '../base/assert.ts'
import { integerFunctions } from './pure-integer.ts'
import { vectorFunctions } from './pure-vector.ts'

export interface PureFunction {
  /** Kinds of the operands, a letter each: v a vector of 128 bits, s a scalar of 64. */
  readonly operands: string
  readonly result: 'v' | 's'
  run(...operands: bigint[]): bigint
}

export const pureFunctions: Readonly<Record<string, PureFunction>> = {
  ...integerFunctions,
  ...vectorFunctions,
}

const names = Object.keys(pureFunctions)

/** The number by which generated code calls a pure function. */
export function pureNumber(name: string): number {
  const number = names.indexOf(name)
  assert(number >= 0, `there is a pure function ${name}`)
  return number
}

/** The function of a number. */
export function pureByNumber(number: number): PureFunction {
  return pureFunctions[names[number]!]!
}
