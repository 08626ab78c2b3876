/**
 * Virtual NUMA through hypercalls: what the toolstack sets, the domain reads; and frames of the
 * nodes that are asked for.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asGfn, type Domid } from '../../src/abi/numbers.ts'
import { E2BIG, EFAULT, EINVAL, ENOBUFS, EOPNOTSUPP } from '../../src/abi/xen/errno.ts'
import {
  XENMEM_get_vnumainfo, XENMEM_populate_physmap, XENMEMF_NODE_SHIFT, XENMEMF_vnode,
  XenMemoryReservation, XenVnumaTopologyInfo,
} from '../../src/abi/xen/memory.ts'
import { __HYPERVISOR_memory_op } from '../../src/abi/xen/xen.ts'
import { type VnumaTopology, XenError } from '../../src/dom0/interfaces.ts'
import { type Machine, newDomain, newMachine } from './machine.ts'

const TOPOLOGY: VnumaTopology = {
  distances: [10, 30, 40, 10], vnodeOfVcpu: [0, 1, 1], pnodeOfVnode: [1, 0],
  memory: [{ start: 0, end: 0x600000, vnode: 0 }, { start: 0x600000, end: 0x1000000, vnode: 1 }],
}
const isError = (errno: number) => (error: unknown) =>
  error instanceof XenError && error.errno === errno

function world(): { machine: Machine, domid: Domid } {
  const machine = newMachine(64, 2, 'numa=fake=2')
  return { machine, domid: newDomain(machine, 16, 3) }
}

/** Dom0 asks for a domain's topology, with so much room: status, and what is in the buffer. */
function ask({ dispatcherCall, buffer }: ReturnType<typeof asker>, domid: Domid, room: number[]) {
  const view = XenVnumaTopologyInfo.on(buffer)
  buffer.fill(0, 0, 4096)
  view.domid = domid
  const [vnodes = 0, vcpus = 0, ranges = 0] = room
  view.nr_vnodes = vnodes
  view.nr_vcpus = vcpus
  view.nr_vmemranges = ranges
  view.vdistance.h = 256
  view.vcpu_to_vnode.h = 512
  view.vmemrange.h = 1024
  const status = dispatcherCall(XENMEM_get_vnumainfo)
  const words = new Uint32Array(buffer.buffer, buffer.byteOffset, 1024)
  return {
    status, counts: [view.nr_vnodes, view.nr_vcpus, view.nr_vmemranges],
    distances: [...words.subarray(64, 68)], vcpus: [...words.subarray(128, 131)],
    memory: [...words.subarray(256, 268)],
  }
}

function asker({ gate }: Machine) {
  return {
    buffer: gate.buffer,
    dispatcherCall: (command: number) => gate.call(__HYPERVISOR_memory_op, command, 0),
  }
}

test('what was set is read, if there is room for it', () => {
  const { machine, domid } = world()
  const caller = asker(machine)
  const { xenctrl } = machine.control
  assert.equal(ask(caller, domid, [2, 3, 2]).status, -EOPNOTSUPP)
  xenctrl.setVnumaInfo(domid, TOPOLOGY)
  assert.deepEqual(ask(caller, domid, [4, 8, 2]), {
    status: 0, counts: [2, 3, 2], distances: [10, 30, 40, 10], vcpus: [0, 1, 1],
    memory: [0, 0, 0x600000, 0, 0, 0, 0x600000, 0, 0x1000000, 0, 0, 1],
  })
  for (const room of [[1, 3, 2], [2, 2, 2], [2, 3, 1]]) {
    const { status, counts } = ask(caller, domid, room)
    assert.deepEqual([status, counts], [-ENOBUFS, [2, 3, 2]])
  }
  machine.control.close()
})

test('a topology that is none is refused, and one domain\'s goes with it', () => {
  const { machine, domid } = world()
  const { host } = machine
  const { xenctrl } = machine.control
  const set = (change: Partial<VnumaTopology>) => () =>
    xenctrl.setVnumaInfo(domid, { ...TOPOLOGY, ...change })
  assert.throws(set({ vnodeOfVcpu: [0, 1] }), isError(EINVAL))
  assert.throws(set({ vnodeOfVcpu: [0, 1, 2] }), isError(EINVAL))
  assert.throws(set({ pnodeOfVnode: [0, 2] }), isError(EINVAL))
  assert.throws(set({ pnodeOfVnode: [] }), isError(EINVAL))
  assert.throws(set({ memory: [{ start: 1, end: 0, vnode: 0 }] }), isError(EINVAL))
  assert.throws(set({ memory: [{ start: 0, end: 1, vnode: 2 }] }), isError(EINVAL))
  assert.throws(set({ pnodeOfVnode: new Array<number>(17).fill(0) }), isError(E2BIG))
  set({})()
  const used = host.heap.used
  set({})()
  assert.equal(host.heap.used, used)
  xenctrl.destroyDomain(domid)
  const next = newDomain(machine, 16, 3)
  xenctrl.setVnumaInfo(next, TOPOLOGY)
  assert.equal(host.heap.used, used)
  machine.control.close()
})

test('a fault is a fault, wherever the topology is to go', () => {
  const { machine, domid } = world()
  machine.control.xenctrl.setVnumaInfo(domid, TOPOLOGY)
  const { buffer, dispatcherCall } = asker(machine)
  for (const field of ['vdistance', 'vcpu_to_vnode', 'vmemrange'] as const) {
    const view = XenVnumaTopologyInfo.on(buffer)
    Object.assign(view, { domid, nr_vnodes: 2, nr_vcpus: 3, nr_vmemranges: 2 })
    for (const handle of [view.vdistance, view.vcpu_to_vnode, view.vmemrange]) handle.h = 512
    view[field].h = 2 ** 40
    assert.equal(dispatcherCall(XENMEM_get_vnumainfo), -EFAULT)
  }
  machine.control.close()
})

test('frames are of the node asked for, by its number or by that of a virtual node', () => {
  const { machine, domid } = world()
  const { xenctrl } = machine.control
  const free = (): number[] => xenctrl.numaNodes().map(({ freeBytes }) => freeBytes / 4096)
  xenctrl.setVnumaInfo(domid, TOPOLOGY)
  xenctrl.setMaxMem(domid, 256 * 1024)
  const before = free()
  xenctrl.populateRange(domid, asGfn(0x1000), 100, 0, 1)
  assert.ok(before[1]! - free()[1]! === 100)
  const { buffer, dispatcherCall } = asker(machine)
  const populate = (vnode: number): number => {
    const view = XenMemoryReservation.on(buffer)
    Object.assign(view, {
      extent_start: 256, nr_extents: 1, extent_order: 5, domid,
      mem_flags: vnode + 1 << XENMEMF_NODE_SHIFT | XENMEMF_vnode,
    })
    const gfn = new DataView(buffer.buffer, buffer.byteOffset + 256)
    gfn.setBigUint64(0, BigInt(0x1100 + vnode * 64), true)
    return dispatcherCall(XENMEM_populate_physmap)
  }
  assert.equal(populate(0), 1)
  assert.equal(before[1]! - free()[1]!, 132)
  assert.equal(populate(1), 1)
  assert.equal(before[1]! - free()[1]!, 132)
  assert.equal(populate(2), 0)
  // Only that node, although the other has enough.
  const left = free()[1]!
  assert.equal(xenctrl.populateRange(domid, asGfn(0x2000), 9000, 0, 1), left)
  machine.control.close()
})
