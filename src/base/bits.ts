/**
 * Arithmetic on bits and boundaries that JavaScript's 32-bit operators cannot do alone.
 */

/** `value` rounded up to a multiple of `step`. */
export function roundUp(value: number, step: number): number {
  return Math.ceil(value / step) * step
}

/** `value` rounded down to a multiple of `step`. */
export function roundDown(value: number, step: number): number {
  return Math.floor(value / step) * step
}

/** The index of the lowest set bit of 32, or 32 when none is set. */
export function lowestBit(word: number): number {
  return word === 0 ? 32 : 31 - Math.clz32(word & -word)
}

/** How many of 32 bits are set. */
export function countBits(word: number): number {
  let n = word - (word >>> 1 & 0x5555_5555)
  n = (n & 0x3333_3333) + (n >>> 2 & 0x3333_3333)
  return Math.imul(n + (n >>> 4) & 0x0f0f_0f0f, 0x0101_0101) >>> 24
}
