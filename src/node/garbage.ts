/**
 * Gives memory back at a moment of our choosing.
 *
 * A kernel's image is some 70 MB of buffers that are garbage once it is written into its domain. A
 * process that then sits idle would keep them, since nothing makes it collect. A core's thread
 * never returns to its event loop, where V8 would do so by itself.
 *
 * Pages within a buffer, and blocks that the C library has free, only the C library gives back;
 * where Node cannot call it, they are kept.
 */
import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { Advice, advise, giveBackBlocks } from './c-library.ts'
import { dropProgramPages, programPages } from './program-pages.ts'

type Collect = (options?: { type: 'major', execution: 'sync', flavor: 'last-resort' }) => void

// The flag is the process's: a thread that took it back would take it from others that start.
setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as Collect

/** Collects soon, when the turn that let go of the buffers is over. */
export function collectGarbageSoon(): void {
  setImmediate(collect)
}

/** Collects all of this thread's garbage, and gives back what the process has free, or finds in
 * Node's own file again. */
export function giveBackGarbage(): void {
  programPages() // What it reads for that is garbage now.
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  giveBackBlocks()
  dropProgramPages()
}

/** Gives back pages of a buffer, which are zero from then on; false when that is not possible, and
 * nothing has happened. */
export function giveBackPages(buffer: ArrayBuffer, offset: number, bytes: number): boolean {
  return advise(buffer, offset, bytes, Advice.DONTNEED)
}
