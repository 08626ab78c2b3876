/**
 * Partition tables: MBR with extended partitions, and GPT.
 *
 * The text of GPT is the UEFI specification, chapter 5. Both its checksums must hold; where they do
 * not, the backup at the end of the disk is taken. Sectors are of 512 bytes, or of 4096 where the
 * header lies there.
 */
import { crc32 } from '../../base/compression/crc.ts'
import type { BlockStore } from '../block-store.ts'
import { viewOf, Volume } from './volume.ts'

export interface Partition {
  /** As Linux numbers it: logical partitions of an MBR from 5 on. */
  readonly number: number
  readonly offset: number
  readonly sizeBytes: number
  /** A GUID of GPT, or a byte of MBR in hexadecimal. */
  readonly type: string
  readonly name: string
  readonly isActive: boolean
}

export interface PartitionTable {
  readonly kind: 'mbr' | 'gpt'
  readonly partitions: readonly Partition[]
}

const SECTOR = 512
const TYPE_PROTECTIVE = 0xee
const EXTENDED_TYPES = [0x05, 0x0f, 0x85]
const MAX_LOGICAL = 128
const MAX_GPT_ENTRIES = 1024
const MAX_GPT_ENTRY_BYTES = 4096
const NO_TYPE = '00000000-0000-0000-0000-000000000000'

interface MbrEntry {
  readonly type: number
  readonly first: number
  readonly count: number
  readonly isActive: boolean
}

/** The table on a disk, if there is one. */
export async function readPartitions(store: BlockStore): Promise<PartitionTable | undefined> {
  const disk = new Volume(store)
  if (disk.sizeBytes < SECTOR) return undefined
  const entries = mbrEntries(await disk.read(0, SECTOR))
  if (!entries) return undefined
  if (entries.some(({ type }) => type === TYPE_PROTECTIVE)) {
    const partitions = await readGpt(disk)
    if (partitions) return { kind: 'gpt', partitions }
  }
  return { kind: 'mbr', partitions: await readMbr(disk, entries) }
}

/** The four entries of a sector, if it is a partition table and not a boot sector of FAT. */
function mbrEntries(sector: Uint8Array): MbrEntry[] | undefined {
  const view = viewOf(sector)
  if (view.getUint16(510, true) !== 0xaa55) return undefined
  const entries = [446, 462, 478, 494].map((at) => ({
    type: view.getUint8(at + 4), first: view.getUint32(at + 8, true),
    count: view.getUint32(at + 12, true), status: view.getUint8(at),
  }))
  if (entries.some(({ status }) => status !== 0 && status !== 0x80)) return undefined
  return entries.map(({ status, ...entry }) => ({ ...entry, isActive: status === 0x80 }))
}

function partitionOf(number: number, entry: MbrEntry, base: number): Partition {
  return {
    number, offset: (base + entry.first) * SECTOR, sizeBytes: entry.count * SECTOR,
    type: entry.type.toString(16).padStart(2, '0'), name: '', isActive: entry.isActive,
  }
}

async function readMbr(disk: Volume, entries: readonly MbrEntry[]): Promise<Partition[]> {
  const partitions: Partition[] = []
  for (const [i, entry] of entries.entries()) {
    if (entry.type === 0 || entry.count === 0) continue
    partitions.push(partitionOf(i + 1, entry, 0))
    if (EXTENDED_TYPES.includes(entry.type)) partitions.push(...await readLogical(disk, entry))
  }
  return partitions.sort((a, b) => a.number - b.number)
}

/** The chain of tables within an extended partition: each has a partition and the next table. */
async function readLogical(disk: Volume, extended: MbrEntry): Promise<Partition[]> {
  const partitions: Partition[] = []
  const seen = new Set<number>()
  let table = extended.first
  while (partitions.length < MAX_LOGICAL && !seen.has(table)) {
    seen.add(table)
    if ((table + 1) * SECTOR > disk.sizeBytes) break
    const entries = mbrEntries(await disk.read(table * SECTOR, SECTOR))
    const logical = entries?.find(({ type, count }) =>
      type !== 0 && count !== 0 && !EXTENDED_TYPES.includes(type))
    if (logical) partitions.push(partitionOf(5 + partitions.length, logical, table))
    const next = entries?.find(({ type }) => EXTENDED_TYPES.includes(type))
    if (!next) break
    table = extended.first + next.first
  }
  return partitions
}

async function readGpt(disk: Volume): Promise<Partition[] | undefined> {
  for (const sectorBytes of [SECTOR, 4096]) {
    const last = Math.floor(disk.sizeBytes / sectorBytes) - 1
    for (const sector of [1, last]) {
      const partitions = await readGptAt(disk, sector, sectorBytes)
      if (partitions) return partitions
    }
  }
  return undefined
}

/** The partitions that the header in a sector describes; undefined if anything is not right. */
async function readGptAt(
  disk: Volume, sector: number, sectorBytes: number,
): Promise<Partition[] | undefined> {
  if (sector < 1 || (sector + 1) * sectorBytes > disk.sizeBytes) return undefined
  const header = await disk.read(sector * sectorBytes, SECTOR)
  const view = viewOf(header)
  const headerBytes = view.getUint32(12, true)
  if (String.fromCharCode(...header.subarray(0, 8)) !== 'EFI PART') return undefined
  if (headerBytes < 92 || headerBytes > SECTOR) return undefined
  const summed = header.slice(0, headerBytes)
  summed.fill(0, 16, 20)
  if (crc32(summed) !== view.getUint32(16, true)) return undefined
  if (view.getBigUint64(24, true) !== BigInt(sector)) return undefined
  const count = view.getUint32(80, true)
  const entryBytes = view.getUint32(84, true)
  const at = Number(view.getBigUint64(72, true)) * sectorBytes
  if (count > MAX_GPT_ENTRIES || entryBytes < 128 || entryBytes > MAX_GPT_ENTRY_BYTES ||
    at + count * entryBytes > disk.sizeBytes) return undefined
  const entries = await disk.read(at, count * entryBytes)
  if (crc32(entries) !== view.getUint32(88, true)) return undefined
  const partitions: Partition[] = []
  for (let i = 0; i < count; i++) {
    const partition = gptPartition(entries.subarray(i * entryBytes, (i + 1) * entryBytes), i + 1,
      sectorBytes)
    if (partition) partitions.push(partition)
  }
  return partitions
}

function gptPartition(
  entry: Uint8Array, number: number, sectorBytes: number,
): Partition | undefined {
  const type = guidText(entry.subarray(0, 16))
  if (type === NO_TYPE) return undefined
  const view = viewOf(entry)
  const first = Number(view.getBigUint64(32, true))
  const last = Number(view.getBigUint64(40, true))
  if (!Number.isSafeInteger(last * sectorBytes) || last < first) return undefined
  const name = new TextDecoder('utf-16le').decode(entry.subarray(56, 128)).replace(/\0.*$/s, '')
  return {
    number, offset: first * sectorBytes, sizeBytes: (last - first + 1) * sectorBytes, type, name,
    // The attribute "legacy BIOS bootable".
    isActive: (view.getUint8(48) & 4) !== 0,
  }
}

/** The first three fields of a GUID are little-endian. */
function guidText(bytes: Uint8Array): string {
  const hex = (...order: number[]): string =>
    order.map((i) => bytes[i]!.toString(16).padStart(2, '0')).join('')
  return [hex(3, 2, 1, 0), hex(5, 4), hex(7, 6), hex(8, 9), hex(10, 11, 12, 13, 14, 15)].join('-')
}
