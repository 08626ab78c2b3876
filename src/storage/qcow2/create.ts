/**
 * A new qcow2 image: header, refcounts and an empty L1 table, one after the other.
 */
import type { HostFile } from '../../base/host-file.ts'
import { StorageError } from '../error.ts'
import {
  EXTENSION_BACKING_FORMAT, EXTENSION_FEATURE_NAMES, FEATURE_NAMES, l1EntriesFor, QCOW2_MAGIC,
  QCOW2_V2_HEADER_BYTES, QCOW2_V3_HEADER_BYTES, Qcow2Header, writeEntry,
} from './format.ts'

export interface NewQcow2 {
  readonly sizeBytes: number
  readonly version?: 2 | 3
  readonly clusterBytes?: number
  readonly refcountBits?: number
  readonly lazyRefcounts?: boolean
  readonly backingFile?: string
  readonly backingFormat?: string
}

const DEFAULT_CLUSTER_BYTES = 65536
const LEAST_CLUSTER_BYTES = 512
const MOST_CLUSTER_BYTES = 2 << 20
const MAX_L1_ENTRIES = (32 << 20) / 8
const MAX_NAME_BYTES = 1023

/** Checks the wish, and fills in what it leaves open. */
export function planQcow2(
  wish: NewQcow2,
): Required<Omit<NewQcow2, 'backingFile' | 'backingFormat'>> {
  const refuse = (message: string): never => { throw new StorageError('invalid', message) }
  const plan = {
    sizeBytes: wish.sizeBytes, version: wish.version ?? 3,
    clusterBytes: wish.clusterBytes ?? DEFAULT_CLUSTER_BYTES,
    refcountBits: wish.refcountBits ?? 16, lazyRefcounts: wish.lazyRefcounts ?? false,
  }
  const isPower = (n: number): boolean => Number.isInteger(Math.log2(n))
  if (!isPower(plan.clusterBytes) || plan.clusterBytes < LEAST_CLUSTER_BYTES ||
    plan.clusterBytes > MOST_CLUSTER_BYTES) {
    refuse('the cluster size must be a power of two from 512 bytes to 2 MiB')
  }
  if (!isPower(plan.refcountBits) || plan.refcountBits > 64) {
    refuse('refcounts have 1, 2, 4, 8, 16, 32 or 64 bits')
  }
  if (plan.version === 2 && plan.refcountBits !== 16) {
    refuse('version 2 has refcounts of 16 bits only')
  }
  if (plan.version === 2 && plan.lazyRefcounts) refuse('version 2 has no lazy refcounts')
  if (l1EntriesFor(plan.sizeBytes, Math.log2(plan.clusterBytes)) > MAX_L1_ENTRIES) {
    refuse(`a disk of ${plan.sizeBytes} bytes needs larger clusters`)
  }
  return plan
}

/** Fills an empty file. */
export async function createQcow2(file: HostFile, wish: NewQcow2): Promise<void> {
  const plan = planQcow2(wish)
  const { clusterBytes } = plan
  const clusterBits = Math.log2(clusterBytes)
  const l1Entries = l1EntriesFor(plan.sizeBytes, clusterBits)
  const l1Clusters = Math.max(1, Math.ceil(l1Entries * 8 / clusterBytes))
  const perBlock = clusterBytes * 8 / plan.refcountBits
  let blocks = 1
  let tableClusters = 1
  let total = 0
  for (let settled = false; !settled;) {
    total = 1 + tableClusters + blocks + l1Clusters
    const needed = Math.ceil(total / perBlock)
    settled = needed <= blocks && Math.ceil(blocks * 8 / clusterBytes) <= tableClusters
    blocks = Math.max(blocks, needed)
    tableClusters = Math.max(tableClusters, Math.ceil(blocks * 8 / clusterBytes))
  }
  const bytes = new Uint8Array((1 + tableClusters + blocks) * clusterBytes)
  const view = new DataView(bytes.buffer)
  for (let i = 0; i < blocks; i++) {
    writeEntry(view, clusterBytes + i * 8, (1 + tableClusters + i) * clusterBytes, false)
  }
  const counts = bytes.subarray((1 + tableClusters) * clusterBytes)
  for (let i = 0; i < total; i++) setOne(counts, i, plan.refcountBits)
  const header = headerOf(wish, plan.version, plan.lazyRefcounts, clusterBytes)
  const h = Qcow2Header.on(header)
  h.size = plan.sizeBytes
  h.l1_size = l1Entries
  h.l1_table_offset = (1 + tableClusters + blocks) * clusterBytes
  h.refcount_table_offset = clusterBytes
  h.refcount_table_clusters = tableClusters
  if (plan.version === 3) h.refcount_order = Math.log2(plan.refcountBits)
  // A file that has no header yet is no image: the header comes last.
  await file.write(clusterBytes, bytes.subarray(clusterBytes))
  await file.write((1 + tableClusters + blocks) * clusterBytes,
    new Uint8Array(l1Clusters * clusterBytes))
  await file.flush()
  await file.write(0, header)
  await file.flush()
}

/** Sets count number `index`, of `bits` bits, to one. */
function setOne(counts: Uint8Array, index: number, bits: number): void {
  if (bits < 8) counts[index * bits >>> 3]! |= 1 << (index * bits & 7)
  else counts[(index + 1) * bits / 8 - 1] = 1
}

/** The first cluster: header, extensions, the backing file's name. */
function headerOf(
  wish: NewQcow2, version: 2 | 3, lazyRefcounts: boolean, clusterBytes: number,
): Uint8Array {
  const headerBytes = version === 3 ? QCOW2_V3_HEADER_BYTES : QCOW2_V2_HEADER_BYTES
  const extensions: [number, Uint8Array][] = []
  if (wish.backingFormat !== undefined) {
    extensions.push([EXTENSION_BACKING_FORMAT, new TextEncoder().encode(wish.backingFormat)])
  }
  if (version === 3) extensions.push([EXTENSION_FEATURE_NAMES, featureNames()])
  const name = new TextEncoder().encode(wish.backingFile ?? '')
  const length = (content: Uint8Array): number => 8 + Math.ceil(content.length / 8) * 8
  const extensionBytes = extensions.reduce((sum, [, content]) => sum + length(content), 8)
  if (headerBytes + extensionBytes + name.length > clusterBytes) {
    // The names of features are a courtesy; small clusters have no room for it.
    extensions.pop()
  }
  const bytes = new Uint8Array(clusterBytes)
  const view = new DataView(bytes.buffer)
  let at = headerBytes
  for (const [type, content] of extensions) {
    view.setUint32(at, type)
    view.setUint32(at + 4, content.length)
    bytes.set(content, at + 8)
    at += length(content)
  }
  at += 8
  if (name.length > MAX_NAME_BYTES || at + name.length > clusterBytes) {
    throw new StorageError('invalid', 'the name of the backing file is too long')
  }
  const h = Qcow2Header.on(bytes)
  h.magic = QCOW2_MAGIC
  h.version = version
  h.cluster_bits = Math.log2(clusterBytes)
  if (version === 3) {
    h.header_length = headerBytes
    h.compatible_features = lazyRefcounts ? 1n : 0n
  }
  if (name.length > 0) {
    bytes.set(name, at)
    h.backing_file_offset = at
    h.backing_file_size = name.length
  }
  return bytes
}

function featureNames(): Uint8Array {
  const bytes = new Uint8Array(FEATURE_NAMES.length * 48)
  FEATURE_NAMES.forEach(([type, bit, name], i) => {
    bytes[i * 48] = type
    bytes[i * 48 + 1] = bit
    bytes.set(new TextEncoder().encode(name), i * 48 + 2)
  })
  return bytes
}
