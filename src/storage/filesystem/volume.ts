/**
 * A range of a disk, read at any byte: where partitions and file systems are looked for.
 *
 * Small reads go through a cache of pages, since metadata are read again and again.
 */
import { type BlockStore, SECTOR_BYTES } from '../block-store.ts'
import { StorageError } from '../error.ts'

const PAGE_BYTES = 4096
const CACHED_PAGES = 256

export class Volume {
  readonly #store: BlockStore
  readonly #offset: number
  readonly sizeBytes: number
  readonly #pages = new Map<number, Promise<Uint8Array>>()

  /** The range must begin on a sector; what of it is beyond the disk cannot be read. */
  constructor(store: BlockStore, offset = 0, sizeBytes = store.sizeBytes - offset) {
    this.#store = store
    this.#offset = offset
    this.sizeBytes = Math.max(0, Math.min(sizeBytes, store.sizeBytes - offset))
  }

  /** Bytes that must all be there. */
  async read(at: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const fits = Number.isSafeInteger(at) && at >= 0 && at <= this.sizeBytes - lengthBytes
    if (!fits) throw new StorageError('corrupt', 'something lies beyond the end of the disk')
    const page = Math.floor(at / PAGE_BYTES)
    if (Math.floor((at + lengthBytes - 1) / PAGE_BYTES) === page) {
      const bytes = await this.#page(page)
      const within = at % PAGE_BYTES
      return bytes.slice(within, within + lengthBytes) as Uint8Array<ArrayBuffer>
    }
    return this.#readThrough(at, lengthBytes)
  }

  async #readThrough(at: number, lengthBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    const from = at - at % SECTOR_BYTES
    const end = Math.ceil((at + lengthBytes) / SECTOR_BYTES) * SECTOR_BYTES
    const bytes = new Uint8Array(end - from)
    await this.#store.read(this.#offset + from, bytes)
    return bytes.subarray(at - from, at - from + lengthBytes)
  }

  #page(index: number): Promise<Uint8Array> {
    const at = index * PAGE_BYTES
    const known = this.#pages.get(index)
    const page = known ?? this.#readThrough(at, Math.min(PAGE_BYTES, this.sizeBytes - at))
    if (!known) page.catch(() => this.#pages.delete(index))
    this.#pages.delete(index)
    this.#pages.set(index, page)
    if (this.#pages.size > CACHED_PAGES) {
      const [oldest] = this.#pages.keys()
      this.#pages.delete(oldest!)
    }
    return page
  }
}

/** A view of bytes, for numbers in them. */
export function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
