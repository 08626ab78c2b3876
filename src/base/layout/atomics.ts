/**
 * Read-modify-write on the `atomic` fields of a view.
 *
 * `offset` is the field's distance from the view's start, as in `Layout.offsets`.
 */
import type { Place } from './scalar.ts'

/** The index, in `view.cells`, of the word `offset` bytes after the view's start. */
export function cellOf(view: Place, offset: number): number {
  return view.origin + view.position + offset >>> 2
}

/** Adds `n` and answers what was there. */
export function atomicAdd(view: Place, offset: number, n: number): number {
  return Atomics.add(view.cells, cellOf(view, offset), n) >>> 0
}

export function atomicOr(view: Place, offset: number, mask: number): number {
  return Atomics.or(view.cells, cellOf(view, offset), mask) >>> 0
}

export function atomicAnd(view: Place, offset: number, mask: number): number {
  return Atomics.and(view.cells, cellOf(view, offset), mask) >>> 0
}

export function atomicExchange(view: Place, offset: number, value: number): number {
  return Atomics.exchange(view.cells, cellOf(view, offset), value) >>> 0
}

/** Writes `value` if `expected` is there; answers what was there. */
export function atomicCompareExchange(
  view: Place, offset: number, expected: number, value: number,
): number {
  return Atomics.compareExchange(view.cells, cellOf(view, offset), expected, value) >>> 0
}
