/**
 * Internal snapshots: made, gone back to, deleted.
 *
 * A snapshot is a second L1 table. Every cluster's count says how many of the tables reach it, and
 * the disk's own entries say by their COPIED flag where that is one, and writing in place allowed.
 */
import type { BlockStore } from '../block-store.ts'
import { StorageError } from '../error.ts'
import { repairFlags, takeCensus } from './census.ts'
import { corrupt, isCopied, mappingAt, offsetAt, Qcow2Header, writeEntry } from './format.ts'
import type { Qcow2Image } from './image.ts'
import { replaceL1, setSize } from './resize.ts'
import { type ImageSnapshot, readSnapshots, snapshotEntry } from './snapshot-table.ts'
import { Qcow2Store } from './store.ts'
import { ChangedSectors } from './table-cache.ts'
import { readTable } from './tree.ts'

const o = Qcow2Header.offsets

/** The disk in a qcow2 image, or a refusal. */
export function qcow2Of(store: BlockStore): Qcow2Store {
  if (store instanceof Qcow2Store) return store
  throw new StorageError('unsupported', `there are no internal snapshots in ${store.format} images`)
}

export async function listSnapshots(store: Qcow2Store): Promise<ImageSnapshot[]> {
  const { image } = store
  return readSnapshots(image.file, image.facts)
}

/** The snapshot of this id, or else of this name. */
function find(snapshots: readonly ImageSnapshot[], tag: string): ImageSnapshot {
  const found = snapshots.find(({ id }) => id === tag) ?? snapshots.find(({ name }) => name === tag)
  if (!found) throw new StorageError('not found', `there is no snapshot '${tag}'`)
  return found
}

/** Notes the disk as it is. The caller has flushed what is to be in it. */
export async function createSnapshot(
  store: Qcow2Store, name: string, nowMs: number,
): Promise<void> {
  await changing(store, async (image, snapshots) => {
    if (snapshots.some((other) => other.name === name)) {
      throw new StorageError('invalid', `there is a snapshot '${name}' already`)
    }
    const { tree, refcounts, clusterBytes } = image
    const uses = await usesOf(image, tree.l1)
    const l1Clusters = Math.max(1, Math.ceil(tree.l1.byteLength / clusterBytes))
    const first = await refcounts.reserveRun(l1Clusters)
    const own = Array.from({ length: l1Clusters }, (_, i): [number, number] => [first + i, 1])
    const blocks = await refcounts.blocksOf([...uses.keys(), ...own.map(([cluster]) => cluster)])
    const raised = refcounts.adjust(blocks, [...uses, ...own])
    // No more writing in place, before the clusters are shared.
    await clearFlags(image)
    const l1 = new Uint8Array(l1Clusters * clusterBytes)
    l1.set(new Uint8Array(tree.l1.buffer))
    await image.file.write(first * clusterBytes, l1)
    await image.file.writeInOrder(raised)
    refcounts.release(own.map(([cluster]) => cluster))
    const id = String(1 + Math.max(0, ...snapshots.map((other) => Number(other.id) || 0)))
    const entry = snapshotEntry({
      id, name, nowMs, l1Offset: first * clusterBytes, l1Entries: tree.l1.byteLength / 8,
      sizeBytes: image.sizeBytes,
    })
    await writeTable(image, snapshots, [...snapshots.map(({ bytes }) => bytes), entry])
  })
}

export async function deleteSnapshot(store: Qcow2Store, tag: string): Promise<void> {
  await changing(store, async (image, snapshots) => {
    const gone = find(snapshots, tag)
    const { refcounts, clusterBytes } = image
    const rest = snapshots.filter((other) => other !== gone)
    const uses = await usesOf(image, await readTable(image.file, gone.l1Offset, gone.l1Entries))
    for (let i = 0; i < Math.ceil(gone.l1Entries * 8 / clusterBytes); i++) {
      uses.set(gone.l1Offset / clusterBytes + i, 1)
    }
    await writeTable(image, snapshots, rest.map(({ bytes }) => bytes))
    await lower(image, uses)
    refcounts.rescan()
  })
}

/** Makes the disk what it was; what it is now is lost. */
export async function applySnapshot(store: Qcow2Store, tag: string): Promise<void> {
  await changing(store, async (image, snapshots) => {
    const wanted = find(snapshots, tag)
    const { refcounts, tree } = image
    const before = await usesOf(image, tree.l1)
    const l1 = await readTable(image.file, wanted.l1Offset, wanted.l1Entries)
    const after = await usesOf(image, l1)
    const blocks = await refcounts.blocksOf(after.keys())
    await image.file.writeInOrder(refcounts.adjust(blocks, after))
    for (let at = 0; at < l1.byteLength; at += 8) writeEntry(l1, at, offsetAt(l1, at), false)
    await replaceL1(image, l1)
    if (wanted.sizeBytes !== undefined) await setSize(image, wanted.sizeBytes)
    await lower(image, before)
  })
}

/** Runs a change alone, with the counts right and the flags to match afterwards. */
async function changing(
  store: Qcow2Store,
  change: (image: Qcow2Image, snapshots: readonly ImageSnapshot[]) => Promise<void>,
): Promise<void> {
  const { image } = store
  if (!store.writable) throw new StorageError('read-only', 'the image is open for reading only')
  await store.alone(() => image.mutex.run(async () => {
    await image.markDirty()
    try {
      await change(image, await listSnapshots(store))
      image.cache.clear()
      const census = await takeCensus(image, await readSnapshots(image.file, image.facts))
      const [damage] = census.damage
      if (damage !== undefined) throw corrupt(damage)
      await repairFlags(image, census.flags)
      await image.file.flush()
    } catch (error) {
      image.cache.clear()
      image.refcounts.rescan()
      if (!(error instanceof StorageError)) image.markFailed()
      throw error
    }
  }))
}

/** How often an L1 table reaches each cluster: its L2 tables and their data. */
async function usesOf(image: Qcow2Image, l1: DataView): Promise<Map<number, number>> {
  const { clusterBytes, facts } = image
  const uses = new Map<number, number>()
  const add = (cluster: number): void => {
    uses.set(cluster, (uses.get(cluster) ?? 0) + 1)
  }
  for (let i = 0; i < l1.byteLength; i += 8) {
    const offset = offsetAt(l1, i)
    if (offset === 0) continue
    add(Math.floor(offset / clusterBytes))
    const table = await image.cache.get(offset)
    for (let at = 0; at < clusterBytes; at += 8) {
      const mapping = mappingAt(table, at, facts.clusterBits, facts.version === 3)
      if (mapping.kind === 'absent' || mapping.host === undefined) continue
      const length = mapping.kind === 'compressed' ? mapping.lengthBytes : clusterBytes
      const last = Math.floor((mapping.host + length - 1) / clusterBytes)
      for (let c = Math.floor(mapping.host / clusterBytes); c <= last; c++) add(c)
    }
  }
  return uses
}

async function lower(image: Qcow2Image, uses: ReadonlyMap<number, number>): Promise<void> {
  const blocks = await image.refcounts.blocksOf(uses.keys())
  await image.file.writeInOrder(image.refcounts.adjust(
    blocks, [...uses].map(([cluster, count]) => [cluster, -count])))
}

async function clearFlags(image: Qcow2Image): Promise<void> {
  const { tree, clusterBytes, facts } = image
  const changed = new ChangedSectors()
  for (let i = 0; i < tree.l1.byteLength; i += 8) {
    const offset = offsetAt(tree.l1, i)
    if (offset === 0) continue
    if (isCopied(tree.l1, i)) {
      const table = await image.cache.get(offset)
      const flags = new ChangedSectors()
      for (let at = 0; at < clusterBytes; at += 8) {
        const mapping = mappingAt(table, at, facts.clusterBits, facts.version === 3)
        if (mapping.kind === 'absent' || mapping.kind === 'compressed' || !mapping.copied) continue
        writeEntry(table, at, offsetAt(table, at), false, mapping.kind === 'zero')
        flags.add(table, offset, at)
      }
      await image.file.writeInOrder(flags.pieces())
    }
    writeEntry(tree.l1, i, offset, false)
    changed.add(tree.l1, tree.l1Offset, i)
  }
  await image.file.writeInOrder(changed.pieces())
}

/** Writes the snapshot table elsewhere, makes the header point to it, and frees the old one. */
async function writeTable(
  image: Qcow2Image, before: readonly ImageSnapshot[], entries: readonly Uint8Array[],
): Promise<void> {
  const { refcounts, clusterBytes, facts } = image
  const bytes = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, 0))
  let at = 0
  for (const entry of entries) {
    bytes.set(entry, at)
    at += entry.length
  }
  const clusters = Math.ceil(bytes.length / clusterBytes)
  const first = clusters > 0 ? await refcounts.reserveRun(clusters) : 0
  const used = Array.from({ length: clusters }, (_, i) => first + i)
  const whole = new Uint8Array(clusters * clusterBytes)
  whole.set(bytes)
  await image.file.write(first * clusterBytes, whole)
  const blocks = await refcounts.blocksOf(used)
  await image.file.writeInOrder(refcounts.adjust(blocks, used.map((cluster) => [cluster, 1])))
  refcounts.release(used)
  await image.file.flush()
  const pointer = new DataView(new ArrayBuffer(12))
  pointer.setUint32(0, entries.length)
  pointer.setBigUint64(4, BigInt(first * clusterBytes))
  await image.writeHeader(o.nb_snapshots, pointer)
  const oldBytes = (before.at(-1)?.end ?? facts.snapshotsOffset) - facts.snapshotsOffset
  const old = Array.from({ length: Math.ceil(oldBytes / clusterBytes) },
    (_, i): [number, number] => [Math.floor(facts.snapshotsOffset / clusterBytes) + i, 1])
  image.noteSnapshots(entries.length, first * clusterBytes)
  await lower(image, new Map(old))
}
