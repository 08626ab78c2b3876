/**
 * An open VHD: footer and header, block allocation table and bitmaps.
 *
 * A block comes in an order that a sudden death cannot turn into damage: the footer beyond it, its
 * bitmap, its entry in the table. Until data is written, a new block reads as the disk did before.
 * What a death leaves is at most a hole in the file that belongs to no block.
 */
import type { HostFile } from '../../base/host-file.ts'
import { StorageError } from '../error.ts'
import { Mutex } from '../ordering.ts'
import {
  bitmapBytesOf, corrupt, DISK_DIFFERENCING, DISK_DYNAMIC, DISK_FIXED, emptyBatmap, Footer,
  FOOTER_BYTES, type FooterView, Header, HEADER_BYTES, type HeaderView, isFooter, MAX_VHD_BYTES,
  NO_BLOCK, readHeader, sealHeader, setFooterSize, tableBytesOf,
} from './format.ts'

const SECTOR = 512
/** Data of blocks begins on a page of the host. */
const PAGE_SECTORS = 8
const MAX_BITMAPS = 4096

export class VhdImage {
  readonly file: HostFile
  readonly footer: FooterView
  readonly #footerBytes: Uint8Array
  /** Of dynamic and differencing disks. */
  readonly header: HeaderView | undefined
  readonly #headerBytes: Uint8Array
  #table: DataView
  readonly blockBytes: number
  readonly bitmapBytes: number
  readonly #mutex = new Mutex()
  /** Bytes of the footer at the end of the file: none where another program lost it. */
  #tailBytes: number
  /** In the order of use, the oldest first. */
  readonly #bitmaps = new Map<number, Promise<Uint8Array>>()
  /** Those of them that have come. */
  readonly #loaded = new Map<number, Uint8Array>()

  private constructor(
    file: HostFile, footerBytes: Uint8Array, headerBytes: Uint8Array,
    header: HeaderView | undefined, table: DataView, tailBytes: number,
  ) {
    this.#tailBytes = tailBytes
    this.file = file
    this.#footerBytes = footerBytes
    this.footer = Footer.on(footerBytes)
    this.#headerBytes = headerBytes
    this.header = header
    this.#table = table
    this.blockBytes = header?.block_size ?? 0
    this.bitmapBytes = bitmapBytesOf(this.blockBytes)
  }

  static async load(file: HostFile): Promise<VhdImage> {
    const { bytes: footerBytes, tailBytes } = await readFooter(file)
    const footer = Footer.on(footerBytes)
    const none = new DataView(new ArrayBuffer(0))
    const { disk_type: type, current_size: size } = footer
    if (size > MAX_VHD_BYTES || size % SECTOR !== 0) throw corrupt(`a disk of ${size} bytes`)
    if (type === DISK_FIXED) {
      if (size > file.sizeBytes) throw corrupt('the file is shorter than the disk')
      return new VhdImage(file, footerBytes, new Uint8Array(0), undefined, none, tailBytes)
    }
    if (type !== DISK_DYNAMIC && type !== DISK_DIFFERENCING) {
      throw new StorageError('unsupported', `VHD: a disk of type ${type}`)
    }
    if (file.isDevice && file.writable) {
      throw new StorageError('unsupported', 'VHD: a growing disk on a block device')
    }
    const headerBytes = new Uint8Array(HEADER_BYTES)
    await file.read(footer.data_offset.get(0) * 2 ** 32 + footer.data_offset.get(1), headerBytes)
    const header = readHeader(headerBytes)
    const entries = header.max_table_entries
    if (entries * header.block_size < size) throw corrupt('the block table is too small')
    if (entries * 4 > file.sizeBytes) throw corrupt('the block table is not in the file')
    const table = new Uint8Array(entries * 4)
    if (await file.read(header.table_offset, table) < table.length) {
      throw corrupt('the block table is not in the file')
    }
    return new VhdImage(
      file, footerBytes, headerBytes, header, new DataView(table.buffer), tailBytes)
  }

  get sizeBytes(): number {
    return this.footer.current_size
  }

  get isDifferencing(): boolean {
    return this.footer.disk_type === DISK_DIFFERENCING
  }

  /** Where a block's bitmap begins in the file, its data behind it; undefined without a block. */
  blockAt(index: number): number | undefined {
    const sector = this.#table.getUint32(index * 4)
    return sector === NO_BLOCK ? undefined : sector * SECTOR
  }

  /** A block's bitmap, one bit a sector, the highest of a byte first. */
  bitmap(index: number): Promise<Uint8Array> {
    const known = this.#bitmaps.get(index)
    const bitmap = known ?? this.#readBitmap(index)
    this.#bitmaps.delete(index)
    this.#bitmaps.set(index, bitmap)
    if (!known) {
      const came = (bytes: Uint8Array): void => {
        if (this.#bitmaps.get(index) === bitmap) this.#loaded.set(index, bytes)
      }
      bitmap.then(came, () => {})
    }
    if (this.#bitmaps.size > MAX_BITMAPS) {
      const [oldest] = this.#bitmaps.keys()
      this.#forget(oldest!)
    }
    return bitmap
  }

  /** A block's bitmap if it is here. */
  bitmapNow(index: number): Uint8Array | undefined {
    return this.#loaded.get(index)
  }

  #forget(index: number): void {
    this.#bitmaps.delete(index)
    this.#loaded.delete(index)
  }

  async #readBitmap(index: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(this.bitmapBytes)
    try {
      await this.file.read(this.blockAt(index)!, bytes)
    } catch (error) {
      this.#forget(index)
      throw error
    }
    return bytes
  }

  /** Makes a block if there is none yet; where it is. */
  async ensureBlock(index: number): Promise<number> {
    return this.blockAt(index) ?? this.#mutex.run(async () => {
      const known = this.blockAt(index)
      if (known !== undefined) return known
      const place = this.#nextPlace()
      const end = place + this.bitmapBytes + this.blockBytes
      if (end / SECTOR >= NO_BLOCK) throw new StorageError('unsupported', 'VHD: the file is full')
      const bitmap = new Uint8Array(this.bitmapBytes)
      // Without a parent a new block's zeros are the disk's.
      if (!this.isDifferencing) bitmap.fill(0xff, 0, this.blockBytes / SECTOR / 8)
      await this.file.write(end, this.#footerBytes)
      this.#tailBytes = FOOTER_BYTES
      await this.file.write(place, bitmap)
      const entry = new DataView(new ArrayBuffer(4))
      entry.setUint32(0, place / SECTOR)
      await this.file.write(this.header!.table_offset + index * 4, new Uint8Array(entry.buffer))
      this.#table.setUint32(index * 4, place / SECTOR)
      return place
    })
  }

  /** Where the next block goes: over the footer, or beyond what else the file ends with. */
  #nextPlace(): number {
    const end = Math.ceil((this.file.sizeBytes - this.#tailBytes) / SECTOR)
    const misaligned = (end + this.bitmapBytes / SECTOR) % PAGE_SECTORS
    return (end + (misaligned === 0 ? 0 : PAGE_SECTORS - misaligned)) * SECTOR
  }

  /** Says that `count` sectors from `first` of a block are its own; their data is in the file. */
  async claim(index: number, first: number, count: number): Promise<void> {
    if (runLength(await this.bitmap(index), first, count, true) === count) return
    await this.#mutex.run(async () => {
      const bitmap = await this.bitmap(index)
      for (let i = first; i < first + count; i++) bitmap[i >>> 3]! |= 0x80 >>> (i & 7)
      const from = Math.floor((first >>> 3) / SECTOR) * SECTOR
      const to = Math.floor((first + count - 1 >>> 3) / SECTOR + 1) * SECTOR
      try {
        await this.file.write(this.blockAt(index)! + from, bitmap.subarray(from, to))
      } catch (error) {
        this.#forget(index)
        throw error
      }
    })
  }

  /** Gives the disk another size; a growing disk's table moves to the end when it is too small. */
  async resize(sizeBytes: number): Promise<void> {
    if (sizeBytes > MAX_VHD_BYTES) {
      throw new StorageError('invalid', 'a VHD has at most 2040 GiB')
    }
    await this.#mutex.run(async () => {
      if (!this.header) return this.#resizeFixed(sizeBytes)
      const entries = Math.ceil(sizeBytes / this.blockBytes)
      if (entries > this.header.max_table_entries) await this.#moveTable(this.header, entries)
      setFooterSize(this.#footerBytes, sizeBytes)
      await this.file.write(0, this.#footerBytes)
      await this.file.write(this.file.sizeBytes - this.#tailBytes, this.#footerBytes)
      this.#tailBytes = FOOTER_BYTES
    })
  }

  async #resizeFixed(sizeBytes: number): Promise<void> {
    const before = this.sizeBytes
    setFooterSize(this.#footerBytes, sizeBytes)
    if (this.file.isDevice) throw new StorageError('unsupported', 'VHD: another size on a device')
    await this.file.write(sizeBytes, this.#footerBytes)
    if (sizeBytes > before) {
      const rest = Math.min(FOOTER_BYTES, sizeBytes - before)
      await this.file.write(before, new Uint8Array(rest))
    } else {
      await this.file.truncate(sizeBytes + FOOTER_BYTES)
    }
  }

  async #moveTable(header: HeaderView, entries: number): Promise<void> {
    const { table, batmap } = tableBytesOf(entries)
    const place = Math.ceil(this.file.sizeBytes / SECTOR) * SECTOR
    const bytes = new Uint8Array(table + batmap + FOOTER_BYTES)
    bytes.fill(0xff, 0, table)
    bytes.set(new Uint8Array(this.#table.buffer))
    bytes.set(emptyBatmap(entries, place + table), table)
    bytes.set(this.#footerBytes, table + batmap)
    await this.file.write(place, bytes)
    this.#tailBytes = FOOTER_BYTES
    await this.file.flush()
    header.table_offset = place
    header.max_table_entries = entries
    sealHeader(this.#headerBytes)
    const at = this.footer.data_offset
    await this.file.write(at.get(0) * 2 ** 32 + at.get(1), this.#headerBytes)
    this.#table = new DataView(bytes.buffer.slice(0, entries * 4))
  }

  uniqueId(): Uint8Array {
    const { unique_id: at } = Footer.offsets
    return this.#footerBytes.slice(at, at + 16)
  }

  parentId(): Uint8Array {
    const { parent_unique_id: at } = Header.offsets
    return this.#headerBytes.slice(at, at + 16)
  }
}

/**
 * The footer: at the end, or else the copy that growing disks have at the start. The start of a
 * fixed disk is its guest's, which must not be able to make another disk of it.
 */
async function readFooter(file: HostFile): Promise<{ bytes: Uint8Array, tailBytes: number }> {
  const bytes = new Uint8Array(FOOTER_BYTES)
  const at = file.sizeBytes - FOOTER_BYTES
  if (at >= 0) await file.read(at, bytes)
  if (isFooter(bytes)) return { bytes, tailBytes: FOOTER_BYTES }
  await file.read(0, bytes)
  if (isFooter(bytes) && Footer.on(bytes).disk_type !== DISK_FIXED) return { bytes, tailBytes: 0 }
  throw corrupt('neither the end nor the start of the file is a footer')
}

export function isSet(bitmap: Uint8Array, index: number): boolean {
  return (bitmap[index >>> 3]! & 0x80 >>> (index & 7)) !== 0
}

/** How many bits from `first` on, of at most `count`, are `set`. */
export function runLength(
  bitmap: Uint8Array, first: number, count: number, set: boolean,
): number {
  const whole = set ? 0xff : 0
  let i = first
  while (i < first + count) {
    if ((i & 7) === 0 && i + 8 <= first + count && bitmap[i >>> 3] === whole) i += 8
    else if (isSet(bitmap, i) === set) i += 1
    else break
  }
  return i - first
}
