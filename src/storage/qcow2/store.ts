/**
 * The disk in a qcow2 image.
 *
 * A write into clusters that the image owns alone goes straight to them, and others may do so at
 * the same time. A write that needs clusters has those of the disk to itself: it reserves host
 * clusters, writes them whole, and then commits the pointers (tree.ts). Discarded clusters become
 * free in the image; the file keeps its size, and gives back the space of long runs of them.
 *
 * Order of locks: `#clusters`, then the image's mutex.
 */
import {
  type BlockStore, checkChange, checkRange, checkResize, type Extent, isZero, type Place,
} from '../block-store.ts'
import { RangeLock } from '../ordering.ts'
import { decompressCluster } from './compressed.ts'
import type { Mapping } from './format.ts'
import type { Qcow2Image } from './image.ts'
import { resizeImage } from './resize.ts'
import { type Run, runsOf } from './runs.ts'
import type { Change, NewEntry } from './tree.ts'

const ALL = Number.MAX_SAFE_INTEGER
/** Punching a hole costs the host a process; below this it is not worth it. */
const LEAST_HOLE_BYTES = 1 << 20

export class Qcow2Store implements BlockStore {
  readonly format = 'qcow2'
  readonly image: Qcow2Image
  readonly backing: BlockStore | undefined
  readonly #clusters = new RangeLock()
  readonly #clusterBytes: number
  /** The compressed cluster that was read last: neighbours in the disk often share it. */
  #unpacked: { host: number, bytes: Uint8Array } | undefined

  constructor(image: Qcow2Image, backing: BlockStore | undefined) {
    this.image = image
    this.backing = backing
    this.#clusterBytes = image.clusterBytes
  }

  get writable(): boolean {
    return this.image.file.writable
  }

  get sizeBytes(): number {
    return Math.ceil(this.image.sizeBytes / 512) * 512
  }

  async read(at: number, into: Uint8Array): Promise<void> {
    checkRange(this, at, into.length)
    if (into.length === 0) return
    await this.#locked(at, into.length, false, () => this.#read(at, into))
  }

  async write(at: number, from: Uint8Array): Promise<void> {
    checkChange(this, at, from.length)
    if (from.length === 0) return
    const inPlace = await this.#locked(at, from.length, false, () => this.#writeInPlace(at, from))
    if (!inPlace) {
      await this.#locked(at, from.length, true, () => this.writeUnlocked(at, from))
    }
  }

  placeOf(at: number, lengthBytes: number, toWrite: boolean): Place | undefined {
    if (toWrite) checkChange(this, at, lengthBytes)
    else checkRange(this, at, lengthBytes)
    const first = Math.floor(at / this.#clusterBytes)
    const count = this.#clusterCount(at, lengthBytes)
    if (!this.#clusters.isFree(first, first + count - 1)) return undefined
    const mappings = this.image.tree.lookupNow(first, count)
    const [run, more] = mappings ? runsOf(mappings, at, lengthBytes, this.#clusterBytes) : []
    if (!run || more) return undefined
    if (run.mapping.kind === 'data') {
      return toWrite && !run.mapping.copied ? undefined : { file: this.image.file, at: run.host }
    }
    const isBelow = run.mapping.kind === 'absent' && this.#backed(at, lengthBytes) === lengthBytes
    return isBelow && !toWrite ? this.backing?.placeOf(at, lengthBytes, false) : undefined
  }

  async flush(): Promise<void> {
    await this.image.file.flush()
  }

  async discard(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
    if (this.image.facts.version === 2 && this.backing) return
    const first = Math.ceil(at / this.#clusterBytes)
    // The last cluster of the disk may be cut off.
    const last = at + lengthBytes === this.sizeBytes
      ? Math.ceil((at + lengthBytes) / this.#clusterBytes)
      : Math.floor((at + lengthBytes) / this.#clusterBytes)
    if (last <= first) return
    const freed = await this.#locked(
      at, lengthBytes, true, () => this.zeroClusters(first, last))
    await this.#giveBack(freed)
  }

  /** Frees the space of host clusters that nobody has taken again, where they make long runs. */
  async #giveBack(clusters: readonly number[]): Promise<void> {
    const least = Math.ceil(LEAST_HOLE_BYTES / this.#clusterBytes)
    if (clusters.length < least) return
    await this.image.mutex.run(async () => {
      const free: number[] = []
      for (const cluster of [...new Set(clusters)].sort((a, b) => a - b)) {
        if (await this.image.refcounts.isFree(cluster)) free.push(cluster)
      }
      for (let from = 0; from < free.length;) {
        let to = from + 1
        while (free[to] === free[to - 1]! + 1) to += 1
        if (to - from >= least) {
          await this.image.file.punchHole(
            free[from]! * this.#clusterBytes, (to - from) * this.#clusterBytes)
        }
        from = to
      }
    })
  }

  async writeZeroes(at: number, lengthBytes: number): Promise<void> {
    checkChange(this, at, lengthBytes)
    if (lengthBytes === 0) return
    await this.#locked(at, lengthBytes, true, () => this.zeroUnlocked(at, lengthBytes))
  }

  async resize(sizeBytes: number): Promise<void> {
    checkResize(this, sizeBytes)
    await this.#clusters.run(0, ALL, true, () => resizeImage(this, sizeBytes))
  }

  async extent(at: number, lengthBytes: number): Promise<Extent> {
    checkRange(this, at, lengthBytes)
    const clusters = Math.min(this.#clusterCount(at, lengthBytes), this.image.tree.perTable)
    const length = Math.min(lengthBytes, clusters * this.#clusterBytes - at % this.#clusterBytes)
    const mappings = await this.image.tree.lookup(Math.floor(at / this.#clusterBytes), clusters)
    const [run] = runsOf(mappings, at, length, this.#clusterBytes)
    if (!run) return { kind: 'absent', lengthBytes, depth: 0 }
    const kind = run.mapping.kind
    if (kind === 'data') {
      return { kind, lengthBytes: run.lengthBytes, depth: 0, offset: run.host }
    }
    if (kind === 'compressed') return { kind: 'data', lengthBytes: run.lengthBytes, depth: 0 }
    if (kind === 'zero') return { kind, lengthBytes: run.lengthBytes, depth: 0 }
    const below = this.#backed(at, run.lengthBytes)
    if (!this.backing) return { kind, lengthBytes: run.lengthBytes, depth: 0 }
    if (below === 0) return { kind, lengthBytes: run.lengthBytes, depth: 0 }
    const under = await this.backing.extent(at, below)
    return { ...under, depth: under.depth + 1 }
  }

  async close(): Promise<void> {
    try {
      if (this.writable) await this.image.settle()
    } finally {
      await this.image.file.close()
      await this.backing?.close()
    }
  }

  /** Runs `work` when nobody uses the disk. */
  alone<T>(work: () => Promise<T>): Promise<T> {
    this.#unpacked = undefined
    return this.#clusters.run(0, ALL, true, work)
  }

  #locked<T>(
    at: number, lengthBytes: number, exclusive: boolean, work: () => Promise<T>,
  ): Promise<T> {
    const first = Math.floor(at / this.#clusterBytes)
    const last = Math.floor((at + lengthBytes - 1) / this.#clusterBytes)
    return this.#clusters.run(first, last, exclusive, work)
  }

  #clusterCount(at: number, lengthBytes: number): number {
    return Math.ceil((at + lengthBytes) / this.#clusterBytes) - Math.floor(at / this.#clusterBytes)
  }

  #mappings(at: number, lengthBytes: number): Promise<Mapping[]> {
    return this.image.tree.lookup(
      Math.floor(at / this.#clusterBytes), this.#clusterCount(at, lengthBytes))
  }

  /** How much of a range the backing file has. */
  #backed(at: number, lengthBytes: number): number {
    return Math.max(0, Math.min(lengthBytes, (this.backing?.sizeBytes ?? 0) - at))
  }

  async #read(at: number, into: Uint8Array): Promise<void> {
    const mappings = await this.#mappings(at, into.length)
    await Promise.all(runsOf(mappings, at, into.length, this.#clusterBytes).map((run) =>
      this.#readRun(run, into.subarray(run.at - at, run.at - at + run.lengthBytes))))
  }

  async #readRun(run: Run, into: Uint8Array): Promise<void> {
    const { mapping } = run
    switch (mapping.kind) {
      case 'data': {
        const count = await this.image.file.read(run.host, into)
        into.fill(0, count)
        return
      }
      case 'compressed': {
        const bytes = await this.#unpack(mapping)
        const within = run.at % this.#clusterBytes
        into.set(bytes.subarray(within, within + into.length))
        return
      }
      case 'zero': into.fill(0); return
      case 'absent': {
        const below = this.#backed(run.at, into.length)
        if (below > 0) await this.backing!.read(run.at, into.subarray(0, below))
        into.fill(0, below)
      }
    }
  }

  async #unpack(mapping: Mapping & { kind: 'compressed' }): Promise<Uint8Array> {
    if (this.#unpacked?.host === mapping.host) return this.#unpacked.bytes
    const packed = new Uint8Array(mapping.lengthBytes)
    await this.image.file.read(mapping.host, packed)
    const bytes = decompressCluster(
      packed, this.#clusterBytes, this.image.facts.compression, this.image.decompressor)
    this.#unpacked = { host: mapping.host, bytes }
    return bytes
  }

  /** Writes if all clusters are there and nobody else's; whether it did. */
  async #writeInPlace(at: number, from: Uint8Array): Promise<boolean> {
    const mappings = await this.#mappings(at, from.length)
    if (!mappings.every((mapping) => mapping.kind === 'data' && mapping.copied)) return false
    await Promise.all(runsOf(mappings, at, from.length, this.#clusterBytes).map((run) =>
      this.image.file.write(run.host, from.subarray(run.at - at, run.at - at + run.lengthBytes))))
    return true
  }

  /** A write by someone who has the clusters to himself. */
  async writeUnlocked(at: number, from: Uint8Array): Promise<void> {
    const first = Math.floor(at / this.#clusterBytes)
    const mappings = await this.#mappings(at, from.length)
    const isOurs = (mapping: Mapping): boolean => mapping.kind === 'data' && mapping.copied
    const wanted = mappings.flatMap((mapping, i) => isOurs(mapping) ? [] : [i])
    const { homes, freshFrom } = await this.#reserve(wanted.length)
    const places = mappings.slice()
    wanted.forEach((index, i) => {
      places[index] = { kind: 'data', host: homes[i]! * this.#clusterBytes, copied: true }
    })
    try {
      // Clusters of which only a part is written get the rest from where it was.
      const edges = [...new Set([0, mappings.length - 1])].filter((i) => wanted.includes(i))
      for (const index of edges) {
        const place = places[index] as Mapping & { kind: 'data' }
        await this.#fillEdge(
          first + index, mappings[index]!, place.host, at, from.length, freshFrom)
      }
      await Promise.all(runsOf(places, at, from.length, this.#clusterBytes).map((run) =>
        this.image.file.write(
          run.host, from.subarray(run.at - at, run.at - at + run.lengthBytes))))
    } catch (error) {
      await this.image.mutex.run(async () => this.image.refcounts.release(homes))
      throw error
    }
    await this.#commit({
      entries: wanted.map((index, i) => ({ cluster: first + index, host: homes[i]! })),
      used: homes,
      freed: wanted.flatMap((index) => this.#hostsOf(mappings[index]!)),
    })
  }

  /** Copies what a cluster holds outside the range to its new home. */
  async #fillEdge(
    cluster: number, mapping: Mapping, host: number, at: number, lengthBytes: number,
    freshFrom: number,
  ): Promise<void> {
    const start = cluster * this.#clusterBytes
    const end = start + this.#clusterBytes
    const holdsNothing = mapping.kind === 'zero' ||
      mapping.kind === 'absent' && this.#backed(start, this.#clusterBytes) === 0
    // Beyond the file's end zeros need not be written.
    if (holdsNothing && host >= freshFrom) return
    for (const [from, to] of [[start, at], [at + lengthBytes, end]] as const) {
      if (from >= to) continue
      const bytes = new Uint8Array(to - from)
      if (!holdsNothing) {
        await this.#read(from, bytes)
        if (host >= freshFrom && isZero(bytes)) continue
      }
      await this.image.file.write(host + from - start, bytes)
    }
  }

  /** Host clusters for `count` clusters; those at `freshFrom` and above were never written to. */
  #reserve(count: number): Promise<{ homes: number[], freshFrom: number }> {
    return this.image.mutex.run(async () => {
      if (count > 0) await this.image.markDirty()
      const homes = await this.image.refcounts.reserve(count)
      return { homes, freshFrom: this.image.file.isDevice ? ALL : this.image.file.sizeBytes }
    })
  }

  async #commit(change: Change): Promise<void> {
    if (change.freed.length > 0) this.#unpacked = undefined
    try {
      await this.image.tree.commit(change, this.image.refcounts)
    } catch (error) {
      this.image.markFailed()
      throw error
    }
  }

  /** The host clusters that a mapping uses. */
  #hostsOf(mapping: Mapping): number[] {
    if (mapping.kind === 'absent' || mapping.host === undefined) return []
    const first = Math.floor(mapping.host / this.#clusterBytes)
    if (mapping.kind !== 'compressed') return [first]
    const last = Math.floor((mapping.host + mapping.lengthBytes - 1) / this.#clusterBytes)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  }

  /** Zeros by someone who has the clusters to himself; `at` and the end may be anywhere. */
  async zeroUnlocked(at: number, lengthBytes: number): Promise<void> {
    const end = at + lengthBytes
    const canMark = this.image.facts.version === 3 || !this.backing
    const first = canMark ? Math.ceil(at / this.#clusterBytes) : Infinity
    const last = end >= this.sizeBytes ? Math.ceil(end / this.#clusterBytes)
      : Math.floor(end / this.#clusterBytes)
    if (first >= last) return this.#zeroParts(at, end)
    await this.#zeroParts(at, Math.min(first * this.#clusterBytes, end))
    await this.zeroClusters(first, last)
    await this.#zeroParts(Math.max(last * this.#clusterBytes, at), end)
  }

  /** Writes zeros where there is something else. */
  async #zeroParts(at: number, end: number): Promise<void> {
    for (let from = at; from < end;) {
      const length = Math.min(end - from, this.#clusterBytes - from % this.#clusterBytes)
      const found = new Uint8Array(length)
      await this.#read(from, found)
      if (!isZero(found)) await this.writeUnlocked(from, found.fill(0))
      from += length
    }
  }

  /**
   * Makes whole clusters read as zeros, a table at a time, and frees the host clusters that they
   * had; which.
   */
  async zeroClusters(first: number, last: number): Promise<number[]> {
    const { tree } = this.image
    const freed: number[] = []
    for (let from = first; from < last;) {
      const to = Math.min(last, (Math.floor(from / tree.perTable) + 1) * tree.perTable)
      const backed = this.#backed(from * this.#clusterBytes, (to - from) * this.#clusterBytes) > 0
      if (backed || tree.tableOffset(Math.floor(from / tree.perTable)) !== 0) {
        const mappings = await tree.lookup(from, to - from)
        for (const cluster of await this.#zeroInTable(from, mappings)) freed.push(cluster)
      }
      from = to
    }
    return freed
  }

  async #zeroInTable(first: number, mappings: readonly Mapping[]): Promise<number[]> {
    const entries: NewEntry[] = []
    const freed: number[] = []
    mappings.forEach((mapping, i) => {
      const cluster = first + i
      const backed = this.#backed(cluster * this.#clusterBytes, this.#clusterBytes) > 0
      if (mapping.kind === 'absent' && !backed) return
      if (mapping.kind === 'zero' && mapping.host === undefined) return
      freed.push(...this.#hostsOf(mapping))
      entries.push({ cluster, zero: backed })
    })
    if (entries.length === 0) return []
    await this.image.mutex.run(() => this.image.markDirty())
    await this.#commit({ entries, used: [], freed })
    return freed
  }
}
