/**
 * What QEMU 7.2's TCG does otherwise than the manuals say in so many experiments that it is told
 * here once: each rule names a way in which a word of a record may differ, and why.
 */
import { places, word } from './layout.ts'
import type { Record } from './records.ts'

interface Rule {
  readonly reason: string
  accepts(ours: Record, index: number, left: bigint, right: bigint): boolean
}

const RF = 0x1_0000n
const ERROR_CODES = 0x27d00
/** Those that are reported at the instruction, but for #DB; and #DF, as what it stems from. */
const FAULTS = 0xf_7de1
const FIRST_INTERRUPT = 32
const LONG_MODE = 0x400n

function vectorOf(record: Record): number {
  return Number(record.words[word.vector]! & 0xffff_ffffn)
}

function isFault(vector: number): boolean {
  return vector < 32 && (FAULTS >> vector & 1) !== 0
}

function hasErrorCode(vector: number): boolean {
  return vector < 32 && (ERROR_CODES >> vector & 1) !== 0
}

function isLong(record: Record): boolean {
  return (record.words[word.efer]! & LONG_MODE) !== 0n
}

/**
 * Value `n` of the frame, ours and theirs, when it is in the word `index` and is all that differs
 * there. Outside long mode two values of 32 bits share a word.
 */
function frameValue(
  ours: Record, n: number, index: number, left: bigint, right: bigint,
): readonly [bigint, bigint] | undefined {
  if (isLong(ours)) return index === word.frame + n ? [left, right] : undefined
  if (index !== word.frame + (n >> 1)) return undefined
  const shift = BigInt(n & 1) * 32n
  const other = (left ^ right) >> 32n - shift & 0xffff_ffffn
  return other ? undefined : [left >> shift & 0xffff_ffffn, right >> shift & 0xffff_ffffn]
}

export const rules: readonly Rule[] = [
  {
    reason: 'RF is set in the flags that a fault pushes (AMD APM 2, 3.1.6); TCG leaves it clear',
    accepts(ours, index, left, right) {
      const vector = vectorOf(ours)
      const flags = frameValue(ours, hasErrorCode(vector) ? 3 : 2, index, left, right)
      return flags !== undefined && isFault(vector) && flags[0] === (flags[1] | RF)
    },
  },
  {
    reason: 'an error code of an IDT entry is its vector times 8 (AMD APM 2, 8.4); TCG, in long '
      + 'mode, says times 16, and never sets EXT',
    accepts(ours, index, left, right) {
      const code = frameValue(ours, 0, index, left, right)
      if (!code || !hasErrorCode(vectorOf(ours)) || (code[0] & 2n) === 0n) return false
      const vector = code[0] >> 3n
      return code[1] === vector * (isLong(ours) ? 16n : 8n) + 2n
    },
  },
  {
    reason: 'EXT is set in the error codes of faults in the delivery of an exception (SDM 3A, '
      + '6.13); TCG never sets it',
    accepts(ours, index, left, right) {
      const vector = vectorOf(ours)
      const code = frameValue(ours, 0, index, left, right)
      return code !== undefined && vector >= 10 && vector <= 13 && code[0] === (code[1] | 1n)
    },
  },
  {
    reason: 'SS becomes null when the level changes (AMD APM 2, 8.9.3); TCG makes it null for any '
      + 'IST stack',
    accepts(ours, index, left, right) {
      const pointer = Number(ours.words[word.pointer]!)
      const ist = pointer > places.IST1 - 0x1000 && pointer <= places.IST2
      return ist && index === word.selectors && right === (left & ~0xffff_0000n)
    },
  },
  {
    reason: 'RF, which the runtime sets when it returns from #DB, holds for one instruction (AMD '
      + 'APM 2, 3.1.6); in TCG it stays when that is INT or is stepped',
    accepts(ours, index, left, right) {
      const vector = vectorOf(ours)
      const trap = vector === 1 || vector === 3 || vector >= FIRST_INTERRUPT
      const flags = frameValue(ours, 2, index, left, right)
      return flags !== undefined && trap && flags[1] === (flags[0] | RF)
    },
  },
  {
    reason: 'walks that fail leave accessed bits as they are (page-walk.ts says so); r9 to r11, or '
      + 'EDI, show page table entries',
    accepts(ours, index, left, right) {
      const shown = isLong(ours) ? index >= word.gpr + 9 && index <= word.gpr + 11
        : index === word.gpr + 7
      return shown && right === (left | 0x20n) && (left & 1n) !== 0n
    },
  },
]

/** Whether some rule explains the difference of a word. */
export function isAccepted(ours: Record, index: number, left: bigint, right: bigint): boolean {
  return rules.some((rule) => rule.accepts(ours, index, left, right))
}
