/**
 * Lets go of the pages of Node's own file that are resident: most is code and data that only
 * starting and compiling used. What is touched again comes back from the file, as the system has it
 * cached.
 */
import { readFileSync } from 'node:fs'
import { Advice, cLibrary } from './c-library.ts'

/** A mapping's addresses, permissions, offset, device, inode and file in proc_pid_smaps(5). */
const MAPPING = /^([0-9a-f]+)-([0-9a-f]+) (\S+) ([0-9a-f]+) \S+ \d+ +(.+)/

interface Range {
  readonly start: bigint
  readonly bytes: bigint
}

let found: readonly Range[] | undefined

/** Does so, where the system tells what is mapped and Node can call the C library. */
export function dropProgramPages(): void {
  for (const { start, bytes } of programPages()) cLibrary()?.madvise(start, bytes, Advice.DONTNEED)
}

/**
 * What `dropProgramPages` lets go of, looked for once, with a megabyte of text. Only mappings
 * that cannot be written, and in which nothing was before they could not (the loader relocates
 * some); and only where the loader put them, as others (V8 has some) may be gone meanwhile.
 */
export function programPages(): readonly Range[] {
  if (found) return found
  let base: bigint | undefined
  const ranges: Range[] = []
  for (const mapping of mappings()) {
    const [, from, to, may, offset, file] = MAPPING.exec(mapping) ?? []
    if (file !== process.execPath) continue
    const start = BigInt(`0x${from}`)
    base ??= start
    const isLoaders = start - BigInt(`0x${offset}`) === base
    if (!isLoaders || may!.includes('w') || !/^Anonymous: +0 kB$/m.test(mapping)) continue
    ranges.push({ start, bytes: BigInt(`0x${to}`) - start })
  }
  return found = ranges
}

function mappings(): readonly string[] {
  try {
    return readFileSync('/proc/self/smaps', 'latin1').split(/^(?=[0-9a-f]+-)/m)
  } catch {
    return []
  }
}
