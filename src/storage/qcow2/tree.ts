/**
 * The tables that say where the disk's clusters are: L1 and L2, and how they change.
 *
 * All changes to an image's metadata go through `commit`, one group at a time: what is asked for
 * while a group is written makes the next one. A group is written in the order that a sudden death
 * cannot turn into damage: new tables that nothing points at, raised counts, pointers, lowered
 * counts.
 */
import type { HostFile } from '../../base/host-file.ts'
import type { Mutex } from '../ordering.ts'
import {
  corrupt, isCopied, type Mapping, mappingAt, offsetAt, type Qcow2Facts, writeEntry,
} from './format.ts'
import type { Refcounts } from './refcounts.ts'
import { ChangedSectors, type TableCache } from './table-cache.ts'

/** The new entry of a cluster of the disk. */
export interface NewEntry {
  readonly cluster: number
  /** A host cluster of its own, if any. */
  readonly host?: number
  readonly zero?: boolean
}

/** What one request changes. */
export interface Change {
  readonly entries: readonly NewEntry[]
  /** Reserved host clusters that are counted from now on. */
  readonly used: readonly number[]
  /** Host clusters with one use less, named once for each. */
  readonly freed: readonly number[]
}

interface Waiting {
  readonly change: Change
  readonly done: () => void
  readonly failed: (error: unknown) => void
}

/** An L2 table as a group changes it. */
interface OpenTable {
  readonly l1Index: number
  readonly offset: number
  readonly table: DataView
  readonly isNew: boolean
}

export class ClusterTree {
  readonly #file: HostFile
  readonly #cache: TableCache
  readonly #mutex: Mutex
  readonly #v3: boolean
  readonly #clusterBits: number
  readonly perTable: number
  l1: DataView
  l1Offset: number
  #waiting: Waiting[] = []
  /** Entries of L1 before the group that is being written: index, table, flag. */
  #rootsBefore: [number, number, boolean][] = []

  private constructor(
    file: HostFile, cache: TableCache, mutex: Mutex, facts: Qcow2Facts, l1: DataView,
  ) {
    this.#file = file
    this.#cache = cache
    this.#mutex = mutex
    this.#v3 = facts.version === 3
    this.#clusterBits = facts.clusterBits
    this.perTable = 2 ** (facts.clusterBits - 3)
    this.l1 = l1
    this.l1Offset = facts.l1Offset
  }

  static async load(
    file: HostFile, cache: TableCache, mutex: Mutex, facts: Qcow2Facts,
  ): Promise<ClusterTree> {
    const l1 = await readTable(file, facts.l1Offset, facts.l1Entries)
    return new ClusterTree(file, cache, mutex, facts, l1)
  }

  /** Where `count` clusters of the disk from `first` are. */
  async lookup(first: number, count: number): Promise<Mapping[]> {
    const mappings: Mapping[] = []
    while (mappings.length < count) {
      const cluster = first + mappings.length
      const offset = this.tableOffset(Math.floor(cluster / this.perTable))
      const table = offset === 0 ? undefined : await this.#cache.get(offset)
      this.#append(mappings, table, cluster, count)
    }
    return mappings
  }

  /** As `lookup`, if the tables are here. */
  lookupNow(first: number, count: number): Mapping[] | undefined {
    const mappings: Mapping[] = []
    while (mappings.length < count) {
      const cluster = first + mappings.length
      const offset = this.tableOffset(Math.floor(cluster / this.perTable))
      const table = offset === 0 ? undefined : this.#cache.known(offset)
      if (offset !== 0 && !table) return undefined
      this.#append(mappings, table, cluster, count)
    }
    return mappings
  }

  /** Puts those from `cluster` on that `table` has, until there are `count`. */
  #append(
    mappings: Mapping[], table: DataView | undefined, cluster: number, count: number,
  ): void {
    const from = cluster % this.perTable
    const end = Math.min(from + count - mappings.length, this.perTable)
    for (let i = from; i < end; i++) {
      mappings.push(table
        ? mappingAt(table, i * 8, this.#clusterBits, this.#v3) : { kind: 'absent' })
    }
  }

  /** Where an L2 table is; 0 if there is none. */
  tableOffset(l1Index: number): number {
    if (l1Index * 8 >= this.l1.byteLength) return 0
    const offset = offsetAt(this.l1, l1Index * 8)
    if (offset % 2 ** this.#clusterBits !== 0) throw corrupt('an L2 table is not aligned')
    return offset
  }

  /** Makes a change part of the image; it is in the file when this settles. */
  commit(change: Change, refcounts: Refcounts): Promise<void> {
    return new Promise((done, failed) => {
      this.#waiting.push({ change, done, failed })
      if (this.#waiting.length === 1) void this.#mutex.run(() => this.#commitGroup(refcounts))
    })
  }

  async #commitGroup(refcounts: Refcounts): Promise<void> {
    const group = this.#waiting
    this.#waiting = []
    const used = group.flatMap(({ change }) => change.used)
    try {
      await this.#write(group.map(({ change }) => change), used, refcounts)
    } catch (error) {
      // What the file says counts, not what was to be: pointers to new tables that it has lead to
      // tables that are whole and counted.
      this.#cache.clear()
      refcounts.rescan()
      for (const before of this.#rootsBefore) await this.#readRoot(before)
      for (const { failed } of group) failed(error)
      return
    } finally {
      refcounts.release(used)
      this.#rootsBefore = []
    }
    for (const { done } of group) done()
  }

  /** Takes a pointer to a table from the file, or what it was before where that cannot be read. */
  async #readRoot([l1Index, offset, copied]: readonly [number, number, boolean]): Promise<void> {
    const entry = new Uint8Array(8)
    try {
      await this.#file.read(this.l1Offset + l1Index * 8, entry)
      new Uint8Array(this.l1.buffer, this.l1.byteOffset).set(entry, l1Index * 8)
    } catch {
      writeEntry(this.l1, l1Index * 8, offset, copied)
    }
  }

  async #write(
    changes: readonly Change[], used: number[], refcounts: Refcounts,
  ): Promise<void> {
    const freed = changes.flatMap((change) => change.freed)
    const entries = changes.flatMap((change) => change.entries)
    const tables = await this.#openTables(entries, used, freed, refcounts)
    const blocks = await refcounts.blocksOf([...used, ...freed])
    const raised = refcounts.adjust(blocks, used.map((cluster) => [cluster, 1]))
    const pointers = new ChangedSectors()
    for (const entry of entries) {
      const open = tables.get(Math.floor(entry.cluster / this.perTable))!
      const at = entry.cluster % this.perTable * 8
      const host = (entry.host ?? 0) * 2 ** this.#clusterBits
      writeEntry(open.table, at, host, entry.host !== undefined, entry.zero)
      if (!open.isNew) pointers.add(open.table, open.offset, at)
    }
    const roots = new ChangedSectors()
    for (const { isNew, offset, table, l1Index } of tables.values()) {
      if (!isNew) continue
      await this.#file.write(offset, new Uint8Array(table.buffer))
      this.#rootsBefore.push(
        [l1Index, this.tableOffset(l1Index), isCopied(this.l1, l1Index * 8)])
      writeEntry(this.l1, l1Index * 8, offset, true)
      roots.add(this.l1, this.l1Offset, l1Index * 8)
    }
    const lowered = refcounts.adjust(blocks, freed.map((cluster) => [cluster, -1]))
    await this.#file.writeInOrder([...raised, ...pointers.pieces(), ...roots.pieces(), ...lowered])
    for (const { offset, table } of tables.values()) this.#cache.put(offset, table)
    for (const cluster of freed) this.#cache.forget(cluster * 2 ** this.#clusterBits)
  }

  /** The tables to be changed: those that a snapshot shares are copied, missing ones made. */
  async #openTables(
    entries: readonly NewEntry[], used: number[], freed: number[], refcounts: Refcounts,
  ): Promise<Map<number, OpenTable>> {
    const clusterBytes = 2 ** this.#clusterBits
    const tables = new Map<number, OpenTable>()
    for (const { cluster } of entries) {
      const l1Index = Math.floor(cluster / this.perTable)
      if (tables.has(l1Index)) continue
      const offset = this.tableOffset(l1Index)
      if (offset !== 0 && isCopied(this.l1, l1Index * 8)) {
        const table = await this.#cache.get(offset)
        tables.set(l1Index, { l1Index, offset, table, isNew: false })
        continue
      }
      const table = new DataView(new ArrayBuffer(clusterBytes))
      if (offset !== 0) {
        const shared = await this.#cache.get(offset)
        new Uint8Array(table.buffer).set(new Uint8Array(shared.buffer))
        freed.push(offset / clusterBytes)
      }
      const [home] = await refcounts.reserve(1)
      used.push(home!)
      tables.set(l1Index, { l1Index, offset: home! * clusterBytes, table, isNew: true })
    }
    return tables
  }
}

/** A table of `entries` 64-bit entries; beyond the file's end it is zeros. */
export async function readTable(
  file: HostFile, offset: number, entries: number,
): Promise<DataView> {
  const bytes = new Uint8Array(entries * 8)
  await file.read(offset, bytes)
  return new DataView(bytes.buffer)
}
