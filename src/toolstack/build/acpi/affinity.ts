/**
 * SRAT and SLIT: which virtual node a domain's processors and memory belong to, and how far the
 * nodes are from one another.
 *
 * Obeys the ACPI specification 5.0 (SRAT revision 3, SLIT revision 1).
 */
import { array, struct } from '../../../base/layout/struct.ts'
import { u16, u32, u53, u8 } from '../../../base/layout/scalar.ts'
import type { NumaAffinity } from '../numa.ts'
import { apicIdOf, finished, hasX2apicId, TableHeader } from './header.ts'

const SRAT_REVISION = 3
const SLIT_REVISION = 1
const SRAT_LOCAL_APIC = 0
const SRAT_MEMORY = 1
const SRAT_LOCAL_X2APIC = 2
const SRAT_ENABLED = 1
/** No distance is greater in a byte: the node cannot be reached. */
const UNREACHABLE = 255

const SratHeader = struct('struct acpi_srat', {
  header: TableHeader, table_revision: u32, reserved: array(u8, 8),
})
const SratLocalApic = struct('struct acpi_srat_local_apic', {
  type: u8, length: u8, domain_low: u8, apic_id: u8, srat_flags: u32, sapic_eid: u8,
  domain_high: array(u8, 3), clock_domain: u32,
})
const SratLocalX2apic = struct('struct acpi_srat_local_x2apic', {
  type: u8, length: u8, reserved: u16, domain: u32, apic_id: u32, srat_flags: u32,
  clock_domain: u32, reserved2: u32,
})
const SratMemory = struct('struct acpi_srat_memory', {
  type: u8, length: u8, domain: u32, reserved: u16, address: u53, size: u53, reserved2: u32,
  srat_flags: u32, reserved3: array(u8, 8),
}, { packed: true })

export function srat({ memory, vnodeOfVcpu }: NumaAffinity): Uint8Array {
  const parts = [
    ...vnodeOfVcpu.map((vnode, vcpu) => hasX2apicId(vcpu)
      ? localX2apic(vcpu, vnode) : localApic(vcpu, vnode)),
    ...memory.map(({ start, end, vnode }) => {
      const { bytes, view } = made(SratMemory, SRAT_MEMORY)
      view.domain = vnode
      view.address = start
      view.size = end - start
      view.srat_flags = SRAT_ENABLED
      return bytes
    }),
  ]
  const table = new Uint8Array(parts.reduce((sum, part) => sum + part.length, SratHeader.size))
  SratHeader.on(table.buffer).table_revision = 1
  let at = SratHeader.size
  for (const part of parts) {
    table.set(part, at)
    at += part.length
  }
  return finished(table, 'SRAT', SRAT_REVISION)
}

function localApic(vcpu: number, vnode: number): Uint8Array {
  const { bytes, view } = made(SratLocalApic, SRAT_LOCAL_APIC)
  view.domain_low = vnode
  view.apic_id = apicIdOf(vcpu)
  view.srat_flags = SRAT_ENABLED
  return bytes
}

function localX2apic(vcpu: number, vnode: number): Uint8Array {
  const { bytes, view } = made(SratLocalX2apic, SRAT_LOCAL_X2APIC)
  view.domain = vnode
  view.apic_id = apicIdOf(vcpu)
  view.srat_flags = SRAT_ENABLED
  return bytes
}

/** A structure of the SRAT, its type and length filled in. */
function made<V extends { type: number, length: number }>(
  layout: { readonly size: number, on(store: ArrayBuffer): V }, type: number,
): { bytes: Uint8Array, view: V } {
  const bytes = new Uint8Array(layout.size)
  const view = layout.on(bytes.buffer)
  view.type = type
  view.length = layout.size
  return { bytes, view }
}

export function slit({ distances }: NumaAffinity): Uint8Array {
  const table = new Uint8Array(TableHeader.size + 8 + distances.length ** 2)
  new DataView(table.buffer).setBigUint64(TableHeader.size, BigInt(distances.length), true)
  distances.forEach((row, from) => row.forEach((distance, to) => {
    table[TableHeader.size + 8 + from * distances.length + to] = Math.min(distance, UNREACHABLE)
  }))
  return finished(table, 'SLIT', SLIT_REVISION)
}
