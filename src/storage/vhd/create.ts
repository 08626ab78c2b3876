/**
 * A new VHD: fixed, dynamic, or differencing, laid out as blktap2 did.
 */
import type { HostFile } from '../../base/host-file.ts'
import { StorageError } from '../error.ts'
import {
  DEFAULT_BLOCK_BYTES, DISK_DIFFERENCING, DISK_DYNAMIC, DISK_FIXED, emptyBatmap, FOOTER_BYTES,
  Header, HEADER_BYTES, makeFooter, makeHeader, MAX_VHD_BYTES, sealHeader, tableBytesOf,
} from './format.ts'
import { locatorsFor, utf16 } from './parent.ts'

export interface VhdParent {
  /** Relative to the child's folder, or absolute. */
  readonly path: string
  readonly uniqueId: Uint8Array
  readonly timeStamp: number
}

export interface NewVhd {
  readonly sizeBytes: number
  readonly fixed?: boolean
  readonly parent?: VhdParent
  readonly nowMs: number
  /** Sixteen random bytes. */
  readonly uniqueId: Uint8Array
}

/** Fills an empty file. */
export async function createVhd(file: HostFile, wish: NewVhd): Promise<void> {
  if (wish.sizeBytes > MAX_VHD_BYTES) {
    throw new StorageError('invalid', 'a VHD has at most 2040 GiB')
  }
  if (wish.fixed) {
    await file.truncate(wish.sizeBytes)
    await file.write(wish.sizeBytes, makeFooter({ ...wish, diskType: DISK_FIXED }))
    await file.flush()
    return
  }
  const entries = Math.max(1, Math.ceil(wish.sizeBytes / DEFAULT_BLOCK_BYTES))
  const { table, batmap } = tableBytesOf(entries)
  const locators = wish.parent ? locatorsFor(wish.parent.path) : []
  const locatorsAt = FOOTER_BYTES + HEADER_BYTES
  const locatorBytes = (content: Uint8Array): number => Math.ceil(content.length / 512) * 512
  const tableAt = locatorsAt +
    locators.reduce((sum, [, content]) => sum + locatorBytes(content), 0)
  const bytes = new Uint8Array(tableAt + table + batmap + FOOTER_BYTES)
  const footer = makeFooter(
    { ...wish, diskType: wish.parent ? DISK_DIFFERENCING : DISK_DYNAMIC })
  bytes.set(footer)
  const headerBytes = makeHeader(tableAt, entries, DEFAULT_BLOCK_BYTES)
  const header = Header.on(headerBytes)
  if (wish.parent) {
    headerBytes.set(wish.parent.uniqueId, Header.offsets.parent_unique_id)
    header.parent_time_stamp = wish.parent.timeStamp
    const name = wish.parent.path.replace(/^.*\//s, '')
    headerBytes.set(utf16(name, false).subarray(0, 510), Header.offsets.parent_unicode_name)
  }
  let at = locatorsAt
  locators.forEach(([code, content], i) => {
    const locator = header.locators.item(i)
    locator.platform_code = code
    locator.platform_data_space = locatorBytes(content)
    locator.platform_data_length = content.length
    locator.platform_data_offset = at
    bytes.set(content, at)
    at += locatorBytes(content)
  })
  sealHeader(headerBytes)
  bytes.set(headerBytes, FOOTER_BYTES)
  bytes.fill(0xff, tableAt, tableAt + table)
  bytes.set(emptyBatmap(entries, tableAt + table), tableAt + table)
  bytes.set(footer, bytes.length - FOOTER_BYTES)
  await file.write(0, bytes)
  await file.flush()
}
