/**
 * Counting anew who uses which cluster of an image, and putting the counts right.
 *
 * Everything is read that refers to clusters: header, refcount table and blocks, L1 and L2 tables,
 * snapshots. What contradicts itself beyond the counts (a cluster outside the file, metadata that
 * is also data) is damage that nothing here repairs.
 */
import type { ImageSnapshot } from './snapshot-table.ts'
import { corrupt, isCopied, mappingAt, offsetAt, writeEntry } from './format.ts'
import type { Qcow2Image } from './image.ts'
import { ChangedSectors } from './table-cache.ts'
import { readTable } from './tree.ts'

/** How often each cluster is used, in chunks of which only those exist that have any. */
class UseCounts {
  readonly #chunks = new Map<number, Uint32Array>()
  readonly #metadata = new Set<number>()
  static readonly chunkClusters = 4096

  get(cluster: number): number {
    const chunk = this.#chunks.get(Math.floor(cluster / UseCounts.chunkClusters))
    return chunk ? chunk[cluster % UseCounts.chunkClusters]! : 0
  }

  add(cluster: number, by = 1): void {
    const index = Math.floor(cluster / UseCounts.chunkClusters)
    let chunk = this.#chunks.get(index)
    if (!chunk) {
      chunk = new Uint32Array(UseCounts.chunkClusters)
      this.#chunks.set(index, chunk)
    }
    chunk[cluster % UseCounts.chunkClusters]! += by
  }

  addMetadata(cluster: number): void {
    this.add(cluster)
    this.#metadata.add(cluster)
  }

  isMetadata(cluster: number): boolean {
    return this.#metadata.has(cluster)
  }

  /** Clusters with uses, in no order. */
  *used(): Generator<[number, number]> {
    for (const [index, chunk] of this.#chunks) {
      for (let i = 0; i < chunk.length; i++) {
        if (chunk[i] !== 0) yield [index * UseCounts.chunkClusters + i, chunk[i]!]
      }
    }
  }
}

export interface Census {
  readonly counts: UseCounts
  readonly leaks: readonly number[]
  /** Clusters that are used more often than they are counted. */
  readonly uncounted: readonly number[]
  /** Damage that is not a matter of counts. */
  readonly damage: readonly string[]
  /** Entries whose COPIED flag does not say whether the count is one: table and position. */
  readonly flags: ReadonlyArray<readonly [number, number]>
  /** Clusters of the disk that have data. */
  readonly dataClusters: number
  readonly compressedClusters: number
}

/** More says no more. */
const MAX_DAMAGE = 100

class Counter {
  readonly counts = new UseCounts()
  readonly damage: string[] = []
  dataClusters = 0
  compressedClusters = 0
  readonly #image: Qcow2Image
  readonly #fileClusters: number
  #damageCount = 0

  constructor(image: Qcow2Image) {
    this.#image = image
    this.#fileClusters = Math.ceil(image.file.sizeBytes / image.clusterBytes)
  }

  say(what: string): void {
    this.#damageCount += 1
    if (this.damage.length < MAX_DAMAGE) this.damage.push(what)
  }

  /** Counts a table's clusters; whether they are in the file and nothing else. */
  metadata(offset: number, lengthBytes: number, what: string): boolean {
    const known = this.#damageCount
    const first = offset / this.#image.clusterBytes
    const count = Math.ceil(lengthBytes / this.#image.clusterBytes)
    if (first + count > this.#fileClusters) {
      this.say(`${what} at ${offset} is outside the file`)
      return false
    }
    for (let i = 0; i < count; i++) {
      if (this.counts.isMetadata(first + i)) {
        this.say(`${what} at ${offset} overlaps other metadata`)
      }
      this.counts.addMetadata(first + i)
    }
    return this.#damageCount === known
  }

  /** An L1 table's clusters, and what hangs on it; L2 tables may be shared with snapshots. */
  async tree(l1: DataView, isActive: boolean, tables: Set<number>): Promise<void> {
    for (let i = 0; i < l1.byteLength; i += 8) {
      const offset = offsetAt(l1, i)
      if (offset === 0) continue
      if (offset % this.#image.clusterBytes !== 0 || offset >= this.#image.file.sizeBytes) {
        this.say(`an L2 table at ${offset} is misplaced`)
        continue
      }
      const cluster = offset / this.#image.clusterBytes
      if (!tables.has(cluster) && this.counts.isMetadata(cluster)) {
        this.say(`an L2 table at ${offset} overlaps other metadata`)
      }
      if (isActive && tables.has(cluster)) {
        this.say(`an L2 table at ${offset} is used twice`)
        continue
      }
      tables.add(cluster)
      this.counts.addMetadata(cluster)
      await this.#table(offset, isActive)
    }
  }

  async #table(offset: number, isActive: boolean): Promise<void> {
    const { facts, clusterBytes } = this.#image
    const table = await readTable(this.#image.file, offset, clusterBytes / 8)
    for (let at = 0; at < clusterBytes; at += 8) {
      try {
        const mapping = mappingAt(table, at, facts.clusterBits, facts.version === 3)
        if (mapping.kind === 'absent' || mapping.host === undefined) continue
        const packed = mapping.kind === 'compressed'
        if (isActive) this.dataClusters += 1
        if (isActive && packed) this.compressedClusters += 1
        this.#data(mapping.host, packed ? mapping.lengthBytes : clusterBytes)
      } catch (error) {
        this.say((error as Error).message)
      }
    }
  }

  #data(host: number, lengthBytes: number): void {
    const first = Math.floor(host / this.#image.clusterBytes)
    const last = Math.floor((host + lengthBytes - 1) / this.#image.clusterBytes)
    // The last sectors of a compressed cluster may be beyond the end.
    if (first >= this.#fileClusters) this.say(`a cluster at ${host} is outside the file`)
    else for (let cluster = first; cluster <= last; cluster++) this.counts.add(cluster)
    if (this.counts.isMetadata(first)) this.say(`a cluster at ${host} is metadata too`)
  }
}

/** Counts the uses of everything; `snapshots` are those of the image. */
export async function takeCensus(
  image: Qcow2Image, snapshots: readonly ImageSnapshot[],
): Promise<Census> {
  const { facts, clusterBytes, tree } = image
  const refcounts = await image.loadRefcounts()
  const counter = new Counter(image)
  counter.metadata(0, 1, 'the header')
  counter.metadata(refcounts.place.offset, refcounts.place.clusters * clusterBytes,
    'the refcount table')
  for (const block of refcounts.blocks()) {
    if (block !== 0) counter.metadata(block, clusterBytes, 'a refcount block')
  }
  counter.metadata(tree.l1Offset, tree.l1.byteLength, 'the L1 table')
  if (snapshots.length > 0) {
    const end = snapshots.at(-1)!.end
    counter.metadata(facts.snapshotsOffset, end - facts.snapshotsOffset, 'the snapshot table')
  }
  const tables = new Set<number>()
  await counter.tree(tree.l1, true, tables)
  for (const snapshot of snapshots) {
    const place = [snapshot.l1Offset, snapshot.l1Entries * 8] as const
    // The same table many times would be much work for nothing.
    if (!counter.metadata(...place, 'a snapshot\'s L1 table')) continue
    const l1 = await readTable(image.file, snapshot.l1Offset, snapshot.l1Entries)
    await counter.tree(l1, false, tables)
  }
  const { leaks, uncounted } = await compare(image, counter.counts)
  return {
    counts: counter.counts, leaks, uncounted, damage: counter.damage,
    flags: counter.damage.length > 0 ? [] : await wrongFlags(image, counter.counts),
    dataClusters: counter.dataClusters, compressedClusters: counter.compressedClusters,
  }
}

async function compare(
  image: Qcow2Image, counts: UseCounts,
): Promise<{ leaks: number[], uncounted: number[] }> {
  const refcounts = await image.loadRefcounts()
  const leaks: number[] = []
  const uncounted: number[] = []
  const counted = new Set<number>()
  for (const index of refcounts.blocks().keys()) {
    const block = await refcounts.block(index)
    if (!block) continue
    counted.add(index)
    for (let i = 0; i < refcounts.perBlock; i++) {
      const cluster = index * refcounts.perBlock + i
      const difference = refcounts.countIn(block, i) - counts.get(cluster)
      if (difference > 0) leaks.push(cluster)
      if (difference < 0) uncounted.push(cluster)
    }
  }
  for (const [cluster] of counts.used()) {
    if (!counted.has(Math.floor(cluster / refcounts.perBlock))) uncounted.push(cluster)
  }
  return { leaks, uncounted }
}

/** Entries of the disk's own tables whose COPIED flag is wrong, given right counts. */
async function wrongFlags(image: Qcow2Image, counts: UseCounts): Promise<[number, number][]> {
  const wrong: [number, number][] = []
  const { tree, clusterBytes, facts } = image
  for (let i = 0; i < tree.l1.byteLength; i += 8) {
    const offset = offsetAt(tree.l1, i)
    if (offset === 0) continue
    const isOwn = counts.get(offset / clusterBytes) === 1
    if (isCopied(tree.l1, i) !== isOwn) wrong.push([tree.l1Offset, i])
    const table = await image.cache.get(offset)
    for (let at = 0; at < clusterBytes; at += 8) {
      const mapping = mappingAt(table, at, facts.clusterBits, facts.version === 3)
      if (mapping.kind === 'absent' || mapping.kind === 'compressed') continue
      if (mapping.host === undefined) continue
      const single = counts.get(mapping.host / clusterBytes) === 1
      if (mapping.copied !== single) wrong.push([offset, at])
    }
  }
  return wrong
}

/** Turns the flags found wrong; the counts must be right by then. Under the mutex. */
export async function repairFlags(image: Qcow2Image, flags: Census['flags']): Promise<void> {
  const { tree, cache } = image
  const changed = new ChangedSectors()
  // The flags of one table follow one another, so that the cache has it until its last.
  for (const [offset, at] of flags) {
    const table = offset === tree.l1Offset ? tree.l1 : await cache.get(offset)
    const isZero = (table.getUint8(at + 7) & 1) === 1
    writeEntry(table, at, offsetAt(table, at), !isCopied(table, at), isZero)
    changed.add(table, offset, at)
  }
  await image.file.writeInOrder(changed.pieces())
}

/** Makes the counts say what the census found. Under the mutex. */
export async function repairCounts(image: Qcow2Image, census: Census): Promise<void> {
  const [first] = census.damage
  if (first !== undefined) throw corrupt(first)
  const refcounts = await image.loadRefcounts()
  for (const clusters of [census.uncounted, census.leaks]) {
    for (const cluster of clusters) {
      const index = Math.floor(cluster / refcounts.perBlock)
      if (await refcounts.block(index)) continue
      const home = freeClusterIn(index, refcounts.perBlock, census.counts)
      census.counts.addMetadata(home)
      await refcounts.makeBlock(index, home)
    }
    const changes: [number, number][] = []
    for (const cluster of clusters) {
      changes.push([cluster, census.counts.get(cluster) - await refcounts.get(cluster)])
    }
    const blocks = await refcounts.blocksOf(clusters)
    await image.file.writeInOrder(refcounts.adjust(blocks, changes))
  }
  await repairFlags(image, census.flags)
}

/** A place for a block that counts the clusters of range `index`, of which some are in use. */
function freeClusterIn(index: number, perBlock: number, counts: UseCounts): number {
  for (let i = 0; i < perBlock; i++) {
    if (counts.get(index * perBlock + i) === 0) return index * perBlock + i
  }
  throw corrupt('there is no room for a lost refcount block')
}
