/**
 * Virtual Hard Disk on disk: footer, dynamic header, parent locators, blktap's batmap.
 *
 * The text is Microsoft's "Virtual Hard Disk Image Format Specification" 1.0; the batmap is what
 * blktap2 put behind the block allocation table. The disk's size is the footer's current size, as
 * blktap has it; QEMU computes it from the geometry unless the creator is one that it knows, of
 * which blktap's `tap` is one, and ours.
 */
import { array, struct, type ViewOf } from '../../base/layout/struct.ts'
import { be16, be32, be53, u8 } from '../../base/layout/scalar.ts'
import { StorageError } from '../error.ts'

export const FOOTER_BYTES = 512
export const HEADER_BYTES = 1024
export const DEFAULT_BLOCK_BYTES = 2 << 20
/** In the block allocation table: no block. */
export const NO_BLOCK = 0xffff_ffff
/** A sector's number has 32 bits; QEMU's limit leaves room for the metadata. */
export const MAX_VHD_BYTES = 0xff00_0000 * 512

export const DISK_FIXED = 2
export const DISK_DYNAMIC = 3
export const DISK_DIFFERENCING = 4

export const Footer = struct('vhd footer', {
  cookie: array(u8, 8), features: be32, file_format_version: be32, data_offset: array(be32, 2),
  time_stamp: be32, creator_application: array(u8, 4), creator_version: be32,
  creator_host_os: be32, original_size: be53, current_size: be53, cylinders: be16, heads: u8,
  sectors_per_track: u8, disk_type: be32, checksum: be32, unique_id: array(u8, 16),
  saved_state: u8, reserved: array(u8, 427),
}, { packed: true })

const Locator = struct('vhd parent locator', {
  platform_code: be32, platform_data_space: be32, platform_data_length: be32, reserved: be32,
  platform_data_offset: be53,
}, { packed: true })

export const Header = struct('vhd dynamic header', {
  cookie: array(u8, 8), data_offset: array(be32, 2), table_offset: be53, header_version: be32,
  max_table_entries: be32, block_size: be32, checksum: be32, parent_unique_id: array(u8, 16),
  parent_time_stamp: be32, reserved: be32, parent_unicode_name: array(u8, 512),
  locators: array(Locator, 8), reserved2: array(u8, 256),
}, { packed: true })

export type FooterView = ViewOf<typeof Footer>
export type HeaderView = ViewOf<typeof Header>

const FOOTER_COOKIE = 'conectix'
const HEADER_COOKIE = 'cxsparse'
const BATMAP_COOKIE = 'tdbatmap'
const VERSION_1_0 = 0x0001_0000
const CREATOR = 'tap\0'
const CREATOR_VERSION = 0x0001_0003
const BATMAP_VERSION = 0x0001_0002
/** Seconds from 1970 to 2000. */
const EPOCH_SEC = 946_684_800

/** Kinds of parent locators: relative and absolute Windows paths, and file URLs. */
export const LOCATOR_RELATIVE = 0x5732_7275
export const LOCATOR_ABSOLUTE = 0x5732_6b75
export const LOCATOR_URL = 0x4d61_6358

export function corrupt(message: string): StorageError {
  return new StorageError('corrupt', `VHD: ${message}`)
}

function ascii(bytes: Uint8Array, at: number, length: number): string {
  return String.fromCharCode(...bytes.subarray(at, at + length))
}

function putAscii(bytes: Uint8Array, at: number, text: string): void {
  for (let i = 0; i < text.length; i++) bytes[at + i] = text.charCodeAt(i)
}

export function looksLikeVhd(start: Uint8Array): boolean {
  return ascii(start, 0, 8) === FOOTER_COOKIE
}

/** The complement of the sum of all bytes but the checksum's own. */
function checksumOf(bytes: Uint8Array, ownAt: number): number {
  let sum = 0
  bytes.forEach((byte, i) => { if (i < ownAt || i >= ownAt + 4) sum += byte })
  return ~sum >>> 0
}

function sealFooter(bytes: Uint8Array): void {
  Footer.on(bytes).checksum = checksumOf(bytes, Footer.offsets.checksum)
}

export function sealHeader(bytes: Uint8Array): void {
  Header.on(bytes).checksum = checksumOf(bytes, Header.offsets.checksum)
}

export function isFooter(bytes: Uint8Array): boolean {
  return looksLikeVhd(bytes) &&
    Footer.on(bytes).checksum === checksumOf(bytes, Footer.offsets.checksum)
}

export function readHeader(bytes: Uint8Array): HeaderView {
  const header = Header.on(bytes)
  if (ascii(bytes, 0, 8) !== HEADER_COOKIE) throw corrupt('no dynamic header')
  if (header.checksum !== checksumOf(bytes, Header.offsets.checksum)) {
    throw corrupt('the dynamic header\'s checksum is wrong')
  }
  const block = header.block_size
  if (block < 4096 || block > 1 << 28 || (block & block - 1) !== 0) {
    throw corrupt(`blocks of ${block} bytes`)
  }
  return header
}

/** Bytes of the bitmap that stands before a block's data: whole sectors. */
export function bitmapBytesOf(blockBytes: number): number {
  return Math.ceil(blockBytes / 512 / 8 / 512) * 512
}

/** Bytes of a table of `entries` blocks, and of the batmap behind it. */
export function tableBytesOf(entries: number): { table: number, batmap: number } {
  return {
    table: Math.ceil(entries * 4 / 512) * 512,
    batmap: 512 + Math.ceil(entries / 8 / 512) * 512,
  }
}

/** A batmap that promises nothing: a bit of it says that a block's bitmap need not be read. */
export function emptyBatmap(entries: number, offset: number): Uint8Array {
  const { batmap } = tableBytesOf(entries)
  const bytes = new Uint8Array(batmap)
  const view = new DataView(bytes.buffer)
  putAscii(bytes, 0, BATMAP_COOKIE)
  view.setBigUint64(8, BigInt(offset + 512))
  view.setUint32(16, (batmap - 512) / 512)
  view.setUint32(20, BATMAP_VERSION)
  view.setUint32(24, 0xffff_ffff) // The complement of the sum of no bits.
  return bytes
}

interface Geometry {
  readonly cylinders: number
  readonly heads: number
  readonly sectors: number
}

/** Cylinders, heads and sectors for a disk, as the specification's appendix computes them. */
function geometryOf(sizeBytes: number): Geometry {
  const total = Math.min(Math.floor(sizeBytes / 512), 65535 * 16 * 255)
  if (total >= 65535 * 16 * 63) {
    return { cylinders: Math.floor(total / 16 / 255), heads: 16, sectors: 255 }
  }
  let sectors = 17
  let perHead = Math.floor(total / sectors)
  let heads = Math.max(4, Math.floor((perHead + 1023) / 1024))
  if (perHead >= heads * 1024 || heads > 16) {
    sectors = 31
    heads = 16
    perHead = Math.floor(total / sectors)
  }
  if (perHead >= heads * 1024) {
    sectors = 63
    heads = 16
    perHead = Math.floor(total / sectors)
  }
  return { cylinders: Math.floor(perHead / heads), heads, sectors }
}

/** Gives a footer its disk's size, and what follows from it. */
export function setFooterSize(bytes: Uint8Array, sizeBytes: number): void {
  const footer = Footer.on(bytes)
  footer.current_size = sizeBytes
  const { cylinders, heads, sectors } = geometryOf(sizeBytes)
  footer.cylinders = cylinders
  footer.heads = heads
  footer.sectors_per_track = sectors
  sealFooter(bytes)
}

export interface NewFooter {
  readonly diskType: number
  readonly sizeBytes: number
  readonly nowMs: number
  readonly uniqueId: Uint8Array
}

export function makeFooter(wish: NewFooter): Uint8Array {
  const bytes = new Uint8Array(FOOTER_BYTES)
  const footer = Footer.on(bytes)
  putAscii(bytes, 0, FOOTER_COOKIE)
  footer.features = 2 // Reserved, and always set.
  footer.file_format_version = VERSION_1_0
  const isFixed = wish.diskType === DISK_FIXED
  footer.data_offset.set(0, isFixed ? 0xffff_ffff : 0)
  footer.data_offset.set(1, isFixed ? 0xffff_ffff : FOOTER_BYTES)
  footer.time_stamp = Math.max(0, Math.floor(wish.nowMs / 1000) - EPOCH_SEC)
  putAscii(bytes, Footer.offsets.creator_application, CREATOR)
  footer.creator_version = CREATOR_VERSION
  footer.original_size = wish.sizeBytes
  footer.disk_type = wish.diskType
  bytes.set(wish.uniqueId.subarray(0, 16), Footer.offsets.unique_id)
  setFooterSize(bytes, wish.sizeBytes)
  return bytes
}

/** A dynamic header without parent, to be sealed. */
export function makeHeader(tableOffset: number, entries: number, blockBytes: number): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const header = Header.on(bytes)
  putAscii(bytes, 0, HEADER_COOKIE)
  header.data_offset.set(0, 0xffff_ffff)
  header.data_offset.set(1, 0xffff_ffff)
  header.table_offset = tableOffset
  header.header_version = VERSION_1_0
  header.max_table_entries = entries
  header.block_size = blockBytes
  return bytes
}
