/**
 * A raw image: the disk is the file, byte for byte; or a block device.
 *
 * A file that does not end on a sector reads zeros up to there. Holes stay holes: zeros are only
 * written over what is not zero. Where holes are cannot be asked of the host, so `extent` calls all
 * of a file data.
 */
import type { HostFile } from '../base/host-file.ts'
import {
  type BlockStore, checkChange, checkRange, checkResize, type Extent, isZero, type Place,
  SECTOR_BYTES,
} from './block-store.ts'
import { StorageError } from './error.ts'

const ZERO_CHUNK_BYTES = 1 << 20
/** Punching a hole costs the host a process; below this it is not worth it. */
const LEAST_HOLE_BYTES = 1 << 20
const zeros = new Uint8Array(ZERO_CHUNK_BYTES)

export class RawStore implements BlockStore {
  readonly format = 'raw'
  readonly #file: HostFile

  constructor(file: HostFile) {
    this.#file = file
  }

  get isDevice(): boolean {
    return this.#file.isDevice
  }

  get writable(): boolean {
    return this.#file.writable
  }

  get sizeBytes(): number {
    return Math.ceil(this.#file.sizeBytes / SECTOR_BYTES) * SECTOR_BYTES
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    checkRange(this, at, into.length)
    const count = await this.#file.read(at, into)
    into.fill(0, count)
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    checkChange(this, at, from.length)
    await this.#file.write(at, from)
  }

  placeOf(at: number, lengthBytes: number, toWrite: boolean): Place {
    if (toWrite) checkChange(this, at, lengthBytes)
    else checkRange(this, at, lengthBytes)
    return { file: this.#file, at }
  }

  async flush(): Promise<void> {
    await this.#file.flush()
  }

  async discard(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
    if (lengthBytes >= LEAST_HOLE_BYTES) await this.#file.punchHole(at, lengthBytes)
  }

  async writeZeroes(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
    if (lengthBytes >= LEAST_HOLE_BYTES && await this.#file.punchHole(at, lengthBytes)) return
    const found = new Uint8Array(Math.min(lengthBytes, ZERO_CHUNK_BYTES))
    for (let done = 0; done < lengthBytes; done += found.length) {
      const length = Math.min(found.length, lengthBytes - done)
      const part = found.subarray(0, length)
      await this.read(at + done, part)
      if (!isZero(part)) await this.#file.write(at + done, zeros.subarray(0, length))
    }
  }

  async resize(sizeBytes: number): Promise<void> {
    checkResize(this, sizeBytes)
    if (this.#file.isDevice) {
      throw new StorageError('unsupported', 'a block device cannot be resized from here')
    }
    await this.#file.truncate(sizeBytes)
  }

  async extent(at: number, lengthBytes: number): Promise<Extent> {
    checkRange(this, at, lengthBytes)
    return { kind: 'data', lengthBytes, depth: 0, offset: at }
  }

  async close(): Promise<void> {
    try {
      if (this.#file.writable) await this.#file.flush()
    } finally {
      await this.#file.close()
    }
  }
}
