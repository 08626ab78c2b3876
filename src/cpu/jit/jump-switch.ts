/**
 * A switch over places that lie anywhere: a perfect hash of their offsets, found by trying factors
 * (the multiplicative method of D. Knuth, "The Art of Computer Programming", 6.4).
 */
import { assert } from '../../base/assert.ts'
import { i32, type Expression } from '../../wasm/expression.ts'

/** Factors that are tried before there may be more slots. */
const TRIES = 64
const SPREAD = 0x9e3779b1

export interface JumpSwitch {
  /** The slot of an offset: one that is among those known has its own. */
  slotOf(offset: Expression): Expression
  /** For each slot the number of the offset that has it, or -1. */
  readonly slots: readonly number[]
}

export function jumpSwitch(offsets: readonly number[]): JumpSwitch {
  assert(new Set(offsets).size === offsets.length && offsets.length > 1, 'several offsets')
  let factor = SPREAD
  for (let bits = Math.ceil(Math.log2(offsets.length)); ; bits++) {
    for (let i = 0; i < TRIES; i++) {
      const shift = 32 - bits
      const slots = slotsOf(offsets, factor, shift)
      if (slots) {
        const multiplier = i32.const(factor | 0)
        return {
          slots, slotOf: (offset) => i32.shrU(i32.mul(offset, multiplier), i32.const(shift)),
        }
      }
      // Odd times odd is odd.
      factor = Math.imul(factor, SPREAD)
    }
  }
}

/** Undefined when two offsets have the same slot. */
function slotsOf(
  offsets: readonly number[], factor: number, shift: number,
): number[] | undefined {
  const slots = new Array<number>(2 ** (32 - shift)).fill(-1)
  for (const [number, offset] of offsets.entries()) {
    const slot = Math.imul(offset, factor) >>> shift
    if (slots[slot] !== -1) return undefined
    slots[slot] = number
  }
  return slots
}
