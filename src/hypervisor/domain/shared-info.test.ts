/**
 * What 32-bit guests see of Xen: events, the wall clock, runstates.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import * as E from '../../abi/xen/event_channel.ts'
import { ENOSPC } from '../../abi/xen/errno.ts'
import { HVMOP_set_param } from '../../abi/xen/hvm/hvm_op.ts'
import { HVM_PARAM_CALLBACK_IRQ } from '../../abi/xen/hvm/params.ts'
import { SharedInfo32, VcpuInfo32 } from '../../abi/xen/shared-info-32.ts'
import * as V from '../../abi/xen/vcpu.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_hvm_op, __HYPERVISOR_set_timer_op,
  __HYPERVISOR_vcpu_op, DOMID_SELF,
} from '../../abi/xen/xen.ts'
import { TestMachine } from '../events/test-machine.ts'
import { upcallPending, vcpuInfoAt } from '../events/upcall.ts'
import { Timekeeper } from '../time/timekeeper.ts'
import { latchSharedInfo } from './shared-info.ts'
import type { Vcpu } from './vcpu.ts'

const AT = 0x900

function op(m: TestMachine, vcpu: Vcpu, command: number, ...words: number[]) {
  return m.op(vcpu, __HYPERVISOR_event_channel_op, command, words)
}

/** A guest of 32-bit code with ports 1 to `count` bound to Dom0, whose numbers are in `ports`, and
 * what its pages say. */
function guest32(m: TestMachine, count: number) {
  const guest = m.guest()
  latchSharedInfo(guest, true)
  const ports = Array.from({ length: count }, (_, i) => {
    op(m, m.vcpu(m.dom0), E.EVTCHNOP_alloc_unbound, guest.id, 0)
    return op(m, m.vcpu(m.dom0), E.EVTCHNOP_bind_interdomain, guest.id, i + 1, 0).words[2]!
  })
  const word = (at: number): number => m.host.machine.bytes.getUint32(at, true)
  const shared = guest.state.sharedInfoMfn * 4096
  return {
    guest, ports,
    pending: (i: number) => word(shared + SharedInfo32.offsets.evtchn_pending + i * 4),
    mask: (i: number, value: number) => m.host.machine.bytes.setUint32(
      shared + SharedInfo32.offsets.evtchn_mask + i * 4, value, true),
    selector: () => word(vcpuInfoAt(m.vcpu(guest)) + VcpuInfo32.offsets.evtchn_pending_sel),
  }
}

test('32-bit code finds its events in 32 words of 32 bits', () => {
  const m = new TestMachine()
  const { ports, pending, selector, mask, guest } = guest32(m, 40)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, ports[32]!)
  assert.deepEqual([pending(0), pending(1), selector()], [0, 2, 2])
  m.host.machine.octets.fill(0, vcpuInfoAt(m.vcpu(guest)), vcpuInfoAt(m.vcpu(guest)) + 16)
  mask(1, 4)
  op(m, m.vcpu(m.dom0), E.EVTCHNOP_send, ports[33]!)
  assert.equal(upcallPending(m.vcpu(guest)), false)
  op(m, m.vcpu(guest), E.EVTCHNOP_unmask, 34)
  assert.ok(upcallPending(m.vcpu(guest)))
  op(m, m.vcpu(guest), E.EVTCHNOP_close, 34)
  assert.equal(pending(1), 2)
})

test('32-bit code has 1024 ports, until it chooses FIFO', () => {
  const m = new TestMachine()
  const guest = m.guest()
  latchSharedInfo(guest, true)
  const bind = (): number =>
    op(m, m.vcpu(m.dom0), E.EVTCHNOP_alloc_unbound, guest.id, 0).status
  for (let port = 1; port < 1024; port++) assert.equal(bind(), 0)
  assert.equal(bind(), -ENOSPC)
})

test('a vcpu_info of 32-bit code that moves has its 32 selectors set, and no more', () => {
  const m = new TestMachine()
  const { guest, selector } = guest32(m, 0)
  const vcpu = m.vcpu(guest)
  vcpu.compat = true
  m.host.machine.bytes.setUint32(m.at(guest, 0x3000) + 8, 0, true)
  const argument = m.at(guest, 0x800)
  m.host.machine.bytes.setBigUint64(argument, 3n, true)
  m.host.machine.bytes.setBigUint64(argument + 8, 0n, true)
  assert.equal(m.call(vcpu, __HYPERVISOR_vcpu_op, V.VCPUOP_register_vcpu_info, 0, 0x800), 0)
  assert.equal(selector(), 0xffff_ffff)
  assert.equal(m.host.machine.bytes.getUint32(m.at(guest, 0x3000) + 8, true), 0)
})

test('the mode of who sets HVM_PARAM_CALLBACK_IRQ decides the shape, for itself only', () => {
  const m = new TestMachine()
  const guest = m.guest()
  const vcpu = m.vcpu(guest)
  const set = (caller: Vcpu, domid: number): void => {
    const words = [domid, HVM_PARAM_CALLBACK_IRQ, 0, 0]
    assert.equal(m.op(caller, __HYPERVISOR_hvm_op, HVMOP_set_param, words).status, 0)
  }
  vcpu.compat = true
  set(vcpu, DOMID_SELF)
  assert.equal(guest.state.sharedInfo32, 1)
  set(m.vcpu(m.dom0), guest.id)
  assert.equal(guest.state.sharedInfo32, 1)
  vcpu.compat = false
  set(vcpu, DOMID_SELF)
  assert.equal(guest.state.sharedInfo32, 0)
})

test('32-bit code finds the wall clock where its shared_info has it', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const at = domain.state.sharedInfoMfn * 4096
  const { bytes } = m.host.machine
  bytes.setUint32(at + 2340, 7, true)
  latchSharedInfo(domain, true)
  assert.equal(bytes.getUint32(at + 2304, true) % 2, 0)
  assert.equal(bytes.getUint32(at + 2308, true), 1_700_000_000)
  assert.equal(bytes.getUint32(at + 2340, true), 0)
})

test('32-bit code has its runstate in 44 bytes, where the low word of the address says', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const vcpu = m.vcpu(domain)
  const { bytes } = m.host.machine
  vcpu.compat = true
  latchSharedInfo(domain, true)
  bytes.setUint32(m.at(domain, AT) + 44, 7, true)
  bytes.setUint32(m.at(domain, 0x800), AT, true)
  bytes.setUint32(m.at(domain, 0x800) + 4, 0x1234, true)
  Timekeeper.of(m.host).changeRunstate(vcpu, V.RUNSTATE_running, m.clock.nowNs)
  const register = V.VCPUOP_register_runstate_memory_area
  assert.equal(m.call(vcpu, __HYPERVISOR_vcpu_op, register, 0, 0x800), 0)
  const shown = (at: number): number[] =>
    Array.from({ length: 11 }, (_, i) => bytes.getUint32(m.at(domain, at) + i * 4, true))
  assert.equal(shown(AT)[0], V.RUNSTATE_running)
  assert.equal(bytes.getUint32(m.at(domain, AT) + 44, true), 7)
  assert.equal(m.call(vcpu, __HYPERVISOR_vcpu_op, V.VCPUOP_get_runstate_info, 0, 0x900), 0)
  assert.deepEqual(shown(0x900), shown(AT))
})

test('32-bit code gives the time of set_timer_op in two registers', () => {
  const m = new TestMachine()
  const vcpu = m.vcpu(m.guest())
  vcpu.compat = true
  const time = Timekeeper.of(m.host)
  assert.equal(m.call(vcpu, __HYPERVISOR_set_timer_op, 5, 1), 0)
  assert.equal(time.stateOf(vcpu).singleshot, vcpu.domain.state.bornNs + 2 ** 32 + 5)
})
