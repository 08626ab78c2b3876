/**
 * The physical-to-machine table: written by the hypervisor, walked by the MMU.
 *
 * A directory of DIRECTORY_ENTRIES words is indexed by gfn >> LEAF_SHIFT; a word is 0 or the mfn of
 * a leaf frame of LEAF_ENTRIES words indexed by the gfn's low bits. A leaf word holds a type in its
 * low bits and an mfn above. Everything lies in machine memory.
 */
export const PHYSICAL_ADDRESS_BITS = 36
export const LEAF_SHIFT = 10
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
