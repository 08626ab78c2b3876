/**
 * Another size for a qcow2 image, and another L1 table.
 */
import { StorageError } from '../error.ts'
import { l1EntriesFor, Qcow2Header } from './format.ts'
import type { Qcow2Image } from './image.ts'
import type { Qcow2Store } from './store.ts'

const o = Qcow2Header.offsets

/** For `store`'s own use, when nobody else uses the disk. */
export async function resizeImage(store: Qcow2Store, sizeBytes: number): Promise<void> {
  const { image } = store
  const { facts, tree, mutex } = image
  if (facts.version === 2 && facts.snapshotCount > 0) {
    throw new StorageError('unsupported', 'a version 2 image with snapshots cannot be resized')
  }
  const before = image.sizeBytes
  await mutex.run(() => image.markDirty())
  if (sizeBytes < before) {
    await setSize(image, sizeBytes)
    const first = Math.ceil(sizeBytes / image.clusterBytes)
    const last = Math.ceil(before / image.clusterBytes)
    if (facts.version === 3 || !store.backing) await store.zeroClusters(first, last)
    return
  }
  const entries = l1EntriesFor(sizeBytes, facts.clusterBits)
  if (entries > tree.l1.byteLength / 8) {
    const l1 = new DataView(new ArrayBuffer(entries * 8))
    new Uint8Array(l1.buffer).set(new Uint8Array(tree.l1.buffer))
    await mutex.run(() => replaceL1(image, l1))
  }
  // Before the new size is true: what a backing file has there must never be seen.
  await store.zeroUnlocked(before, sizeBytes - before)
  await setSize(image, sizeBytes)
}

export async function setSize(image: Qcow2Image, sizeBytes: number): Promise<void> {
  const field = new DataView(new ArrayBuffer(8))
  field.setBigUint64(0, BigInt(sizeBytes))
  await image.writeHeader(o.size, field)
  image.sizeBytes = sizeBytes
}

/** Moves the disk to another L1 table; the old one's clusters become free. Under the mutex. */
export async function replaceL1(image: Qcow2Image, l1: DataView): Promise<void> {
  const { refcounts, tree, clusterBytes } = image
  const count = Math.max(1, Math.ceil(l1.byteLength / clusterBytes))
  const first = await refcounts.reserveRun(count)
  const used = Array.from({ length: count }, (_, i) => first + i)
  const oldCount = Math.ceil(tree.l1.byteLength / clusterBytes)
  const freed = Array.from({ length: oldCount }, (_, i) => tree.l1Offset / clusterBytes + i)
  const whole = new Uint8Array(count * clusterBytes)
  whole.set(new Uint8Array(l1.buffer))
  await image.file.write(first * clusterBytes, whole)
  const blocks = await refcounts.blocksOf([...used, ...freed])
  await image.file.writeInOrder(refcounts.adjust(blocks, used.map((cluster) => [cluster, 1])))
  refcounts.release(used)
  await image.file.flush()
  const pointer = new DataView(new ArrayBuffer(12))
  pointer.setUint32(0, l1.byteLength / 8)
  pointer.setBigUint64(4, BigInt(first * clusterBytes))
  await image.writeHeader(o.l1_size, pointer)
  tree.l1 = l1
  tree.l1Offset = first * clusterBytes
  await image.file.writeInOrder(refcounts.adjust(blocks, freed.map((cluster) => [cluster, -1])))
}
