/**
 * Grant tables as domains use them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as G from '../../abi/xen/grant_table.ts'
import { ENOSYS } from '../../abi/xen/errno.ts'
import { __HYPERVISOR_grant_table_op, DOMID_SELF } from '../../abi/xen/xen.ts'
import { codeUse } from '../../cpu/mmu/frame-uses.ts'
import { P2M_GRANT_RO, P2M_GRANT_RW, P2M_TYPE_MASK } from '../../cpu/p2m-format.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { TestMachine } from '../events/test-machine.ts'
import { Grants } from './grants.ts'

const GNTTAB = __HYPERVISOR_grant_table_op
/** A gfn of Dom0 where there is nothing. */
const HOLE = 100
const REF = 9
const FRAME = 5

function op(m: TestMachine, vcpu: Vcpu, command: number, ...words: number[]) {
  return m.op(vcpu, GNTTAB, command, words)
}

function status16(words: readonly number[], index: number, high = false): number {
  return (high ? words[index]! >> 16 : words[index]! << 16 >> 16)
}

/** Machine address of grant entry `ref`. */
function entry(m: TestMachine, guest: Domain, ref = REF): number {
  return Grants.of(m.host).tableFrame(guest, 0, false) * 4096 + ref * 8
}

function grant(m: TestMachine, guest: Domain, to: number, flags = G.GTF_permit_access): void {
  m.host.machine.bytes.setUint16(entry(m, guest), flags, true)
  m.host.machine.bytes.setUint16(entry(m, guest) + 2, to, true)
  m.host.machine.bytes.setUint32(entry(m, guest) + 4, FRAME, true)
}

function map(m: TestMachine, guest: Domain, flags: number, gfn = HOLE) {
  const { words } = op(m, m.vcpu(m.dom0), G.GNTTABOP_map_grant_ref,
    gfn * 4096, 0, flags, REF, guest.id, 0, 0, 0)
  return { status: status16(words, 4, true), handle: words[5]!, bus: words[6]! }
}

function unmap(m: TestMachine, handle: number, gfn = HOLE): number {
  const { words } = op(m, m.vcpu(m.dom0), G.GNTTABOP_unmap_grant_ref,
    gfn * 4096, 0, 0, 0, handle, 0)
  return status16(words, 5)
}

test('a mapping shows the granted frame, marks the entry, and pins the frame', () => {
  const m = new TestMachine()
  const guest = m.guest()
  grant(m, guest, 0)
  const { status, handle, bus } = map(m, guest, G.GNTMAP_host_map)
  assert.equal(status, G.GNTST_okay)
  assert.equal(bus, m.at(guest, FRAME * 4096))
  assert.equal(m.dom0.p2m.get(HOLE) & P2M_TYPE_MASK, P2M_GRANT_RW)
  assert.equal(m.host.frames.references(bus / 4096), 2)
  const flags = () => m.host.machine.bytes.getUint16(entry(m, guest), true)
  assert.equal(flags(), G.GTF_permit_access | G.GTF_reading | G.GTF_writing)
  assert.equal(unmap(m, handle), G.GNTST_okay)
  assert.equal(flags(), G.GTF_permit_access)
  assert.equal(m.dom0.p2m.get(HOLE), 0)
  assert.equal(m.host.frames.references(bus / 4096), 1)
  assert.equal(unmap(m, handle), G.GNTST_bad_handle)
})

test('the end of a mapping is noted for the cores if the frame may have been written', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const { frameUses } = m.host
  const word = (m.host.state.frameUses >>> 2) + m.at(guest, FRAME * 4096) / 4096
  Atomics.or(m.host.machine.cells, word, codeUse(0))
  grant(m, guest, 0)
  const readOnly = map(m, guest, G.GNTMAP_host_map | G.GNTMAP_readonly)
  assert.equal(unmap(m, readOnly.handle), G.GNTST_okay)
  assert.equal(frameUses.count, 0)
  const { handle } = map(m, guest, G.GNTMAP_host_map)
  assert.equal(unmap(m, handle), G.GNTST_okay)
  assert.equal(frameUses.count, 1)
  assert.equal(m.host.machine.cells[word]! & codeUse(0), 0)
})

test('a read-only grant is mapped read-only, and not otherwise', () => {
  const m = new TestMachine()
  const guest = m.guest()
  grant(m, guest, 0, G.GTF_permit_access | G.GTF_readonly)
  assert.equal(map(m, guest, G.GNTMAP_host_map).status, G.GNTST_general_error)
  const { status } = map(m, guest, G.GNTMAP_host_map | G.GNTMAP_readonly)
  assert.equal(status, G.GNTST_okay)
  assert.equal(m.dom0.p2m.get(HOLE) & P2M_TYPE_MASK, P2M_GRANT_RO)
})

test('what is not granted to the mapper, or not at all, is refused', () => {
  const m = new TestMachine()
  const guest = m.guest()
  grant(m, guest, 7)
  assert.equal(map(m, guest, G.GNTMAP_host_map).status, G.GNTST_general_error)
  grant(m, guest, 0, 0)
  assert.equal(map(m, guest, G.GNTMAP_host_map).status, G.GNTST_general_error)
  grant(m, guest, 0)
  m.host.machine.bytes.setUint32(entry(m, guest) + 4, 0x1234, true)
  assert.equal(map(m, guest, G.GNTMAP_host_map).status, G.GNTST_bad_page)
  assert.equal(m.host.machine.bytes.getUint16(entry(m, guest), true), G.GTF_permit_access)
  grant(m, guest, 0)
  assert.equal(map(m, guest, G.GNTMAP_host_map, 0).status, G.GNTST_general_error)
})

test('a frame outlives its owner while it is mapped', () => {
  const m = new TestMachine()
  const guest = m.guest()
  grant(m, guest, 0)
  const { handle, bus } = map(m, guest, G.GNTMAP_host_map)
  m.host.machine.bytes.setUint32(bus, 42, true)
  const free = m.host.frames.free
  assert.equal(destroyDomain(guest), 0)
  assert.equal(m.host.machine.bytes.getUint32(bus, true), 42)
  const dead = m.host.frames.free
  assert.ok(dead > free)
  assert.equal(unmap(m, handle), G.GNTST_okay)
  assert.equal(m.host.frames.free, dead + 1)
  assert.equal(m.host.machine.bytes.getUint32(bus, true), 0)
})

test('a mapper that goes lets go of what it mapped', () => {
  const m = new TestMachine()
  destroyDomain(m.guest())
  const owner = m.guest()
  const free = m.host.frames.free
  const heap = m.host.heap.used
  const mapper = m.guest()
  grant(m, owner, mapper.id)
  const { words } = op(m, m.vcpu(mapper), G.GNTTABOP_map_grant_ref,
    HOLE * 4096, 0, G.GNTMAP_host_map, REF, owner.id, 0, 0, 0)
  assert.equal(status16(words, 4, true), G.GNTST_okay)
  assert.equal(destroyDomain(mapper), 0)
  assert.equal(m.host.machine.bytes.getUint16(entry(m, owner), true), G.GTF_permit_access)
  assert.equal(m.host.frames.free, free)
  assert.ok(m.host.heap.used - heap < 32768)
})

test('copy moves bytes between a grant and own memory, within pages only', () => {
  const m = new TestMachine()
  const guest = m.guest()
  grant(m, guest, 0)
  m.host.machine.octets.set([1, 2, 3, 4], m.at(guest, FRAME * 4096 + 8))
  const copy = (length: number, offset: number) => {
    // source {ref, pad, domid, offset}, dest {gmfn, domid, offset}, len, flags, status
    const { words } = op(m, m.vcpu(m.dom0), G.GNTTABOP_copy,
      REF, 0, offset << 16 | guest.id, 0, 20, 0, 4 << 16 | DOMID_SELF, 0,
      G.GNTCOPY_source_gref << 16 | length, 0)
    return status16(words, 9)
  }
  assert.equal(copy(4, 8), G.GNTST_okay)
  const to = m.at(m.dom0, 20 * 4096 + 4)
  assert.deepEqual([...m.host.machine.octets.subarray(to, to + 4)], [1, 2, 3, 4])
  assert.equal(copy(4, 4094), G.GNTST_bad_copy_arg)
  assert.equal(m.host.machine.bytes.getUint16(entry(m, guest), true), G.GTF_permit_access)
})

test('sizes, versions, and growth up to the limit', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const size = op(m, vcpu, G.GNTTABOP_query_size, DOMID_SELF, 0, 0, 0).words
  assert.deepEqual(size.slice(1, 3), [1, 4])
  assert.equal(op(m, vcpu, G.GNTTABOP_set_version, 1).status, 0)
  assert.equal(op(m, vcpu, G.GNTTABOP_set_version, 2).status, -ENOSYS)
  assert.equal(op(m, vcpu, G.GNTTABOP_get_version, DOMID_SELF, 0).words[1], 1)
  assert.ok(Grants.of(m.host).tableFrame(guest, 3, false) > 0)
  assert.ok(Grants.of(m.host).tableFrame(guest, 4, false) < 0)
})

test('garbage in the table and in arguments is refused, and leaves nothing behind', () => {
  const word = fc.oneof(fc.nat(64), fc.constantFrom(0x7ff0, HOLE * 4096), fc.integer())
  fc.assert(fc.property(fc.array(fc.tuple(
    fc.constantFrom(0, 1, 2, 5, 6, 8, 9, 10), fc.array(word, { minLength: 10, maxLength: 10 })),
  { maxLength: 30 }), (calls) => {
    const m = new TestMachine()
    const guest = m.guest()
    const free = m.host.frames.free
    const other = m.guest()
    for (const [command, words] of calls) {
      const at = entry(m, other, words[0]! & 31)
      m.host.machine.bytes.setInt32(at, words[1]!, true)
      m.host.machine.bytes.setInt32(at + 4, words[2]! & 63, true)
      op(m, m.vcpu(guest), command, ...words)
      op(m, m.vcpu(other), command, ...words)
    }
    assert.equal(destroyDomain(guest), 0)
    assert.equal(destroyDomain(other), 0)
    assert.ok(m.host.frames.free > free)
  }), { numRuns: 60 })
})
