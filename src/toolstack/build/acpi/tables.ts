/**
 * The ACPI tables of a PVH domain: its processors, and that there is no other hardware.
 *
 * Obeys the ACPI specification (FADT revision 5, MADT revision 2) and, where there was a choice,
 * does as Xen's tools/libacpi: the FADT claims fixed hardware at 0xb000 although no device answers
 * there, and the MADT a pair of 8259s; guests are used to that. There is no PM timer. The DSDT is
 * our own: one ACPI0007 device a vcpu, with its entry of the MADT, by which a guest finds the APIC
 * of one that is not present at the start.
 */
import { array, struct } from '../../../base/layout/struct.ts'
import { u16, u32, u53, u8 } from '../../../base/layout/scalar.ts'
import type { NumaAffinity } from '../numa.ts'
import { slit, srat } from './affinity.ts'
import { type Aml, buffer, device, integer, name, rootScope, string } from './aml.ts'
import { apicIdOf, checksumOf, finished, hasX2apicId, OEM_ID, put, TableHeader } from './header.ts'

const FACS_SIZE = 64
const FADT_SIZE = 0x10c
const FADT_REVISION = 5
const DSDT_REVISION = 5
const MADT_REVISION = 2
const XSDT_REVISION = 1
const RSDP_REVISION = 2
const RSDP_SIZE = 36
const TABLE_ALIGNMENT = 16

/** Fields of the FADT that are not zero, by offset. */
const FADT = {
  FIRMWARE_CTRL: 36, DSDT: 40, SCI_INT: 46,
  PM1A_EVT_BLK: 56, PM1A_CNT_BLK: 64, GPE0_BLK: 80,
  PM1_EVT_LEN: 88, PM1_CNT_LEN: 89, GPE0_BLK_LEN: 92,
  P_LVL2_LAT: 96, P_LVL3_LAT: 98, IAPC_BOOT_ARCH: 109, FLAGS: 112,
  RESET_REG: 116, RESET_VALUE: 128, X_FIRMWARE_CTRL: 132, X_DSDT: 140,
  X_PM1A_EVT_BLK: 148, X_PM1A_CNT_BLK: 172, X_GPE0_BLK: 220,
} as const

const SCI_LINE = 9
const PM1A_EVENT_PORT = 0xb000
const PM1A_CONTROL_PORT = 0xb004
const GPE0_PORT = 0xafe0
const RESET_PORT = 0xcf9
const RESET_VALUE = 6
/** Longer than any C2 or C3 that the processor would be worth putting into. */
const NO_C_STATE_US = 0xfff
const BOOT_ARCH_NO_VGA = 1 << 2
const BOOT_ARCH_NO_CMOS_RTC = 1 << 5
const FLAG_WBINVD = 1 << 0
const FLAG_PROC_C1 = 1 << 2
const FLAG_PWR_BUTTON = 1 << 4
const FLAG_SLP_BUTTON = 1 << 5
const FLAG_FIX_RTC = 1 << 6
const FLAG_TMR_VAL_EXT = 1 << 8
const ADDRESS_SPACE_IO = 1

const LOCAL_APIC_ADDRESS = 0xfee00000
const MADT_LOCAL_APIC = 0
const MADT_LOCAL_X2APIC = 9
const MADT_ENABLED = 1
const MADT_PCAT_COMPAT = 1
/** Of a device: present, enabled, shown, working. */
const STATUS_WORKS = 0xf

const MadtHeader = struct('struct acpi_madt', { header: TableHeader, address: u32, flags: u32 })
const MadtLocalApic = struct('struct acpi_madt_local_apic', {
  type: u8, length: u8, processor_id: u8, id: u8, lapic_flags: u32,
})
const MadtLocalX2apic = struct('struct acpi_madt_local_x2apic', {
  type: u8, length: u8, reserved: u16, local_apic_id: u32, lapic_flags: u32, uid: u32,
})
const Rsdp = struct('struct acpi_rsdp', {
  signature: array(u8, 8), checksum: u8, oem_id: array(u8, 6), revision: u8,
  rsdt_physical_address: u32, length: u32, xsdt_physical_address: u53,
  extended_checksum: u8, reserved: array(u8, 3),
})

export interface AcpiImage {
  /** All tables but the RSDP, to lie at the address they were made for. */
  readonly tables: Uint8Array
  /** The table that the guest is pointed to, to lie where the caller likes. */
  readonly rsdp: Uint8Array
}

/** Makes the tables of a domain with `maxVcpus` vcpus, the first `onlineVcpus` of them present, and
 * with virtual nodes if `numa` says so. */
export function buildAcpi(
  address: number, maxVcpus: number, onlineVcpus: number, numa?: NumaAffinity,
): AcpiImage {
  const parts: Uint8Array[] = []
  let next = address
  const place = (table: Uint8Array): number => {
    const at = next
    const room = new Uint8Array(Math.ceil(table.length / TABLE_ALIGNMENT) * TABLE_ALIGNMENT)
    room.set(table)
    parts.push(room)
    next += room.length
    return at
  }
  const facsAt = place(facs())
  const dsdtAt = place(dsdt(maxVcpus))
  const fadtAt = place(fadt(facsAt, dsdtAt))
  const madtAt = place(madt(maxVcpus, onlineVcpus))
  const affinityAt = numa ? [place(srat(numa)), place(slit(numa))] : []
  const xsdtAt = place(xsdt([fadtAt, madtAt, ...affinityAt]))
  const tables = new Uint8Array(next - address)
  let at = 0
  for (const part of parts) {
    tables.set(part, at)
    at += part.length
  }
  return { tables, rsdp: rsdp(xsdtAt) }
}

function facs(): Uint8Array {
  const table = new Uint8Array(FACS_SIZE)
  put(table, 0, 'FACS', 4)
  const view = new DataView(table.buffer)
  view.setUint32(4, FACS_SIZE, true)
  view.setUint8(32, 1)
  return table
}

/** A name a vcpu: C000, C001, ... in hexadecimal. */
function processorName(vcpu: number): string {
  return `C${vcpu.toString(16).toUpperCase().padStart(3, '0')}`
}

function dsdt(vcpus: number): Uint8Array {
  const processors: Aml[] = []
  for (let vcpu = 0; vcpu < vcpus; vcpu++) {
    const terms = [
      name('_HID', string('ACPI0007')), name('_UID', integer(vcpu)),
      name('_MAT', buffer(localApic(vcpu, MADT_ENABLED))), name('_STA', integer(STATUS_WORKS)),
    ]
    processors.push(device(processorName(vcpu), terms))
  }
  const aml = rootScope('_SB', processors)
  const table = new Uint8Array(TableHeader.size + aml.length)
  table.set(aml, TableHeader.size)
  return finished(table, 'DSDT', DSDT_REVISION)
}

function fadt(facsAt: number, dsdtAt: number): Uint8Array {
  const table = new Uint8Array(FADT_SIZE)
  const view = new DataView(table.buffer)
  const port = (at: number, wideAt: number, address: number, bits: number, access: number) => {
    if (at) view.setUint32(at, address, true)
    view.setUint8(wideAt, ADDRESS_SPACE_IO)
    view.setUint8(wideAt + 1, bits)
    view.setUint8(wideAt + 3, access)
    view.setUint32(wideAt + 4, address, true)
  }
  view.setUint32(FADT.FIRMWARE_CTRL, facsAt, true)
  view.setUint32(FADT.DSDT, dsdtAt, true)
  view.setUint32(FADT.X_FIRMWARE_CTRL, facsAt, true)
  view.setUint32(FADT.X_DSDT, dsdtAt, true)
  view.setUint16(FADT.SCI_INT, SCI_LINE, true)
  port(FADT.PM1A_EVT_BLK, FADT.X_PM1A_EVT_BLK, PM1A_EVENT_PORT, 32, 2)
  port(FADT.PM1A_CNT_BLK, FADT.X_PM1A_CNT_BLK, PM1A_CONTROL_PORT, 16, 2)
  port(FADT.GPE0_BLK, FADT.X_GPE0_BLK, GPE0_PORT, 32, 1)
  view.setUint8(FADT.PM1_EVT_LEN, 4)
  view.setUint8(FADT.PM1_CNT_LEN, 2)
  view.setUint8(FADT.GPE0_BLK_LEN, 4)
  view.setUint16(FADT.P_LVL2_LAT, NO_C_STATE_US, true)
  view.setUint16(FADT.P_LVL3_LAT, NO_C_STATE_US, true)
  view.setUint16(FADT.IAPC_BOOT_ARCH, BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_CMOS_RTC, true)
  const flags = FLAG_WBINVD | FLAG_PROC_C1 | FLAG_PWR_BUTTON | FLAG_SLP_BUTTON | FLAG_FIX_RTC |
    FLAG_TMR_VAL_EXT
  view.setUint32(FADT.FLAGS, flags, true)
  port(0, FADT.RESET_REG, RESET_PORT, 8, 1)
  view.setUint8(FADT.RESET_VALUE, RESET_VALUE)
  return finished(table, 'FACP', FADT_REVISION)
}

function madt(vcpus: number, online: number): Uint8Array {
  const entries = Array.from({ length: vcpus }, (_, vcpu) =>
    localApic(vcpu, vcpu < online ? MADT_ENABLED : 0))
  const table = new Uint8Array(entries.reduce((sum, entry) => sum + entry.length, MadtHeader.size))
  const header = MadtHeader.on(table.buffer)
  header.address = LOCAL_APIC_ADDRESS
  header.flags = MADT_PCAT_COMPAT
  let at = MadtHeader.size
  for (const entry of entries) {
    table.set(entry, at)
    at += entry.length
  }
  return finished(table, 'APIC', MADT_REVISION)
}

/** The entry of a vcpu's local APIC. */
function localApic(vcpu: number, flags: number): Uint8Array {
  if (hasX2apicId(vcpu)) {
    const bytes = new Uint8Array(MadtLocalX2apic.size)
    const entry = MadtLocalX2apic.on(bytes.buffer)
    entry.type = MADT_LOCAL_X2APIC
    entry.length = MadtLocalX2apic.size
    entry.local_apic_id = apicIdOf(vcpu)
    entry.uid = vcpu
    entry.lapic_flags = flags
    return bytes
  }
  const bytes = new Uint8Array(MadtLocalApic.size)
  const entry = MadtLocalApic.on(bytes.buffer)
  entry.type = MADT_LOCAL_APIC
  entry.length = MadtLocalApic.size
  entry.processor_id = vcpu
  entry.id = apicIdOf(vcpu)
  entry.lapic_flags = flags
  return bytes
}

function xsdt(addresses: readonly number[]): Uint8Array {
  const table = new Uint8Array(TableHeader.size + 8 * addresses.length)
  const view = new DataView(table.buffer)
  addresses.forEach((address, i) => {
    view.setBigUint64(TableHeader.size + 8 * i, BigInt(address), true)
  })
  return finished(table, 'XSDT', XSDT_REVISION)
}

function rsdp(xsdtAt: number): Uint8Array {
  const table = new Uint8Array(RSDP_SIZE)
  const { offsets } = Rsdp
  const view = Rsdp.on(table.buffer)
  put(table, 0, 'RSD PTR ', 8)
  put(table, offsets.oem_id, OEM_ID, 6)
  view.revision = RSDP_REVISION
  view.length = RSDP_SIZE
  view.xsdt_physical_address = xsdtAt
  // The first sum is over the part that revision 0 had.
  view.checksum = checksumOf(table.subarray(0, 20))
  view.extended_checksum = checksumOf(table)
  return table
}
