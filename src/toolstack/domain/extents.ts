/**
 * Giving RAM to ranges of a domain's memory, as libxc does: in extents of 1 GiB, which are asked
 * for first, of 2 MiB, and of 4 KiB.
 */
import { asGfn, type Gfn } from '../../abi/numbers.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { XenError } from '../../dom0/interfaces.ts'
import type { FrameRange } from '../build/pvh-image.ts'

const ORDERS: readonly number[] = [18, 9, 0]

/** Populates `count` extents of 2^order frames that follow one another from `first` on, or only the
 * first of them, where there is no memory for more: how many. */
export type Populate = (first: Gfn, count: number, order: number) => number

/**
 * Populates a range in the largest extents that are aligned and fit, and what these leave, or were
 * refused, in smaller ones; throws an XenError where even single frames are refused.
 */
export function populateRange(
  { first, count }: FrameRange, populate: Populate, [order, ...smaller] = ORDERS,
): void {
  if (count === 0) return
  if (order === undefined) throw new XenError('xc_domain_populate_physmap_exact', ENOMEM, 'ENOMEM')
  const step = 2 ** order
  const end = first + count
  const begin = Math.min(end, Math.ceil(first / step) * step)
  const wanted = Math.floor((end - begin) / step)
  const done = wanted === 0 ? begin : begin + populate(asGfn(begin), wanted, order) * step
  populateRange({ first, count: begin - first }, populate, smaller)
  populateRange({ first: asGfn(done), count: end - done }, populate, smaller)
}
