/**
 * Event channels as domains use them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import * as E from '../../abi/xen/event_channel.ts'
import { EEXIST, EINVAL, ENOENT, ENOSYS, EPERM, ESRCH } from '../../abi/xen/errno.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_vcpu_op, DOMID_SELF, SharedInfo, VIRQ_CON_RING,
  VIRQ_TIMER,
} from '../../abi/xen/xen.ts'
import { VCPUOP_register_vcpu_info } from '../../abi/xen/vcpu.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { VPF_blocked, WORK_EVENTS } from '../domain/state.ts'
import { TestMachine } from './test-machine.ts'
import { upcallPending, vcpuInfoAt, watchUpcalls } from './upcall.ts'

const EVTCHN = __HYPERVISOR_event_channel_op

function op(m: TestMachine, vcpu: Vcpu, command: number, ...words: number[]) {
  return m.op(vcpu, EVTCHN, command, words)
}

/** A port of `guest` joined to one of Dom0: both numbers. */
function join(m: TestMachine, guest: Domain): { guestPort: number, dom0Port: number } {
  const dom0 = m.vcpu(m.dom0)
  const guestPort = op(m, dom0, E.EVTCHNOP_alloc_unbound, guest.id, 0).words[1]!
  const bound = op(m, dom0, E.EVTCHNOP_bind_interdomain, guest.id, guestPort, 0)
  assert.equal(bound.status, 0)
  return { guestPort, dom0Port: bound.words[2]! }
}

function bit2L(m: TestMachine, domain: Domain, port: number): boolean {
  const at = domain.state.sharedInfoMfn * 4096 + SharedInfo.offsets.evtchn_pending
  return (m.host.machine.bytes.getUint32(at + (port >>> 5) * 4, true) >>> (port & 31) & 1) !== 0
}

function clearUpcall(m: TestMachine, vcpu: Vcpu): void {
  m.host.machine.bytes.setUint8(vcpuInfoAt(vcpu), 0)
  m.host.machine.bytes.setUint32(vcpuInfoAt(vcpu) + 8, 0, true)
  vcpu.takeWork()
}

test('a port that Dom0 reserves and binds carries events both ways', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { guestPort, dom0Port } = join(m, guest)
  assert.equal(guestPort, 1)
  assert.equal(op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port).status, 0)
  assert.ok(bit2L(m, guest, guestPort))
  assert.ok(upcallPending(vcpu))
  assert.ok(vcpu.takeWork() & WORK_EVENTS)
  clearUpcall(m, m.vcpu(m.dom0))
  m.host.machine.octets.fill(0, m.dom0.state.sharedInfoMfn * 4096 + 2048,
    m.dom0.state.sharedInfoMfn * 4096 + 2560)
  assert.equal(op(m, vcpu, E.EVTCHNOP_send, guestPort).status, 0)
  assert.ok(upcallPending(m.vcpu(m.dom0)))
})

test('binding raises the new end once, so that an earlier event is not lost', () => {
  const m = new TestMachine()
  const { dom0Port } = join(m, m.guest())
  assert.ok(bit2L(m, m.dom0, dom0Port))
})

test('a masked port becomes pending without an upcall, and unmasking delivers it', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { guestPort, dom0Port } = join(m, guest)
  const mask = guest.state.sharedInfoMfn * 4096 + SharedInfo.offsets.evtchn_mask
  m.host.machine.bytes.setUint32(mask, 1 << guestPort, true)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
  assert.ok(bit2L(m, guest, guestPort))
  assert.equal(upcallPending(vcpu), false)
  op(m, vcpu, E.EVTCHNOP_unmask, guestPort)
  assert.ok(upcallPending(vcpu))
})

test('only the edge of the upcall byte interrupts', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const a = join(m, guest)
  const b = join(m, guest)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, a.dom0Port)
  assert.ok(vcpu.takeWork() & WORK_EVENTS)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, b.dom0Port)
  assert.equal(vcpu.takeWork() & WORK_EVENTS, 0)
})

test('an event wakes a blocked vcpu', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { dom0Port } = join(m, guest)
  vcpu.setFlag(VPF_blocked)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
  assert.equal(vcpu.state.flags, 0)
})

test('closing one end leaves the other unbound', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { guestPort, dom0Port } = join(m, guest)
  assert.equal(op(m, m.vcpu(m.dom0), E.EVTCHNOP_close, dom0Port).status, 0)
  const status = op(m, vcpu, E.EVTCHNOP_status, DOMID_SELF, guestPort, 0, 0, 0, 0)
  assert.equal(status.words[2], E.EVTCHNSTAT_unbound)
  assert.equal(op(m, vcpu, E.EVTCHNOP_send, guestPort).status, 0)
  assert.equal(op(m, vcpu, E.EVTCHNOP_close, 0).status, -EINVAL)
})

test('a guest may not reserve ports of others, nor take a port that is not for it', () => {
  const m = new TestMachine()
  const a = m.guest()
  const b = m.guest()
  assert.equal(op(m, m.vcpu(a), E.EVTCHNOP_alloc_unbound, b.id, 0).status, -EPERM)
  const port = op(m, m.vcpu(a), E.EVTCHNOP_alloc_unbound, DOMID_SELF, 0).words[1]!
  assert.equal(op(m, m.vcpu(b), E.EVTCHNOP_bind_interdomain, a.id, port, 0).status, -EINVAL)
  assert.equal(op(m, m.vcpu(b), E.EVTCHNOP_bind_interdomain, 99, 1, 0).status, -ESRCH)
})

test('a virq is bound once a vcpu, and global ones only on vcpu 0', () => {
  const m = new TestMachine()
  const vcpu = m.vcpu(m.guest(2))
  const timer = op(m, vcpu, E.EVTCHNOP_bind_virq, VIRQ_TIMER, 0, 0)
  assert.equal(timer.status, 0)
  assert.equal(op(m, vcpu, E.EVTCHNOP_bind_virq, VIRQ_TIMER, 0, 0).status, -EEXIST)
  assert.equal(op(m, vcpu, E.EVTCHNOP_bind_virq, VIRQ_TIMER, 1, 0).status, 0)
  assert.equal(op(m, vcpu, E.EVTCHNOP_bind_virq, VIRQ_CON_RING, 1, 0).status, -EINVAL)
  m.host.services.events.sendVcpuVirq(vcpu, VIRQ_TIMER)
  assert.ok(bit2L(m, vcpu.domain, timer.words[2]!))
  assert.equal(op(m, vcpu, E.EVTCHNOP_close, timer.words[2]!).status, 0)
  assert.equal(op(m, vcpu, E.EVTCHNOP_bind_virq, VIRQ_TIMER, 0, 0).status, 0)
})

test('Dom0 is told through its work word, in its own turn', async () => {
  const m = new TestMachine()
  const guest = m.guest()
  const { guestPort } = join(m, guest)
  clearUpcall(m, m.vcpu(m.dom0))
  m.host.machine.octets.fill(0, m.dom0.state.sharedInfoMfn * 4096 + 2048,
    m.dom0.state.sharedInfoMfn * 4096 + 2560)
  const told = Promise.withResolvers<void>()
  const end = watchUpcalls(m.vcpu(m.dom0), told.resolve, setImmediate)
  op(m, m.vcpu(guest), E.EVTCHNOP_send, guestPort)
  await told.promise
  end()
})

test('a registered vcpu_info takes over, with everything said to be pending', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { dom0Port } = join(m, guest)
  assert.equal(m.op(vcpu, __HYPERVISOR_vcpu_op, 0, []).status, -ENOENT)
  const bytes = m.host.machine.bytes
  const at = m.at(guest, 0x900)
  bytes.setBigUint64(at, 5n, true)
  bytes.setUint32(at + 8, 0x40, true)
  assert.equal(m.call(vcpu, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, 0x900), 0)
  assert.equal(vcpuInfoAt(vcpu), m.at(guest, 0x5040))
  assert.ok(upcallPending(vcpu))
  assert.equal(m.call(vcpu, __HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, 0x900), -EINVAL)
  clearUpcall(m, vcpu)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
  assert.ok(upcallPending(vcpu))
})

/** Turns FIFO on with the control block at gfn 6 and one array page at gfn 7. */
function fifo(m: TestMachine, vcpu: Vcpu): { control: number, word: (port: number) => number } {
  const init = op(m, vcpu, E.EVTCHNOP_init_control, 6, 0, 0, 0, 0, 0)
  assert.equal(init.status, 0)
  assert.equal(init.words[4]! & 0xff, 17)
  assert.equal(op(m, vcpu, E.EVTCHNOP_expand_array, 7, 0).status, 0)
  return {
    control: m.at(vcpu.domain, 0x6000), word: (port) => m.at(vcpu.domain, 0x7000) + port * 4,
  }
}

test('FIFO: a port is put on its queue, linked behind the tail, and the queue made ready', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { control, word } = fifo(m, vcpu)
  const a = join(m, guest)
  const b = join(m, guest)
  const bytes = m.host.machine.bytes
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, a.dom0Port)
  assert.equal(bytes.getUint32(control, true), 1 << 7)
  assert.equal(bytes.getUint32(control + 8 + 7 * 4, true), a.guestPort)
  assert.equal(bytes.getUint32(word(a.guestPort), true), 0xa000_0000)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, b.dom0Port)
  assert.equal(bytes.getUint32(word(a.guestPort), true), 0xa000_0000 + b.guestPort)
  assert.ok(upcallPending(vcpu))
  assert.ok(vcpu.takeWork() & WORK_EVENTS)
})

test('FIFO: what was pending before the array was there is raised with it', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { guestPort, dom0Port } = join(m, guest)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
  clearUpcall(m, vcpu)
  const { word } = fifo(m, vcpu)
  assert.equal(m.host.machine.bytes.getUint32(word(guestPort), true), 0xa000_0000)
  assert.ok(upcallPending(vcpu))
})

test('FIFO: a masked port is not linked until it is unmasked; priorities choose the queue', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const { guestPort, dom0Port } = join(m, guest)
  assert.equal(op(m, vcpu, E.EVTCHNOP_set_priority, guestPort, 3).status, -ENOSYS)
  const { control, word } = fifo(m, vcpu)
  const bytes = m.host.machine.bytes
  bytes.setUint32(word(guestPort), 1 << 30, true)
  assert.equal(op(m, vcpu, E.EVTCHNOP_set_priority, guestPort, 3).status, 0)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
  assert.equal(bytes.getUint32(word(guestPort), true), 0xc000_0000)
  assert.equal(op(m, vcpu, E.EVTCHNOP_unmask, guestPort).status, 0)
  assert.equal(bytes.getUint32(word(guestPort), true), 0xa000_0000)
  assert.equal(bytes.getUint32(control + 8 + 3 * 4, true), guestPort)
  assert.equal(bytes.getUint32(control, true), 1 << 3)
})

/** Takes what is on the guest's queues, as event_channel.h tells guests to: the ports seen. */
function consume(m: TestMachine, vcpu: Vcpu, at: ReturnType<typeof fifo>): number[] {
  const { words } = m.host.machine
  const seen: number[] = []
  clearUpcall(m, vcpu)
  const ready = words[at.control >>> 2]!
  words[at.control >>> 2] = 0
  for (let queue = 0; queue < 16; queue++) {
    if ((ready >>> queue & 1) === 0) continue
    for (let port = words[(at.control >>> 2) + 2 + queue]!; port !== 0;) {
      const word = words[at.word(port) >>> 2]!
      words[at.word(port) >>> 2] = (word & ~(1 << 29 | 0x1ffff | 1 << 31)) >>> 0
      assert.ok(seen.length < 100, 'the queue ends')
      if (word >>> 31 && (word & 1 << 30) === 0) seen.push(port)
      port = word & 0x1ffff
    }
    words[(at.control >>> 2) + 2 + queue] = 0
  }
  return seen
}

test('FIFO: a port that was taken off its queue comes again, also alone', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const at = fifo(m, vcpu)
  const { guestPort, dom0Port } = join(m, guest)
  for (let i = 0; i < 3; i++) {
    op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
    assert.deepEqual(consume(m, vcpu, at), [guestPort])
  }
})

test('FIFO: no order of sending, taking, and changing priority loses an event', () => {
  fc.assert(fc.property(
    fc.array(fc.tuple(fc.nat(4), fc.nat(3), fc.nat(15)), { maxLength: 60 }), (steps) => {
      const m = new TestMachine()
      const guest = m.guest()
      const vcpu = m.vcpu(guest)
      const at = fifo(m, vcpu)
      const ports = Array.from({ length: 4 }, () => join(m, guest))
      const owed = new Set<number>()
      for (const [kind, which, priority] of [...steps, [4, 0, 0] as const]) {
        const { guestPort, dom0Port } = ports[which]!
        if (kind <= 2) {
          op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
          owed.add(guestPort)
        } else if (kind === 3) {
          op(m, vcpu, E.EVTCHNOP_set_priority, guestPort, priority)
        } else {
          assert.equal(upcallPending(vcpu), owed.size > 0)
          for (const port of consume(m, vcpu, at)) assert.ok(owed.delete(port))
          assert.equal(owed.size, 0)
        }
      }
    }), { numRuns: 60 })
})

test('a domain that goes gives back every port and page', () => {
  const m = new TestMachine()
  // The structs of the first domain stay, to be used again.
  destroyDomain(m.guest(2))
  const before = { free: m.host.frames.free, heap: m.host.heap.used }
  for (let i = 0; i < 2; i++) {
    const guest = m.guest(2)
    const { dom0Port } = join(m, guest)
    fifo(m, m.vcpu(guest))
    assert.equal(destroyDomain(guest), 0)
    const status = op(m, m.vcpu(m.dom0), E.EVTCHNOP_status, DOMID_SELF, dom0Port, 0, 0, 0, 0)
    assert.equal(status.words[2], E.EVTCHNSTAT_unbound)
    op(m, m.vcpu(m.dom0), E.EVTCHNOP_close, dom0Port)
  }
  const after = { free: m.host.frames.free, heap: m.host.heap.used }
  assert.equal(after.free, before.free)
  assert.equal(after.heap, before.heap)
})

test('garbage in shared pages loses events at most', () => {
  fc.assert(fc.property(
    fc.boolean(), fc.array(fc.tuple(fc.nat(5), fc.nat(12), fc.integer()), { maxLength: 60 }),
    (useFifo, steps) => {
      const m = new TestMachine()
      const guest = m.guest()
      const vcpu = m.vcpu(guest)
      if (useFifo) fifo(m, vcpu)
      const ports = Array.from({ length: 4 }, () => join(m, guest))
      const { words } = m.host.machine
      for (const [kind, where, value] of steps) {
        const { guestPort, dom0Port } = ports[where & 3]!
        if (kind === 0) words[(m.at(guest, 0x7000) >>> 2) + where] = value
        else if (kind === 1) words[(m.at(guest, 0x6000) >>> 2) + where] = value
        else if (kind === 2) words[guest.state.sharedInfoMfn * 1024 + value >>> 1 & 1023] = value
        else if (kind === 3) op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, dom0Port)
        else if (kind === 4) op(m, vcpu, E.EVTCHNOP_unmask, guestPort)
        else op(m, vcpu, E.EVTCHNOP_set_priority, guestPort, where)
      }
      assert.equal(destroyDomain(guest), 0)
    }), { numRuns: 40 })
})
