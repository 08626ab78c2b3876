/**
 * What of the C library is called as it is, through node:ffi; where that is missing, nothing is.
 */
export interface CLibrary {
  madvise(address: bigint, bytes: bigint, advice: number): number
  malloc_trim(pad: bigint): number
  /** `argument` is an address, or a number, as the request has it. */
  ioctl(fd: number, request: bigint, argument: bigint): number
  fcntl(fd: number, command: number, argument: bigint): number
  /** Negative where there is nothing to read. */
  read(fd: number, bytes: Uint8Array, size: bigint): bigint
  /** Negative where nothing is taken. */
  write(fd: number, bytes: Uint8Array, size: bigint): bigint
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
  const address = addressOf(new Uint8Array(buffer)) + BigInt(offset)
  return c.madvise(address, BigInt(bytes), advice) === 0
}

/** Where the bytes lie, for as long as they are held. */
export function addressOf(bytes: Uint8Array): bigint {
  return process.getBuiltinModule('node:ffi').getRawPointer(bytes)
}

/** The C library, where Node can call it. */
export function cLibrary(): CLibrary | undefined {
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
      ioctl: { arguments: ['int32', 'uint64', 'uint64'], return: 'int32' },
      fcntl: { arguments: ['int32', 'int32', 'int64'], return: 'int32' },
      read: { arguments: ['int32', 'buffer', 'uint64'], return: 'int64' },
      write: { arguments: ['int32', 'buffer', 'uint64'], return: 'int64' },
    })
  } catch {
    library = undefined
  } finally {
    process.emitWarning = emitWarning
  }
  return library
}
