/**
 * Reference counts of an image's clusters, and with them the free ones.
 *
 * A cluster is taken in two steps: `reserve` promises it in memory only, so that its data can be
 * written while the image knows nothing of it; `adjust` counts it in the tables. A count is raised
 * before, and lowered after, what refers to the cluster: what a sudden death leaves is a cluster
 * too many, never one too few.
 *
 * A refcount block lies in the range that it describes and counts itself, so that it and its own
 * count appear together when the table comes to point at it. The same holds for a larger table.
 *
 * Calls come one at a time: the store's mutex is held.
 */
import type { HostFile, Piece } from '../../base/host-file.ts'
import { StorageError } from '../error.ts'
import { corrupt, offsetAt, Qcow2Header, type Qcow2Facts, writeEntry } from './format.ts'
import { ChangedSectors, type TableCache } from './table-cache.ts'

const o = Qcow2Header.offsets

/** Where the table is and of how many clusters. */
interface TablePlace {
  readonly offset: number
  readonly clusters: number
}

export class Refcounts {
  readonly #file: HostFile
  readonly #cache: TableCache
  readonly #clusterBytes: number
  readonly #bits: number
  /** Clusters that one block describes. */
  readonly perBlock: number
  #place: TablePlace
  #table: DataView
  readonly #reserved = new Set<number>()
  /** No cluster below it is free. */
  #hint = 0

  private constructor(file: HostFile, cache: TableCache, facts: Qcow2Facts, table: DataView) {
    this.#file = file
    this.#cache = cache
    this.#clusterBytes = 2 ** facts.clusterBits
    this.#bits = 2 ** facts.refcountOrder
    this.perBlock = this.#clusterBytes * 8 / this.#bits
    this.#place = { offset: facts.refcountTableOffset, clusters: facts.refcountTableClusters }
    this.#table = table
  }

  static async load(file: HostFile, cache: TableCache, facts: Qcow2Facts): Promise<Refcounts> {
    const table = new Uint8Array(facts.refcountTableClusters * 2 ** facts.clusterBits)
    await file.read(facts.refcountTableOffset, table)
    const refcounts = new Refcounts(file, cache, facts, new DataView(table.buffer))
    refcounts.#checkBlocks()
    return refcounts
  }

  /** Blocks are in the file and are not each other, so that their number is that of the file's. */
  #checkBlocks(): void {
    const seen = new Set<number>()
    for (const offset of this.blocks()) {
      if (offset === 0) continue
      if (offset >= this.#file.sizeBytes || seen.has(offset)) {
        throw corrupt('a refcount block is outside the file or used twice')
      }
      seen.add(offset)
    }
  }

  get place(): TablePlace {
    return this.#place
  }

  get maximum(): number {
    return 2 ** Math.min(this.#bits, 53) - 1
  }

  /** Where the blocks are; 0 where there is none. */
  blocks(): number[] {
    return Array.from({ length: this.#table.byteLength / 8 }, (_, i) => this.#blockOffset(i))
  }

  /** The block that counts range `index`, if there is one. */
  async block(index: number): Promise<DataView | undefined> {
    const offset = this.#blockOffset(index)
    return offset === 0 ? undefined : this.#cache.get(offset)
  }

  countIn(block: DataView, entry: number): number {
    return getCount(block, entry, this.#bits)
  }

  async get(cluster: number): Promise<number> {
    const offset = this.#blockOffset(Math.floor(cluster / this.perBlock))
    if (offset === 0) return 0
    return getCount(await this.#cache.get(offset), cluster % this.perBlock, this.#bits)
  }

  /** Neither used nor promised. */
  async isFree(cluster: number): Promise<boolean> {
    return !this.#reserved.has(cluster) && await this.get(cluster) === 0
  }

  /** Promises `count` free clusters, in rising order. */
  async reserve(count: number): Promise<number[]> {
    const found: number[] = []
    try {
      let cluster = this.#hint
      while (found.length < count) {
        const block = await this.#ensureBlock(Math.floor(cluster / this.perBlock))
        const end = (Math.floor(cluster / this.perBlock) + 1) * this.perBlock
        for (; cluster < end && found.length < count; cluster++) {
          const used = getCount(block, cluster % this.perBlock, this.#bits) !== 0
          if (!used && !this.#reserved.has(cluster)) found.push(cluster)
        }
      }
      this.#hint = cluster
    } finally {
      for (const cluster of found) this.#reserved.add(cluster)
    }
    return found
  }

  /** Promises `count` free clusters that follow one another; the first. */
  async reserveRun(count: number): Promise<number> {
    let first = this.#hint
    for (let cluster = first; cluster - first < count; cluster++) {
      await this.#ensureBlock(Math.floor(cluster / this.perBlock))
      if (this.#reserved.has(cluster) || await this.get(cluster) !== 0) first = cluster + 1
    }
    for (let i = 0; i < count; i++) this.#reserved.add(first + i)
    return first
  }

  /** Looks for free clusters from the start again. */
  rescan(): void {
    this.#hint = 0
  }

  /** Takes promises back: of clusters that are counted now, or are not used after all. */
  release(clusters: Iterable<number>): void {
    for (const cluster of clusters) {
      this.#reserved.delete(cluster)
      this.#hint = Math.min(this.#hint, cluster)
    }
  }

  /** Reads the blocks of these clusters, so that `adjust` finds them. */
  async blocksOf(clusters: Iterable<number>): Promise<Map<number, DataView>> {
    const blocks = new Map<number, DataView>()
    for (const cluster of clusters) {
      const index = Math.floor(cluster / this.perBlock)
      if (blocks.has(index)) continue
      const block = await this.block(index)
      if (!block) throw corrupt(`cluster ${cluster} is used and not counted`)
      blocks.set(index, block)
    }
    return blocks
  }

  /**
   * Changes counts in memory; what has to be written to the file. A change is [cluster, by how
   * much].
   */
  adjust(blocks: ReadonlyMap<number, DataView>, changes: Iterable<[number, number]>): Piece[] {
    const changed = new ChangedSectors()
    for (const [cluster, by] of changes) {
      const index = Math.floor(cluster / this.perBlock)
      const block = blocks.get(index)!
      const entry = cluster % this.perBlock
      const count = getCount(block, entry, this.#bits) + by
      if (count < 0) throw corrupt(`cluster ${cluster} is used more often than it is counted`)
      if (count > this.maximum) {
        throw new StorageError('unsupported',
          `qcow2: refcounts of ${this.#bits} bits allow no more than ${this.maximum} uses`)
      }
      setCount(block, entry, this.#bits, count)
      changed.add(block, this.#blockOffset(index), Math.floor(entry * this.#bits / 8))
      if (count === 0) this.#hint = Math.min(this.#hint, cluster)
    }
    return changed.pieces()
  }

  #blockOffset(index: number): number {
    if (index * 8 >= this.#table.byteLength) return 0
    const offset = offsetAt(this.#table, index * 8)
    if (offset % this.#clusterBytes !== 0) throw corrupt('a refcount block is not aligned')
    return offset
  }

  async #ensureBlock(index: number): Promise<DataView> {
    const known = this.#blockOffset(index)
    if (known !== 0) return this.#cache.get(known)
    if (index * 8 >= this.#table.byteLength) {
      await this.#growTable(index)
      return this.#cache.get(this.#blockOffset(index))
    }
    // Without a block all of the range is free.
    return this.makeBlock(index, index * this.perBlock)
  }

  /** Makes the block that counts range `index`, in the free cluster `home` of that range. */
  async makeBlock(index: number, home: number): Promise<DataView> {
    if (index * 8 >= this.#table.byteLength) throw corrupt('a cluster beyond the refcount table')
    const block = new DataView(new ArrayBuffer(this.#clusterBytes))
    setCount(block, home % this.perBlock, this.#bits, 1)
    const offset = home * this.#clusterBytes
    await this.#file.write(offset, new Uint8Array(block.buffer))
    const entry = new DataView(new ArrayBuffer(8))
    writeEntry(entry, 0, offset, false)
    await this.#file.write(this.#place.offset + index * 8, new Uint8Array(entry.buffer))
    writeEntry(this.#table, index * 8, offset, false)
    this.#cache.put(offset, block)
    return block
  }

  /**
   * Moves to a larger table that has a block for range `index`. The blocks that count the table's
   * clusters come first, then the table, all in ranges that had no block yet.
   */
  async #growTable(index: number): Promise<void> {
    const first = index * this.perBlock
    const perCluster = this.#clusterBytes / 8
    let blocks = 1
    let clusters = 0
    for (let settled = false; !settled;) {
      clusters = Math.ceil((index + blocks) * 1.5 / perCluster)
      const needed = Math.ceil((blocks + clusters) / this.perBlock)
      settled = needed <= blocks
      blocks = Math.max(blocks, needed)
    }
    const taken = blocks + clusters
    const table = new DataView(new ArrayBuffer(clusters * this.#clusterBytes))
    new Uint8Array(table.buffer).set(new Uint8Array(this.#table.buffer))
    const offset = (first + blocks) * this.#clusterBytes
    for (let i = 0; i < blocks; i++) {
      const block = new DataView(new ArrayBuffer(this.#clusterBytes))
      const counted = Math.min(taken - i * this.perBlock, this.perBlock)
      for (let entry = 0; entry < counted; entry++) setCount(block, entry, this.#bits, 1)
      const at = (first + i) * this.#clusterBytes
      writeEntry(table, (index + i) * 8, at, false)
      await this.#file.write(at, new Uint8Array(block.buffer))
    }
    await this.#file.write(offset, new Uint8Array(table.buffer))
    await this.#file.flush()
    await this.#moveTable({ offset, clusters }, table)
  }

  /** Makes the header point to a table that is in the file, and frees the old one. */
  async #moveTable(place: TablePlace, table: DataView): Promise<void> {
    const pointer = new DataView(new ArrayBuffer(12))
    writeEntry(pointer, 0, place.offset, false)
    pointer.setUint32(8, place.clusters)
    await this.#file.write(o.refcount_table_offset, new Uint8Array(pointer.buffer))
    const old = this.#place
    this.#place = place
    this.#table = table
    const freed = Array.from({ length: old.clusters },
      (_, i): [number, number] => [old.offset / this.#clusterBytes + i, -1])
    const blocks = await this.blocksOf(freed.map(([cluster]) => cluster))
    await this.#file.writeInOrder(this.adjust(blocks, freed))
  }
}

/** The count number `entry` of a block whose counts have `bits` bits. */
function getCount(block: DataView, entry: number, bits: number): number {
  switch (bits) {
    case 8: return block.getUint8(entry)
    case 16: return block.getUint16(entry * 2)
    case 32: return block.getUint32(entry * 4)
    case 64: return block.getUint32(entry * 8) * 2 ** 32 + block.getUint32(entry * 8 + 4)
    default: {
      const bit = entry * bits
      return block.getUint8(bit >>> 3) >>> (bit & 7) & (1 << bits) - 1
    }
  }
}

function setCount(block: DataView, entry: number, bits: number, count: number): void {
  switch (bits) {
    case 8: block.setUint8(entry, count); return
    case 16: block.setUint16(entry * 2, count); return
    case 32: block.setUint32(entry * 4, count); return
    case 64:
      block.setUint32(entry * 8, Math.floor(count / 2 ** 32))
      block.setUint32(entry * 8 + 4, count % 2 ** 32)
      return
    default: {
      const bit = entry * bits
      const mask = (1 << bits) - 1 << (bit & 7)
      const rest = block.getUint8(bit >>> 3) & ~mask
      block.setUint8(bit >>> 3, rest | count << (bit & 7) & mask)
    }
  }
}
