/**
 * Which lines of a page hold code: its 64 lines of 64 bytes, as bits.
 */
import { coreMap } from '../core-memory.ts'

const PAGE = 4096

/** None, or those of `bytes` bytes at `offset`. */
export class CodeLines {
  /** Bits of lines 0 to 31 and of the others. */
  low = 0
  high = 0

  constructor(offset = 0, bytes = 0) {
    if (bytes > 0) this.addRange(offset, bytes)
  }

  get isEmpty(): boolean {
    return (this.low | this.high) === 0
  }

  /** Adds the lines of `bytes` bytes at `offset`; what lies beyond the page does not count. */
  addRange(offset: number, bytes: number): void {
    const last = Math.min(offset + bytes, PAGE) - 1
    for (let line = offset >>> 6; line <= last >>> 6; line++) this.addLine(line)
  }

  addLine(line: number): void {
    if (line < 32) this.low |= 1 << line
    else this.high |= 1 << line - 32
  }

  removeLine(line: number): void {
    if (line < 32) this.low &= ~(1 << line)
    else this.high &= ~(1 << line - 32)
  }

  add(other: CodeLines): void {
    this.low |= other.low
    this.high |= other.high
  }

  /** The first line from `line` on that is here and among others; 64 when there is none. */
  nextIn(others: CodeLines, line: number): number {
    if (line < 32) {
      const low = this.low & others.low & -1 << line
      if (low !== 0) return 31 - Math.clz32(low & -low)
    }
    const high = line < 64 ? this.high & others.high & -1 << Math.max(line - 32, 0) : 0
    return high !== 0 ? 63 - Math.clz32(high & -high) : 64
  }

  contains(other: CodeLines): boolean {
    return (other.low & ~this.low | other.high & ~this.high) === 0
  }

  meets(other: CodeLines): boolean {
    return (this.low & other.low | this.high & other.high) !== 0
  }
}

/** Index of the 32-bit word of a frame's first lines in core memory. */
export function linesAt(page: number): number {
  return (coreMap.codeLines >>> 2) + (page >>> 12) * 2
}
