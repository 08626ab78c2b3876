/**
 * qcow2 version 2 and 3 on disk: header, header extensions, entries of tables.
 *
 * The text is QEMU's docs/interop/qcow2.txt, whose names the fields have. Refused by name:
 * encryption, external data files, extended L2 entries, and every incompatible feature that is not
 * known.
 */
import { array, struct } from '../../base/layout/struct.ts'
import { be32, be53, be64, u8 } from '../../base/layout/scalar.ts'
import { StorageError } from '../error.ts'

export const QCOW2_MAGIC = 0x514649fb
export const QCOW2_V2_HEADER_BYTES = 72
export const QCOW2_V3_HEADER_BYTES = 112

export const Qcow2Header = struct('qcow2 header', {
  magic: be32, version: be32, backing_file_offset: be53, backing_file_size: be32,
  cluster_bits: be32, size: be53, crypt_method: be32, l1_size: be32, l1_table_offset: be53,
  refcount_table_offset: be53, refcount_table_clusters: be32, nb_snapshots: be32,
  snapshots_offset: be53, incompatible_features: be64, compatible_features: be64,
  autoclear_features: be64, refcount_order: be32, header_length: be32, compression_type: u8,
  padding: array(u8, 7),
}, { packed: true })

export const INCOMPATIBLE_DIRTY = 1n << 0n
const INCOMPATIBLE_CORRUPT = 1n << 1n
const INCOMPATIBLE_COMPRESSION = 1n << 3n
const INCOMPATIBLE_KNOWN = INCOMPATIBLE_DIRTY | INCOMPATIBLE_CORRUPT | INCOMPATIBLE_COMPRESSION
const COMPATIBLE_LAZY_REFCOUNTS = 1n << 0n
const AUTOCLEAR_BITMAPS = 1n << 0n

/** Types of header extensions. */
const EXTENSION_END = 0
export const EXTENSION_BACKING_FORMAT = 0xe2792aca
export const EXTENSION_FEATURE_NAMES = 0x6803f857
const FEATURE_NAME_BYTES = 48

/** Names of features, as [type, bit, name]; types: 0 incompatible, 1 compatible, 2 autoclear. */
export const FEATURE_NAMES: ReadonlyArray<readonly [number, number, string]> = [
  [0, 0, 'dirty bit'], [0, 1, 'corrupt bit'], [0, 2, 'external data file'],
  [0, 3, 'compression type'], [0, 4, 'extended L2 entries'], [1, 0, 'lazy refcounts'],
  [2, 0, 'bitmaps'], [2, 1, 'raw external data'],
]

// QEMU's own limits; they bound what a damaged header makes us allocate.
const MAX_L1_BYTES = 32 << 20
const MAX_REFCOUNT_TABLE_BYTES = 8 << 20
const MAX_NAME_BYTES = 1023
const MAX_SNAPSHOTS = 65536
const MAX_HEADER_BYTES = 2 << 20

/** What a header says, checked. */
export interface Qcow2Facts {
  readonly version: 2 | 3
  readonly clusterBits: number
  readonly sizeBytes: number
  readonly l1Entries: number
  readonly l1Offset: number
  readonly refcountTableOffset: number
  readonly refcountTableClusters: number
  readonly refcountOrder: number
  readonly snapshotCount: number
  readonly snapshotsOffset: number
  readonly compression: 'zlib' | 'zstd'
  readonly dirty: boolean
  readonly corrupt: boolean
  readonly lazyRefcounts: boolean
  readonly bitmaps: boolean
  readonly autoclear: bigint
  readonly backingFile?: string
  readonly backingFormat?: string
}

export function corrupt(message: string): StorageError {
  return new StorageError('corrupt', `qcow2: ${message}`)
}

function unsupported(message: string): StorageError {
  return new StorageError('unsupported', `qcow2: ${message}`)
}

export function looksLikeQcow2(start: Uint8Array): boolean {
  return start.length >= 4 && [0x51, 0x46, 0x49, 0xfb].every((byte, at) => start[at] === byte)
}

interface Extensions {
  readonly backingFormat?: string
  readonly names: ReadonlyMap<string, string>
}

const text = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)

function readExtensions(start: Uint8Array, from: number, end: number): Extensions {
  const view = new DataView(start.buffer, start.byteOffset, start.byteLength)
  const names = new Map<string, string>()
  let backingFormat: string | undefined
  for (let at = from; at + 8 <= end;) {
    const type = view.getUint32(at)
    const length = view.getUint32(at + 4)
    if (type === EXTENSION_END) break
    if (length > end - at - 8) throw corrupt('a header extension leaves the header')
    const content = start.subarray(at + 8, at + 8 + length)
    if (type === EXTENSION_BACKING_FORMAT) backingFormat = text(content)
    if (type === EXTENSION_FEATURE_NAMES) {
      for (let i = 0; i + FEATURE_NAME_BYTES <= length; i += FEATURE_NAME_BYTES) {
        const name = text(content.subarray(i + 2, i + FEATURE_NAME_BYTES))
        names.set(`${content[i]}.${content[i + 1]}`, name.replace(/\0.*$/s, ''))
      }
    }
    at += 8 + Math.ceil(length / 8) * 8
  }
  return { names, ...backingFormat === undefined ? {} : { backingFormat } }
}

function checkFeatures(features: bigint, names: ReadonlyMap<string, string>): void {
  const found: string[] = []
  for (let bit = 0; bit < 64; bit++) {
    if (!(features & ~INCOMPATIBLE_KNOWN & 1n << BigInt(bit))) continue
    const known = FEATURE_NAMES.find(([type, known]) => type === 0 && known === bit)?.[2]
    found.push(known ?? names.get(`0.${bit}`) ?? `unknown incompatible feature ${bit}`)
  }
  if (found.length > 0) throw unsupported(`not supported: ${found.join(', ')}`)
}

/** How much of the file's start the header may take: all before the first cluster's end. */
export function headerBytesOf(start: Uint8Array): number {
  if (start.length < QCOW2_V2_HEADER_BYTES) throw corrupt('the file is shorter than a header')
  const bits = Qcow2Header.on(start.slice(0, QCOW2_V2_HEADER_BYTES)).cluster_bits
  if (bits < 9 || bits > 21) throw corrupt(`clusters of 2^${bits} bytes`)
  return Math.min(1 << bits, MAX_HEADER_BYTES)
}

/** Reads the header at the beginning of `start`, which is the file's first cluster. */
export function readHeader(start: Uint8Array): Qcow2Facts {
  const padded = new Uint8Array(Math.max(start.length, Qcow2Header.size))
  padded.set(start)
  const h = Qcow2Header.on(padded)
  if (h.magic !== QCOW2_MAGIC) throw corrupt('no magic number')
  if (h.version !== 2 && h.version !== 3) throw unsupported(`version ${h.version}`)
  const clusterBits = h.cluster_bits
  const v3 = h.version === 3
  const headerLength = v3 ? h.header_length : QCOW2_V2_HEADER_BYTES
  if (v3 && headerLength < 104 || headerLength > start.length) throw corrupt('header length')
  const extensions = readExtensions(start, headerLength,
    h.backing_file_offset > 0 && h.backing_file_offset <= start.length
      ? h.backing_file_offset : start.length)
  const incompatible = v3 ? h.incompatible_features : 0n
  checkFeatures(incompatible, extensions.names)
  if (h.crypt_method !== 0) throw unsupported('encrypted images')
  const compressionType = headerLength > 104 ? h.compression_type : 0
  if (compressionType > 1) throw unsupported(`compression type ${compressionType}`)
  const facts: Qcow2Facts = {
    version: v3 ? 3 : 2,
    clusterBits,
    sizeBytes: h.size,
    l1Entries: h.l1_size,
    l1Offset: h.l1_table_offset,
    refcountTableOffset: h.refcount_table_offset,
    refcountTableClusters: h.refcount_table_clusters,
    refcountOrder: v3 ? h.refcount_order : 4,
    snapshotCount: h.nb_snapshots,
    snapshotsOffset: h.snapshots_offset,
    compression: compressionType === 1 ? 'zstd' : 'zlib',
    dirty: (incompatible & INCOMPATIBLE_DIRTY) !== 0n,
    corrupt: (incompatible & INCOMPATIBLE_CORRUPT) !== 0n,
    lazyRefcounts: v3 && (h.compatible_features & COMPATIBLE_LAZY_REFCOUNTS) !== 0n,
    bitmaps: v3 && (h.autoclear_features & AUTOCLEAR_BITMAPS) !== 0n,
    autoclear: v3 ? h.autoclear_features : 0n,
    ...backingOf(start, h.backing_file_offset, h.backing_file_size),
    ...extensions.backingFormat === undefined ? {} : { backingFormat: extensions.backingFormat },
  }
  checkFacts(facts)
  return facts
}

function backingOf(start: Uint8Array, offset: number, length: number): { backingFile?: string } {
  if (offset === 0) return {}
  if (length > MAX_NAME_BYTES || offset + length > start.length) {
    throw corrupt('the backing file\'s name is outside the first cluster')
  }
  return { backingFile: text(start.subarray(offset, offset + length)) }
}

function checkFacts(facts: Qcow2Facts): void {
  const clusterBytes = 2 ** facts.clusterBits
  const aligned = (offset: number): boolean =>
    Number.isSafeInteger(offset) && offset % clusterBytes === 0
  if (facts.refcountOrder > 6) throw corrupt(`refcounts of 2^${facts.refcountOrder} bits`)
  if (!Number.isSafeInteger(facts.sizeBytes)) throw unsupported('a disk of 2^53 bytes or more')
  if (!aligned(facts.l1Offset)) throw corrupt('the L1 table is not aligned')
  if (facts.l1Entries * 8 > MAX_L1_BYTES) throw corrupt('the L1 table is too large')
  if (facts.l1Entries < l1EntriesFor(facts.sizeBytes, facts.clusterBits)) {
    throw corrupt('the L1 table is too small')
  }
  if (!aligned(facts.refcountTableOffset)) throw corrupt('the refcount table is not aligned')
  if (facts.refcountTableClusters === 0) throw corrupt('there is no refcount table')
  if (facts.refcountTableClusters * clusterBytes > MAX_REFCOUNT_TABLE_BYTES) {
    throw corrupt('the refcount table is too large')
  }
  if (facts.snapshotCount > MAX_SNAPSHOTS) throw corrupt('too many snapshots')
  if (facts.snapshotCount > 0 && facts.snapshotsOffset % 8 !== 0) {
    throw corrupt('the snapshot table is not aligned')
  }
}

/** Entries that an L1 table needs for a disk. */
export function l1EntriesFor(sizeBytes: number, clusterBits: number): number {
  return Math.ceil(sizeBytes / 2 ** (clusterBits * 2 - 3))
}

/** What an L2 entry says of a cluster of the disk. */
export type Mapping =
  | { readonly kind: 'absent' }
  | { readonly kind: 'zero', readonly host?: number, readonly copied: boolean }
  | { readonly kind: 'data', readonly host: number, readonly copied: boolean }
  | { readonly kind: 'compressed', readonly host: number, readonly lengthBytes: number }

const absent: Mapping = { kind: 'absent' }
const COPIED = 0x8000_0000
const COMPRESSED = 0x4000_0000
const OFFSET_HIGH = 0x00ff_ffff
const WORD = 2 ** 32
const SECTOR = 512

/** The offset in an L1, L2 or refcount table entry, without its flags. */
export function offsetAt(table: DataView, at: number): number {
  return (table.getUint32(at) & OFFSET_HIGH) * WORD +
    Math.floor(table.getUint32(at + 4) / SECTOR) * SECTOR
}

export function isCopied(table: DataView, at: number): boolean {
  return (table.getUint32(at) & COPIED) !== 0
}

export function writeEntry(
  table: DataView, at: number, offset: number, copied: boolean, zero = false,
): void {
  table.setUint32(at, (Math.floor(offset / WORD) | (copied ? COPIED : 0)) >>> 0)
  table.setUint32(at + 4, offset % WORD + (zero ? 1 : 0))
}

export function mappingAt(table: DataView, at: number, clusterBits: number, v3: boolean): Mapping {
  const high = table.getUint32(at)
  const low = table.getUint32(at + 4)
  if (high === 0 && low === 0) return absent
  if (high & COMPRESSED) return compressedAt(high, low, clusterBits)
  const host = offsetAt(table, at)
  if (host % 2 ** clusterBits !== 0) throw corrupt('a cluster is not aligned')
  if (!Number.isSafeInteger(host)) throw corrupt('a cluster is out of reach')
  const copied = (high & COPIED) !== 0
  if (low & 1) {
    if (!v3) throw corrupt('a zero cluster in version 2')
    return host === 0 ? { kind: 'zero', copied: false } : { kind: 'zero', host, copied }
  }
  return host === 0 ? absent : { kind: 'data', host, copied }
}

function compressedAt(high: number, low: number, clusterBits: number): Mapping {
  // The offset takes all bits below this one; above it are the sectors after the first.
  const split = 62 - (clusterBits - 8)
  const highBits = split - 32
  const host = (high & 2 ** highBits - 1) * WORD + low
  const sectors = (high & 0x3fff_ffff) >>> highBits
  if (!Number.isSafeInteger(host)) throw corrupt('a compressed cluster is out of reach')
  return {
    kind: 'compressed', host, lengthBytes: (sectors + 1) * SECTOR - host % SECTOR,
  }
}
