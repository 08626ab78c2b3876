/**
 * The disk in a VHD: fixed, dynamic, or the end of a chain of differencing disks.
 *
 * A sector whose bit is not set in its block's bitmap is the parent's, or zero; blktap reads
 * dynamic disks so too. Discarding does nothing: blktap may know from a batmap that a block is
 * full, so bits are never taken back.
 */
import {
  type BlockStore, checkChange, checkRange, checkResize, type Extent, isZero, type Place,
} from '../block-store.ts'
import { type VhdImage, isSet, runLength } from './image.ts'

const SECTOR = 512
const ZERO_CHUNK_BYTES = 1 << 20

/** A part of a request within one block: of the file, or of the parent. */
interface Part {
  readonly at: number
  readonly lengthBytes: number
  readonly host: number | undefined
}

export class VhdStore implements BlockStore {
  readonly format = 'vpc'
  readonly image: VhdImage
  readonly parent: BlockStore | undefined

  constructor(image: VhdImage, parent: BlockStore | undefined) {
    this.image = image
    this.parent = parent
  }

  get writable(): boolean {
    return this.image.file.writable
  }

  get sizeBytes(): number {
    return this.image.sizeBytes
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    checkRange(this, at, into.length)
    const reads: Promise<void>[] = []
    for (let done = 0; done < into.length;) {
      const part = await this.#part(at + done, into.length - done)
      reads.push(this.#readPart(part, into.subarray(done, done + part.lengthBytes)))
      done += part.lengthBytes
    }
    await Promise.all(reads)
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    checkChange(this, at, from.length)
    if (!this.image.header) {
      await this.image.file.write(at, from)
      return
    }
    const writes: Promise<void>[] = []
    for (let done = 0; done < from.length;) {
      const length = this.#withinBlock(at + done, from.length - done)
      writes.push(this.#writePart(at + done, from.subarray(done, done + length)))
      done += length
    }
    await Promise.all(writes)
  }

  placeOf(at: number, lengthBytes: number, toWrite: boolean): Place | undefined {
    if (toWrite) checkChange(this, at, lengthBytes)
    else checkRange(this, at, lengthBytes)
    const { image } = this
    if (!image.header) return { file: image.file, at }
    const index = Math.floor(at / image.blockBytes)
    const block = image.blockAt(index)
    const bitmap = image.bitmapNow(index)
    if (block === undefined || !bitmap) return undefined
    const [within, sectors] = [at % image.blockBytes, lengthBytes / SECTOR]
    if (within + lengthBytes > image.blockBytes ||
      runLength(bitmap, within / SECTOR, sectors, true) < sectors) return undefined
    return { file: image.file, at: block + image.bitmapBytes + within }
  }

  async flush(): Promise<void> {
    await this.image.file.flush()
  }

  async discard(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
  }

  async writeZeroes(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
    await this.#zero(at, lengthBytes)
  }

  async resize(sizeBytes: number): Promise<void> {
    checkResize(this, sizeBytes)
    const before = this.sizeBytes
    await this.image.resize(sizeBytes)
    // A disk that was larger once, or has a larger parent, has something there.
    if (sizeBytes > before && this.image.header) await this.#zero(before, sizeBytes - before)
  }

  async extent(at: number, lengthBytes: number): Promise<Extent> {
    checkRange(this, at, lengthBytes)
    const part = await this.#part(at, lengthBytes)
    if (part.host !== undefined) {
      return { kind: 'data', lengthBytes: part.lengthBytes, depth: 0, offset: part.host }
    }
    const below = this.#backed(at, part.lengthBytes)
    if (!this.parent || below === 0) {
      return { kind: 'absent', lengthBytes: part.lengthBytes, depth: 0 }
    }
    const under = await this.parent.extent(at, below)
    return { ...under, depth: under.depth + 1 }
  }

  async close(): Promise<void> {
    try {
      if (this.writable) await this.image.file.flush()
    } finally {
      await this.image.file.close()
      await this.parent?.close()
    }
  }

  #withinBlock(at: number, lengthBytes: number): number {
    return Math.min(lengthBytes, this.image.blockBytes - at % this.image.blockBytes)
  }

  #backed(at: number, lengthBytes: number): number {
    return Math.max(0, Math.min(lengthBytes, (this.parent?.sizeBytes ?? 0) - at))
  }

  /** The first part of a range that is stored in one piece. */
  async #part(at: number, lengthBytes: number): Promise<Part> {
    if (!this.image.header) return { at, lengthBytes, host: at }
    const length = this.#withinBlock(at, lengthBytes)
    const index = Math.floor(at / this.image.blockBytes)
    const place = this.image.blockAt(index)
    if (place === undefined) return { at, lengthBytes: length, host: undefined }
    const bitmap = await this.image.bitmap(index)
    const within = at % this.image.blockBytes
    const own = isSet(bitmap, within / SECTOR)
    const run = runLength(bitmap, within / SECTOR, length / SECTOR, own) * SECTOR
    return {
      at, lengthBytes: run, host: own ? place + this.image.bitmapBytes + within : undefined,
    }
  }

  async #readPart(part: Part, into: Uint8Array): Promise<void> {
    if (part.host !== undefined) {
      const count = await this.image.file.read(part.host, into)
      into.fill(0, count)
      return
    }
    const below = this.#backed(part.at, into.length)
    if (below > 0) await this.parent!.read(part.at, into.subarray(0, below))
    into.fill(0, below)
  }

  /** A write within one block: the data, and then the bits that say that it is there. */
  async #writePart(at: number, from: Uint8Array): Promise<void> {
    const index = Math.floor(at / this.image.blockBytes)
    const within = at % this.image.blockBytes
    const place = await this.image.ensureBlock(index)
    await this.image.file.write(place + this.image.bitmapBytes + within, from)
    await this.image.claim(index, within / SECTOR, from.length / SECTOR)
  }

  /** Writes zeros where there is something else. */
  async #zero(at: number, lengthBytes: number): Promise<void> {
    const end = at + lengthBytes
    for (let from = at; from < end;) {
      const part = await this.#part(from, Math.min(end - from, ZERO_CHUNK_BYTES))
      if (part.host !== undefined || this.#backed(from, part.lengthBytes) > 0) {
        const found = new Uint8Array(part.lengthBytes)
        await this.#readPart(part, found)
        if (!isZero(found)) await this.write(from, found.fill(0))
      }
      from += part.lengthBytes
    }
  }
}
