/**
 * The physical-to-machine table: written by the hypervisor, walked by the MMU.
 *
 * An entry is a word with a type in its low bits and an mfn above. A directory of DIRECTORY_ENTRIES
 * words is indexed by gfn >> LEAF_SHIFT, and each of these is the entry of a superpage, which is
 * LEAF_ENTRIES gfns with frames in a row from an aligned mfn; or, with the type of a hole, the
 * address of a leaf of LEAF_ENTRIES entries, indexed by the gfn's low bits; or 0, where there is
 * nothing. Everything lies in machine memory.
 */
export const PHYSICAL_ADDRESS_BITS = 36
/** Superpages are of 2 MiB, as order 9 is for Xen. */
export const LEAF_SHIFT = 9
export const LEAF_ENTRIES = 1 << LEAF_SHIFT
export const DIRECTORY_ENTRIES = 1 << PHYSICAL_ADDRESS_BITS - 12 - LEAF_SHIFT
export const P2M_TYPE_MASK = 7
export const P2M_MFN_SHIFT = 8

export const P2M_HOLE = 0
export const P2M_RAM_RW = 1
export const P2M_RAM_RO = 2
/** Accesses leave the processor as exits. */
export const P2M_MMIO = 3
export const P2M_GRANT_RW = 4
export const P2M_GRANT_RO = 5
export const P2M_FOREIGN = 6
/** RAM that the domain gets once something reaches for it; until then as MMIO. */
export const P2M_POD = 7

/** Types that may be written; all others but HOLE, MMIO and POD may be read. */
export const P2M_WRITABLE = 1 << P2M_RAM_RW | 1 << P2M_GRANT_RW | 1 << P2M_FOREIGN
export const P2M_READABLE = P2M_WRITABLE | 1 << P2M_RAM_RO | 1 << P2M_GRANT_RO

/** The entry of one of its gfns that a superpage's entry stands for. */
export function entryWithin(superpage: number, gfn: number): number {
  if ((superpage & P2M_TYPE_MASK) === P2M_POD) return superpage
  return (superpage | (gfn & LEAF_ENTRIES - 1) << P2M_MFN_SHIFT) >>> 0
}
