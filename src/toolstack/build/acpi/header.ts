/**
 * What ACPI tables have in common: their header and checksum, and how they name processors.
 */
import { array, struct } from '../../../base/layout/struct.ts'
import { u32, u8 } from '../../../base/layout/scalar.ts'

export const OEM_ID = 'Xen'
const OEM_TABLE_ID = 'HVM'
const CREATOR_ID = 'HVML'

export const TableHeader = struct('struct acpi_header', {
  signature: array(u8, 4), length: u32, revision: u8, checksum: u8,
  oem_id: array(u8, 6), oem_table_id: array(u8, 8), oem_revision: u32,
  creator_id: array(u8, 4), creator_revision: u32,
})

/** From this id on, a processor's entries are those of an x2APIC. */
const FIRST_X2APIC_ID = 255

/** The local APIC's id of a vcpu; CPUID must say the same. */
export function apicIdOf(vcpu: number): number {
  return vcpu * 2
}

export function hasX2apicId(vcpu: number): boolean {
  return apicIdOf(vcpu) >= FIRST_X2APIC_ID
}

export function put(target: Uint8Array, at: number, text: string, width: number): void {
  for (let i = 0; i < width; i++) target[at + i] = i < text.length ? text.charCodeAt(i) : 0
}

/** The byte that makes the sum of all bytes zero. */
export function checksumOf(bytes: Uint8Array): number {
  return -bytes.reduce((sum, byte) => sum + byte, 0) & 0xff
}

/** Fills in the header of a finished table. */
export function finished(table: Uint8Array, signature: string, revision: number): Uint8Array {
  const { offsets } = TableHeader
  const header = TableHeader.on(table.buffer)
  put(table, 0, signature, 4)
  put(table, offsets.oem_id, OEM_ID, 6)
  put(table, offsets.oem_table_id, OEM_TABLE_ID, 8)
  put(table, offsets.creator_id, CREATOR_ID, 4)
  header.length = table.length
  header.revision = revision
  header.checksum = 0
  header.checksum = checksumOf(table)
  return table
}
