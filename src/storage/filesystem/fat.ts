/**
 * FAT12, FAT16 and FAT32 with long names, for reading.
 *
 * The text is Microsoft's "FAT: General Overview of On-Disk Format" 1.03. Short names are taken as
 * ASCII; times are of no time zone and taken as UTC.
 */
import { StorageError } from '../error.ts'
import { type DirectoryEntry, type FileStat, type FileSystem, type FileTree, mount }
  from './file-system.ts'
import { viewOf, type Volume } from './volume.ts'

const ENTRY_BYTES = 32
const ATTRIBUTE_VOLUME = 0x08
const ATTRIBUTE_DIRECTORY = 0x10
const ATTRIBUTE_LONG_NAME = 0x0f
const LAST_LONG = 0x40
const LOWER_BASE = 0x08
const LOWER_EXTENSION = 0x10
const FREE = 0xe5
/** Clusters below this number of them make a FAT12, below the next a FAT16. */
const FAT12_CLUSTERS = 4085
const FAT16_CLUSTERS = 65525
const MAX_CLUSTER_BYTES = 1 << 20
/** A directory holds at most 65536 entries. */
const MAX_DIRECTORY_BYTES = 65536 * ENTRY_BYTES

const corrupt = (message: string): StorageError => new StorageError('corrupt', `FAT: ${message}`)

interface Layout {
  readonly bits: 12 | 16 | 32
  readonly clusterBytes: number
  readonly clusters: number
  readonly fatAt: number
  readonly dataAt: number
  /** Of FAT12 and FAT16, whose root directory has a place of its own. */
  readonly rootAt: number
  readonly rootBytes: number
  readonly rootCluster: number
}

interface FatNode {
  readonly cluster: number
  readonly isRoot: boolean
  readonly isDirectory: boolean
  readonly sizeBytes: number
  readonly modifiedSec: number
}

/** The file system on a volume, if it is one of these. */
export async function openFat(volume: Volume): Promise<FileSystem | undefined> {
  if (volume.sizeBytes < 512) return undefined
  const boot = await volume.read(0, 512)
  const layout = layoutOf(boot)
  if (!layout) return undefined
  const extended = layout.bits === 32 ? 64 : 36
  const view = viewOf(boot)
  const hasIds = boot[extended + 2] === 0x29
  const serial = view.getUint32(extended + 3, true).toString(16).toUpperCase().padStart(8, '0')
  const label = String.fromCharCode(...boot.subarray(extended + 7, extended + 18)).trimEnd()
  return mount({
    type: 'vfat', label: !hasIds || label === 'NO NAME' ? '' : label,
    uuid: hasIds ? `${serial.slice(0, 4)}-${serial.slice(4)}` : '',
  }, new FatTree(volume, layout))
}

/** The layout that a boot sector describes, if it is one. */
function layoutOf(boot: Uint8Array): Layout | undefined {
  const view = viewOf(boot)
  const sectorBytes = view.getUint16(11, true)
  const clusterSectors = view.getUint8(13)
  const reserved = view.getUint16(14, true)
  const fats = view.getUint8(16)
  const isPower = (n: number): boolean => n > 0 && (n & n - 1) === 0
  if (view.getUint16(510, true) !== 0xaa55 || !isPower(sectorBytes) || sectorBytes < 512 ||
    sectorBytes > 4096 || !isPower(clusterSectors) || reserved === 0 || fats === 0) return undefined
  const clusterBytes = sectorBytes * clusterSectors
  if (clusterBytes > MAX_CLUSTER_BYTES) return undefined
  const rootBytes = view.getUint16(17, true) * ENTRY_BYTES
  const sectors = view.getUint16(19, true) || view.getUint32(32, true)
  const fatSectors = view.getUint16(22, true) || view.getUint32(36, true)
  const rootSectors = Math.ceil(rootBytes / sectorBytes)
  const dataSector = reserved + fats * fatSectors + rootSectors
  if (fatSectors === 0 || sectors <= dataSector) return undefined
  const clusters = Math.floor((sectors - dataSector) / clusterSectors)
  const bits = view.getUint16(22, true) === 0 ? 32
    : clusters < FAT12_CLUSTERS ? 12 : clusters < FAT16_CLUSTERS ? 16 : 32
  if (Math.ceil((clusters + 2) * bits / 8) > fatSectors * sectorBytes) {
    throw corrupt('the table is too small')
  }
  return {
    bits, clusterBytes, clusters, rootBytes, fatAt: reserved * sectorBytes,
    dataAt: dataSector * sectorBytes, rootAt: (dataSector - rootSectors) * sectorBytes,
    rootCluster: bits === 32 ? view.getUint32(44, true) : 0,
  }
}

class FatTree implements FileTree<FatNode> {
  readonly ignoresCase = true
  readonly root: FatNode
  readonly #volume: Volume
  readonly #layout: Layout
  /** The chain that was followed last: files are read from their beginning to their end. */
  #chain: { first: number, clusters: number[], ended: boolean } | undefined

  constructor(volume: Volume, layout: Layout) {
    this.#volume = volume
    this.#layout = layout
    this.root = {
      cluster: layout.rootCluster, isRoot: true, isDirectory: true, sizeBytes: 0, modifiedSec: 0,
    }
  }

  async stat(node: FatNode): Promise<FileStat> {
    return {
      kind: node.isDirectory ? 'directory' : 'file', sizeBytes: node.sizeBytes,
      modifiedSec: node.modifiedSec,
    }
  }

  async *list(directory: FatNode): AsyncGenerator<DirectoryEntry<FatNode>> {
    const names = new LongName()
    for await (const bytes of this.#directoryParts(directory)) {
      for (let at = 0; at + ENTRY_BYTES <= bytes.length; at += ENTRY_BYTES) {
        const entry = bytes.subarray(at, at + ENTRY_BYTES)
        if (entry[0] === 0) return
        if (entry[0] === FREE) names.clear()
        else if ((entry[11]! & 0x3f) === ATTRIBUTE_LONG_NAME) names.add(entry)
        else {
          const name = names.take(entry) ?? shortName(entry)
          const isLabel = (entry[11]! & ATTRIBUTE_VOLUME) !== 0
          if (!isLabel && name !== '.' && name !== '..') yield { name, node: this.#node(entry) }
        }
      }
    }
  }

  /** The pieces that a directory's entries are in. */
  async *#directoryParts(directory: FatNode): AsyncGenerator<Uint8Array> {
    const { rootAt, rootBytes, clusterBytes, bits } = this.#layout
    if (directory.isRoot && bits !== 32) {
      if (rootBytes > 0) yield this.#volume.read(rootAt, rootBytes)
      return
    }
    for (let index = 0; index * clusterBytes < MAX_DIRECTORY_BYTES; index++) {
      const cluster = await this.#clusterOf(directory.cluster, index)
      if (cluster === undefined) return
      yield this.#volume.read(this.#placeOf(cluster), clusterBytes)
    }
  }

  #node(entry: Uint8Array): FatNode {
    const view = viewOf(entry)
    const high = this.#layout.bits === 32 ? view.getUint16(20, true) * 65536 : 0
    const isDirectory = (entry[11]! & ATTRIBUTE_DIRECTORY) !== 0
    const date = view.getUint16(24, true)
    const time = view.getUint16(22, true)
    return {
      cluster: view.getUint16(26, true) + high, isRoot: false, isDirectory,
      sizeBytes: isDirectory ? 0 : view.getUint32(28, true),
      modifiedSec: Date.UTC(1980 + (date >> 9), (date >> 5 & 15) - 1, date & 31,
        time >> 11, time >> 5 & 63, (time & 31) * 2) / 1000,
    }
  }

  async read(node: FatNode, at: number, lengthBytes: number): Promise<Uint8Array> {
    const { clusterBytes } = this.#layout
    const bytes = new Uint8Array(lengthBytes)
    for (let done = 0; done < lengthBytes;) {
      const index = Math.floor((at + done) / clusterBytes)
      const cluster = await this.#clusterOf(node.cluster, index)
      if (cluster === undefined) throw corrupt('a file is longer than its clusters')
      const within = (at + done) % clusterBytes
      const length = Math.min(clusterBytes - within, lengthBytes - done)
      bytes.set(await this.#volume.read(this.#placeOf(cluster) + within, length), done)
      done += length
    }
    return bytes
  }

  readLink(): Promise<string> {
    throw new StorageError('wrong kind', 'FAT: there are no symbolic links')
  }

  #placeOf(cluster: number): number {
    return this.#layout.dataAt + (cluster - 2) * this.#layout.clusterBytes
  }

  /** Cluster number `index` of a chain; undefined beyond its end. */
  async #clusterOf(first: number, index: number): Promise<number | undefined> {
    if (first === 0) return undefined
    if (this.#chain?.first !== first) {
      this.#chain = { first, clusters: [this.#checked(first)], ended: false }
    }
    const chain = this.#chain
    while (chain.clusters.length <= index && !chain.ended) {
      const next = await this.#next(chain.clusters.at(-1)!)
      if (next === undefined) chain.ended = true
      else if (chain.clusters.length >= this.#layout.clusters) throw corrupt('a chain is a circle')
      else chain.clusters.push(next)
    }
    return chain.clusters[index]
  }

  #checked(cluster: number): number {
    if (cluster < 2 || cluster >= this.#layout.clusters + 2) throw corrupt(`cluster ${cluster}`)
    return cluster
  }

  /** What the table says comes after a cluster; undefined after the last. */
  async #next(cluster: number): Promise<number | undefined> {
    const { bits, fatAt } = this.#layout
    let value: number
    if (bits === 12) {
      const at = fatAt + Math.floor(cluster * 3 / 2)
      const pair = viewOf(await this.#volume.read(at, 2)).getUint16(0, true)
      value = cluster % 2 === 0 ? pair & 0xfff : pair >> 4
    } else {
      const bytes = viewOf(await this.#volume.read(fatAt + cluster * bits / 8, bits / 8))
      value = bits === 16 ? bytes.getUint16(0, true) : bytes.getUint32(0, true) & 0x0fff_ffff
    }
    const end = bits === 12 ? 0xff8 : bits === 16 ? 0xfff8 : 0x0fff_fff8
    return value >= end ? undefined : this.#checked(value)
  }
}

function shortName(entry: Uint8Array): string {
  const part = (from: number, to: number, lower: boolean): string => {
    const text = String.fromCharCode(...entry.subarray(from, to)).trimEnd()
    return lower ? text.toLowerCase() : text
  }
  const first = entry[0] === 0x05 ? '\u00e5' : ''
  const base = first + part(first ? 1 : 0, 8, (entry[12]! & LOWER_BASE) !== 0)
  const extension = part(8, 11, (entry[12]! & LOWER_EXTENSION) !== 0)
  return extension === '' ? base : `${base}.${extension}`
}

/** A long name, collected from the entries before the short one that it belongs to. */
class LongName {
  #parts: string[] = []
  #expected = 0
  #checksum = 0

  clear(): void {
    this.#parts = []
    this.#expected = 0
  }

  /** The entries come last part first, numbered down to one. */
  add(entry: Uint8Array): void {
    const number = entry[0]! & 0x1f
    if (entry[0]! & LAST_LONG) {
      this.#parts = []
      this.#expected = number
      this.#checksum = entry[13]!
    }
    if (number === 0 || number !== this.#expected || entry[13] !== this.#checksum) {
      this.clear()
      return
    }
    this.#expected -= 1
    const units = [...entry.subarray(1, 11), ...entry.subarray(14, 26), ...entry.subarray(28, 32)]
    this.#parts.unshift(new TextDecoder('utf-16le').decode(Uint8Array.from(units)))
  }

  /** The name collected, if it is whole and belongs to this entry. */
  take(entry: Uint8Array): string | undefined {
    const isWhole = this.#parts.length > 0 && this.#expected === 0
    const name = this.#parts.join('').replace(/\0.*$/s, '')
    this.clear()
    let sum = 0
    for (const byte of entry.subarray(0, 11)) sum = (sum >>> 1 | (sum & 1) << 7) + byte & 0xff
    return isWhole && sum === this.#checksum && !/[/]/.test(name) && name !== '' ? name : undefined
  }
}
