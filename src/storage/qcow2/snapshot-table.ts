/**
 * The table of internal snapshots: read, and laid out anew.
 */
import type { HostFile } from '../../base/host-file.ts'
import { array, struct } from '../../base/layout/struct.ts'
import { be16, be32, be53, u8 } from '../../base/layout/scalar.ts'
import { corrupt, type Qcow2Facts } from './format.ts'

const Entry = struct('qcow2 snapshot table entry', {
  l1_table_offset: be53, l1_size: be32, id_str_size: be16, name_size: be16, date_sec: be32,
  date_nsec: be32, vm_clock_nsec: array(u8, 8), vm_state_size: be32, extra_data_size: be32,
}, { packed: true })

const MAX_L1_ENTRIES = (32 << 20) / 8
const MAX_EXTRA_BYTES = 1024
const MAX_TABLE_BYTES = 16 << 20

export interface ImageSnapshot {
  readonly id: string
  readonly name: string
  readonly l1Offset: number
  readonly l1Entries: number
  /** Seconds since 1970. */
  readonly dateSec: number
  readonly vmStateBytes: number
  /** The size of the disk then, where it was noted. */
  readonly sizeBytes?: number
  /** The entry as it is in the file, padded. */
  readonly bytes: Uint8Array
  /** Where the entry ends in the file. */
  readonly end: number
}

const pad = (length: number): number => Math.ceil(length / 8) * 8

export async function readSnapshots(
  file: HostFile, facts: Qcow2Facts,
): Promise<ImageSnapshot[]> {
  const snapshots: ImageSnapshot[] = []
  let at = facts.snapshotsOffset
  for (let i = 0; i < facts.snapshotCount; i++) {
    const head = new Uint8Array(Entry.size)
    if (await file.read(at, head) < Entry.size) throw corrupt('the snapshot table is cut off')
    const entry = Entry.on(head)
    if (entry.extra_data_size > MAX_EXTRA_BYTES) throw corrupt('a snapshot\'s extra data')
    const length = Entry.size + entry.extra_data_size + entry.id_str_size + entry.name_size
    const bytes = new Uint8Array(pad(length))
    await file.read(at, bytes)
    at += bytes.length
    if (at - facts.snapshotsOffset > MAX_TABLE_BYTES) throw corrupt('a huge snapshot table')
    snapshots.push(readEntry(bytes, at, facts))
  }
  return snapshots
}

function readEntry(bytes: Uint8Array, end: number, facts: Qcow2Facts): ImageSnapshot {
  const entry = Entry.on(bytes)
  if (entry.l1_table_offset % 2 ** facts.clusterBits !== 0 || entry.l1_size > MAX_L1_ENTRIES ||
    !Number.isSafeInteger(entry.l1_table_offset)) throw corrupt('a snapshot\'s L1 table')
  const extra = Entry.size
  const id = extra + entry.extra_data_size
  const text = (from: number, length: number): string =>
    new TextDecoder().decode(bytes.subarray(from, from + length))
  const view = new DataView(bytes.buffer)
  return {
    id: text(id, entry.id_str_size),
    name: text(id + entry.id_str_size, entry.name_size),
    l1Offset: entry.l1_table_offset,
    l1Entries: entry.l1_size,
    dateSec: entry.date_sec,
    vmStateBytes: entry.extra_data_size >= 8
      ? Number(view.getBigUint64(extra)) : entry.vm_state_size,
    ...entry.extra_data_size >= 16
      ? { sizeBytes: Number(view.getBigUint64(extra + 8)) } : {},
    bytes,
    end,
  }
}

export interface NewSnapshot {
  readonly id: string
  readonly name: string
  readonly l1Offset: number
  readonly l1Entries: number
  readonly nowMs: number
  readonly sizeBytes: number
}

/** An entry for the table: sizes in its extra data, no state of a machine. */
export function snapshotEntry(snapshot: NewSnapshot): Uint8Array {
  const id = new TextEncoder().encode(snapshot.id)
  const name = new TextEncoder().encode(snapshot.name)
  const extra = 16
  const bytes = new Uint8Array(pad(Entry.size + extra + id.length + name.length))
  const entry = Entry.on(bytes)
  entry.l1_table_offset = snapshot.l1Offset
  entry.l1_size = snapshot.l1Entries
  entry.id_str_size = id.length
  entry.name_size = name.length
  entry.date_sec = Math.floor(snapshot.nowMs / 1000)
  entry.date_nsec = snapshot.nowMs % 1000 * 1e6
  entry.extra_data_size = extra
  new DataView(bytes.buffer).setBigUint64(Entry.size + 8, BigInt(snapshot.sizeBytes))
  bytes.set(id, Entry.size + extra)
  bytes.set(name, Entry.size + extra + id.length)
  return bytes
}
