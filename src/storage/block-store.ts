/**
 * A virtual disk: what back-ends, the image tool and file systems see of an image.
 *
 * Positions and lengths are bytes in whole sectors of 512. Any number of requests may be in flight;
 * they settle in any order, and two that overlap have no order. A write that has settled survives
 * the death of the process; one that was flushed after it settled survives the death of the host.
 * Buffers may be views of shared memory, and are the store's until the promise settles.
 *
 * What fails rejects with a StorageError or a HostFileError and leaves earlier data alone; of the
 * range that failed, each sector holds what it held or what was written.
 */
import type { HostFile } from '../base/host-file.ts'
import { StorageError } from './error.ts'

export const SECTOR_BYTES = 512

export type ImageFormat = 'raw' | 'qcow2' | 'vpc'

/** A run of sectors that are stored alike. */
export interface Extent {
  readonly lengthBytes: number
  /** `zero` is marked as reading zeros; `absent` reads zeros as no file of the chain has it. */
  readonly kind: 'data' | 'zero' | 'absent'
  /** How many backing files down the run is stored, or was last looked for. */
  readonly depth: number
  /** Where the data begins in its file, unless it is compressed. */
  readonly offset?: number
}

/** Where in a file something is. */
export interface Place {
  readonly file: HostFile
  readonly at: number
}

export interface BlockStore {
  readonly format: ImageFormat
  readonly writable: boolean
  /** The size that the guest sees. */
  readonly sizeBytes: number
  read(at: number, into: Uint8Array): Promise<void>
  write(at: number, from: Uint8Array): Promise<void>
  /**
   * Where a range is stored, if that is known without asking the host, is in one piece, and reading
   * there (or writing, if it is for that) is all that is to be done. Good until this turn ends.
   */
  placeOf(at: number, lengthBytes: number, toWrite: boolean): Place | undefined
  flush(): Promise<void>
  /** Says that the range is not needed: each sector then reads as before or as zeros. */
  discard(at: number, lengthBytes: number): Promise<void>
  writeZeroes(at: number, lengthBytes: number): Promise<void>
  /** Grows with zeros, or cuts off the end. */
  resize(sizeBytes: number): Promise<void>
  /** How the disk is stored at `at`, for at most `lengthBytes`. */
  extent(at: number, lengthBytes: number): Promise<Extent>
  /** Flushes and closes the image and the files behind it. Requests in flight must have settled. */
  close(): Promise<void>
}

/** Refuses what is not a run of whole sectors within the disk. */
export function checkRange(store: BlockStore, at: number, lengthBytes: number): void {
  const whole = Number.isSafeInteger(at) && Number.isSafeInteger(lengthBytes) &&
    at % SECTOR_BYTES === 0 && lengthBytes % SECTOR_BYTES === 0
  if (!whole || at < 0 || lengthBytes < 0 || at > store.sizeBytes - lengthBytes) {
    throw new StorageError('invalid',
      `${lengthBytes} bytes at ${at} are not sectors of a disk of ${store.sizeBytes} bytes`)
  }
}

/** The same for a request that changes the disk. */
export function checkChange(store: BlockStore, at: number, lengthBytes: number): void {
  if (!store.writable) throw new StorageError('read-only', 'the image is open for reading only')
  checkRange(store, at, lengthBytes)
}

/** Refuses what cannot be the new size of `store`. */
export function checkResize(store: BlockStore, sizeBytes: number): void {
  if (!store.writable) throw new StorageError('read-only', 'the image is open for reading only')
  if (!Number.isSafeInteger(sizeBytes) || sizeBytes < 0 || sizeBytes % SECTOR_BYTES !== 0) {
    throw new StorageError('invalid', `a disk cannot have ${sizeBytes} bytes`)
  }
}

/** Whether all of `bytes` are zero. */
export function isZero(bytes: Uint8Array): boolean {
  const head = Math.min(bytes.length, -bytes.byteOffset & 7)
  for (let i = 0; i < head; i++) if (bytes[i] !== 0) return false
  const words = bytes.length - head >>> 2
  if (words > 0) {
    const view = new Int32Array(bytes.buffer, bytes.byteOffset + head, words)
    for (let i = 0; i < words; i++) if (view[i] !== 0) return false
  }
  for (let i = head + words * 4; i < bytes.length; i++) if (bytes[i] !== 0) return false
  return true
}
