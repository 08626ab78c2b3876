/**
 * An open qcow2 image: its file, its tables in memory, and its marks in the header.
 *
 * Version 3 has a dirty bit. It is set, and on stable storage, before the first change of metadata,
 * and goes when the image is closed in order. Who opens a dirty image for writing counts everything
 * again, and so does QEMU. Version 2 has no such bit, so its images are counted whenever they are
 * opened for writing. That is how clusters come back that a sudden death left counted and unused.
 */
import type { ImageDecompressor } from '../../base/compression/formats.ts'
import type { HostFile } from '../../base/host-file.ts'
import { StorageError } from '../error.ts'
import { Mutex } from '../ordering.ts'
import {
  headerBytesOf, INCOMPATIBLE_DIRTY, Qcow2Header, type Qcow2Facts, readHeader,
} from './format.ts'
import { Refcounts } from './refcounts.ts'
import { TableCache } from './table-cache.ts'
import { ClusterTree } from './tree.ts'

const o = Qcow2Header.offsets

export class Qcow2Image {
  readonly file: HostFile
  facts: Qcow2Facts
  readonly cache: TableCache
  readonly mutex: Mutex
  readonly tree: ClusterTree
  readonly decompressor: ImageDecompressor
  readonly clusterBytes: number
  #refcounts: Refcounts | undefined
  #dirty: boolean
  /** A change failed half-way: the image stays dirty, to be counted again. */
  #failed = false
  sizeBytes: number

  private constructor(
    file: HostFile, facts: Qcow2Facts, cache: TableCache, mutex: Mutex, tree: ClusterTree,
    decompressor: ImageDecompressor,
  ) {
    this.file = file
    this.facts = facts
    this.cache = cache
    this.mutex = mutex
    this.tree = tree
    this.decompressor = decompressor
    this.clusterBytes = 2 ** facts.clusterBits
    this.sizeBytes = facts.sizeBytes
    this.#dirty = facts.dirty
  }

  /** Reads header and L1. Damage of the counts is not looked for. */
  static async load(file: HostFile, decompressor: ImageDecompressor): Promise<Qcow2Image> {
    const facts = await readFacts(file)
    if (file.writable) refuseWriting(file, facts)
    const cache = new TableCache(file, 2 ** facts.clusterBits)
    const mutex = new Mutex()
    const tree = await ClusterTree.load(file, cache, mutex, facts)
    const image = new Qcow2Image(file, facts, cache, mutex, tree, decompressor)
    if (file.writable) image.#refcounts = await Refcounts.load(file, cache, facts)
    return image
  }

  /** Only there when the image is open for writing, or was asked to load them. */
  get refcounts(): Refcounts {
    if (!this.#refcounts) throw new StorageError('read-only', `${this.file.path}: read-only`)
    return this.#refcounts
  }

  async loadRefcounts(): Promise<Refcounts> {
    return this.#refcounts ??= await Refcounts.load(this.file, this.cache, this.facts)
  }

  /** To be awaited, under the mutex, before any change of metadata. */
  async markDirty(): Promise<void> {
    if (this.#dirty || this.facts.version === 2) return
    // Features that others keep up to date with each write, and we do not, lose their mark.
    if (this.facts.autoclear !== 0n) await this.#write64(o.autoclear_features, 0n)
    await this.#writeDirty(true)
    await this.file.flush()
    this.#dirty = true
  }

  noteSnapshots(snapshotCount: number, snapshotsOffset: number): void {
    this.facts = { ...this.facts, snapshotCount, snapshotsOffset }
  }

  markFailed(): void {
    this.#failed = true
  }

  /** Flushes, and says in the header that all is in order. */
  async settle(): Promise<void> {
    await this.file.flush()
    if (!this.#dirty || this.#failed || this.facts.version === 2) return
    await this.#writeDirty(false)
    await this.file.flush()
    this.#dirty = false
  }

  /** Writes a field, or several that follow one another, of the header. */
  async writeHeader(at: number, bytes: DataView): Promise<void> {
    await this.file.write(at, new Uint8Array(bytes.buffer))
  }

  async #writeDirty(dirty: boolean): Promise<void> {
    const field = new Uint8Array(8)
    await this.file.read(o.incompatible_features, field)
    const features = new DataView(field.buffer).getBigUint64(0)
    await this.#write64(o.incompatible_features,
      dirty ? features | INCOMPATIBLE_DIRTY : features & ~INCOMPATIBLE_DIRTY)
  }

  async #write64(at: number, value: bigint): Promise<void> {
    const field = new DataView(new ArrayBuffer(8))
    field.setBigUint64(0, value)
    await this.writeHeader(at, field)
  }
}

async function readFacts(file: HostFile): Promise<Qcow2Facts> {
  const start = new Uint8Array(512)
  const count = await file.read(0, start)
  const whole = new Uint8Array(headerBytesOf(start.subarray(0, count)))
  return readHeader(whole.subarray(0, await file.read(0, whole)))
}

function refuseWriting(file: HostFile, facts: Qcow2Facts): void {
  if (facts.corrupt) {
    throw new StorageError('corrupt', `${file.path}: marked as corrupt, may only be read`)
  }
  if (facts.bitmaps) {
    throw new StorageError('unsupported',
      `${file.path}: has persistent bitmaps, which writing would make wrong`)
  }
}
