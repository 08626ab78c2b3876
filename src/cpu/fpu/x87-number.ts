/**
 * Which function of the engine carries out an x87 operation, and what it is told beside the numbers
 * of its registers.
 */
import type { StackShape } from '../../isa/x87/form.ts'

/** Bits of an operation's index: how often it pops, from here. */
const POPS_SHIFT = 16

export type X87Part = 'x87Exact'

export function x87PartOf(_name: string, _shape: StackShape): X87Part {
  return 'x87Exact'
}

export function x87Flags(name: string): number {
  const pops = name.endsWith('pp') ? 2 : name.endsWith('p') ? 1 : 0
  return pops << POPS_SHIFT
}
