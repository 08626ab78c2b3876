/**
 * What is known of the magnitude of a float, so that a region need not look at each result.
 *
 * Sums, products, quotients and roots of numbers within bounds are within bounds that follow from
 * those alone. While they are all normal numbers, nothing can come of the operation but the inexact
 * flag: no overflow, nothing tiny, no denormal.
 */
import type { FloatOp } from '../../isa/backend.ts'

type Width = 32 | 64

/** Zero, or a magnitude from 2 ** low to 2 ** high. */
export interface FloatBounds {
  readonly low: number
  /** Infinity where it may also be infinite or a NaN. */
  readonly high: number
}

/** No denormal, as far as it is known. */
export const notDenormal: Readonly<Record<Width, FloatBounds>> = {
  32: { low: -126, high: Infinity },
  64: { low: -1022, high: Infinity },
}

/**
 * What doubles are asked to be where nothing is known of them: far more than most programs compute
 * with, and far enough from both ends that squares of differences are normal, and sums of two such
 * squares finite.
 */
export const MODERATE: FloatBounds = { low: -459, high: 510 }

/** Integers of 64 bits. */
export const INTEGER: FloatBounds = { low: 0, high: 64 }

/** Whether all of it are normal doubles. */
export function areNormal({ low, high }: FloatBounds): boolean {
  return low >= -1022 && high <= 1023
}

export function areWithin(bounds: FloatBounds | undefined, others: FloatBounds): boolean {
  return bounds !== undefined && bounds.low >= others.low && bounds.high <= others.high
}

/** What is known of one of two. */
export function eitherOf(
  a: FloatBounds | undefined, b: FloatBounds | undefined,
): FloatBounds | undefined {
  return a && b && { low: Math.min(a.low, b.low), high: Math.max(a.high, b.high) }
}

/** An operation of which the bounds of the result follow from those of the operands. */
export type BoundedOp = 'add' | 'sub' | 'mul' | 'div' | 'sqrt'

export function isBounded(op: string): op is BoundedOp & FloatOp {
  return op === 'add' || op === 'sub' || op === 'mul' || op === 'div' || op === 'sqrt'
}

/** The bounds of a result in doubles, however it is rounded. */
export function boundsOfResult(op: BoundedOp, a: FloatBounds, b: FloatBounds): FloatBounds {
  switch (op) {
    case 'add': case 'sub': {
      const { low, high } = eitherOf(a, b)!
      // Both are multiples of the last place of the smaller one, and so is what they make. If one
      // is less than half of the other, they make no less than that half; else neither is less
      // than half of the greater low bound.
      const greater = Math.max(a.low, b.low)
      return { low: Math.max(low - 52, Math.min(low, greater - 53)), high: high + 1 }
    }
    case 'mul': return { low: a.low + b.low, high: a.high + b.high }
    case 'div': return { low: a.low - b.high, high: a.high - b.low }
    case 'sqrt': return { low: Math.floor(a.low / 2), high: Math.ceil(a.high / 2) }
  }
}
