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

type Collect = (options?: { type: 'major', execution: 'sync', flavor: 'last-resort' }) => void

interface CLibrary {
  madvise(address: bigint, bytes: bigint, advice: number): number
  malloc_trim(pad: bigint): number
}

/** asm-generic/mman-common.h */
const MADV_DONTNEED = 4

setFlagsFromString('--expose-gc')
const collect = runInNewContext('gc') as Collect
setFlagsFromString('--no-expose-gc')

let library: CLibrary | undefined
let isLibrarySought = false

/** Collects soon, when the turn that let go of the buffers is over. */
export function collectGarbageSoon(): void {
  setImmediate(collect)
}

/** Collects all of this thread's garbage, and gives back what the process has free. */
export function giveBackGarbage(): void {
  collect({ type: 'major', execution: 'sync', flavor: 'last-resort' })
  giveBackBlocks()
}

/** Gives back blocks that the C library has free. */
export function giveBackBlocks(): void {
  cLibrary()?.malloc_trim(0n)
}

/** Gives back pages of a buffer, which are zero from then on; false when that is not possible, and
 * nothing has happened. */
export function giveBackPages(buffer: ArrayBuffer, offset: number, bytes: number): boolean {
  const c = cLibrary()
  if (!c) return false
  const { getRawPointer } = process.getBuiltinModule('node:ffi')
  return c.madvise(getRawPointer(buffer) + BigInt(offset), BigInt(bytes), MADV_DONTNEED) === 0
}

function cLibrary(): CLibrary | undefined {
  if (isLibrarySought) return library
  isLibrarySought = true
  const { emitWarning } = process
  try {
    // That it is experimental is our concern, not the user's.
    process.emitWarning = () => {}
    const { DynamicLibrary } = process.getBuiltinModule('node:ffi')
    library = new DynamicLibrary(null).getFunctions({
      madvise: { arguments: ['uint64', 'uint64', 'int32'], return: 'int32' },
      malloc_trim: { arguments: ['uint64'], return: 'int32' },
    })
  } catch {
    library = undefined
  } finally {
    process.emitWarning = emitWarning
  }
  return library
}
