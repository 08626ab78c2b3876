/**
 * What of the C library is called as it is, through node:ffi; where that is missing, nothing is.
 */
interface CLibrary {
  madvise(address: bigint, bytes: bigint, advice: number): number
  malloc_trim(pad: bigint): number
}

/** Of asm-generic/mman-common.h. */
export const Advice = { DONTNEED: 4, HUGEPAGE: 14 } as const

let library: CLibrary | undefined
let isSought = false

/** Gives back blocks that the C library has free. */
export function giveBackBlocks(): void {
  cLibrary()?.malloc_trim(0n)
}

/** Tells the system about pages of a buffer (madvise(2)); false when that is not possible, and
 * nothing has happened. */
export function advise(
  buffer: ArrayBufferLike, offset: number, bytes: number, advice: number,
): boolean {
  const c = cLibrary()
  if (!c) return false
  const { getRawPointer } = process.getBuiltinModule('node:ffi')
  const address = getRawPointer(new Uint8Array(buffer)) + BigInt(offset)
  return c.madvise(address, BigInt(bytes), advice) === 0
}

function cLibrary(): CLibrary | undefined {
  if (isSought) return library
  isSought = true
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
