/**
 * Reading records, and saying what they say.
 */
import { isAccepted } from './accepted.ts'
import {
  FRAME_WORDS, MAGIC, OUT_WORDS, RECORD_WORDS, SHUTDOWN, word,
} from './layout.ts'

export interface Record {
  readonly index: number
  readonly words: readonly bigint[]
}

/** The records in the order they were sent, by experiment. */
export function readRecords(bytes: Buffer): Map<number, Record[]> {
  const found = new Map<number, Record[]>()
  const size = RECORD_WORDS * 8
  for (let at = 0; at + size <= bytes.length; at += size) {
    if (bytes.readUInt32LE(at) !== MAGIC) throw new Error(`no record at byte ${at}`)
    const index = bytes.readUInt32LE(at + 4)
    const words = Array.from({ length: RECORD_WORDS }, (_, i) => bytes.readBigUInt64LE(at + i * 8))
    const list = found.get(index) ?? []
    list.push({ index, words })
    found.set(index, list)
  }
  return found
}

const registers = ['rax', 'rcx', 'rdx', 'rbx', 'rsp', 'rbp', 'rsi', 'rdi',
  'r8', 'r9', 'r10', 'r11', 'r12', 'r13', 'r14', 'r15']

/** The name of each word. */
function nameOf(index: number): string {
  if (index >= word.frame && index < word.frame + FRAME_WORDS) return `frame${index - word.frame}`
  if (index >= word.gpr && index < word.gpr + 16) return registers[index - word.gpr]!
  if (index >= word.out && index < word.out + OUT_WORDS) return `out${index - word.out}`
  return Object.entries(word).find(([, value]) => value === index)?.[0] ?? `word${index}`
}

const names = Array.from({ length: RECORD_WORDS }, (_, index) => nameOf(index))

/** What a record says: `vector=d frame0=18 ... `, each word with a space behind; without zeros. */
export function describeRecord(record: Record): string {
  const vector = Number(record.words[word.vector]! & 0xffff_ffffn)
  if (vector === SHUTDOWN) return 'shutdown'
  return record.words.map((value, i) => value && i > 0 ? `${names[i]}=${value.toString(16)} ` : '')
    .join('')
}

export function describeRecords(records: readonly Record[] | undefined): string {
  return records ? records.map(describeRecord).join('\n    ') : 'nothing'
}

/** Where two lists of records differ, word by word; empty when they do not. */
export function differences(
  ours: readonly Record[] | undefined, theirs: readonly Record[] | undefined,
): string[] {
  const left = ours ?? []
  const right = theirs ?? []
  const found: string[] = []
  if (left.length !== right.length) found.push(`${left.length} records, QEMU ${right.length}`)
  for (let i = 0; i < Math.min(left.length, right.length); i++) {
    left[i]!.words.forEach((value, at) => {
      const other = right[i]!.words[at]!
      if (value === other || isAccepted(left[i]!, at, value, other)) return
      const which = left.length > 1 ? `${i}.` : ''
      found.push(`${which}${names[at]} ${value.toString(16)}, QEMU ${other.toString(16)}`)
    })
  }
  return found
}
