/**
 * The disk of a drive without a medium: it has no sectors.
 */
import { type BlockStore, checkChange, checkRange, checkResize, type Extent } from
  './block-store.ts'

class EmptyStore implements BlockStore {
  readonly format = 'raw'
  readonly writable = false
  readonly sizeBytes = 0

  async read(at: number, into: Uint8Array): Promise<void> {
    checkRange(this, at, into.length)
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    checkChange(this, at, from.length)
  }

  placeOf(): undefined {}

  async flush(): Promise<void> {}

  async discard(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
  }

  async writeZeroes(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
  }

  async resize(sizeBytes: number): Promise<void> {
    checkResize(this, sizeBytes)
  }

  async extent(at: number, lengthBytes: number): Promise<Extent> {
    checkRange(this, at, lengthBytes)
    return { kind: 'absent', lengthBytes, depth: 0 }
  }

  async close(): Promise<void> {}
}

export const emptyStore: BlockStore = new EmptyStore()
