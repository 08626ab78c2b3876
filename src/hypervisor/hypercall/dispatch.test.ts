/**
 * Hypercalls as a guest makes them.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { EFAULT, EINVAL, ENOSYS, EPERM } from '../../abi/xen/errno.ts'
import { XENMEM_current_reservation, XENMEM_decrease_reservation, XENMEM_memory_map,
  XENMEM_populate_physmap } from '../../abi/xen/memory.ts'
import { EVTCHNOP_alloc_unbound } from '../../abi/xen/event_channel.ts'
import { SCHEDOP_poll } from '../../abi/xen/sched.ts'
import { VPF_polling } from '../domain/state.ts'
import { sampleMachine, type SampleMachine } from '../host/sample-machine.ts'
import type { Vcpu } from '../domain/vcpu.ts'

const MEMORY_OP = 12
const MULTICALL = 13
const XEN_VERSION = 17
const CONSOLE_IO = 18
const VM_ASSIST = 21
const SCHED_OP = 29
const EVENT_CHANNEL_OP = 32
const DOMID_SELF = 0x7ff0

function text(vcpu: Vcpu, at: number, length: number): string {
  const bytes = new Uint8Array(length)
  assert.ok(vcpu.memory.readInto(bytes, at))
  return new TextDecoder().decode(bytes.subarray(0, bytes.indexOf(0)))
}

function put(vcpu: Vcpu, at: number, ...words: readonly number[]): void {
  words.forEach((word, i) => assert.ok(vcpu.memory.writeU53(at + i * 8, word)))
}

function logOf({ host }: SampleMachine): string {
  const bytes = new Uint8Array(65536)
  return new TextDecoder().decode(bytes.subarray(0, host.console.read(0, bytes)))
}

test('every number from 0 to 63 that is not in the table is -ENOSYS, and so are all others', () => {
  const { guest, call, dispatcher } = sampleMachine()
  const vcpu = guest()
  const known = new Set(dispatcher.hypercalls.map((hypercall) => hypercall.number))
  for (const number of [...Array(64).keys(), 64, 1000, 2 ** 31, 0xffff_ffff, -1, NaN]) {
    if (!known.has(number)) assert.equal(call(vcpu, number), -ENOSYS)
  }
})

test('a guest sees Xen 4.17.7 and nothing of its host', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  assert.equal(call(vcpu, XEN_VERSION, 0), 4 << 16 | 17)
  assert.equal(call(vcpu, XEN_VERSION, 1, 0x100), 0)
  assert.equal(text(vcpu, 0x100, 16), '.7')
  assert.equal(call(vcpu, XEN_VERSION, 9, 0x100), 0)
  assert.equal(text(vcpu, 0x100, 64), '<denied>')
  assert.equal(call(vcpu, XEN_VERSION, 10, 0), -EPERM)
  assert.equal(call(vcpu, XEN_VERSION, 7), 4096)
  assert.equal(call(vcpu, XEN_VERSION, 7, 0x100), -EINVAL)
})

test('a PVH guest has the features 0x12305, in submap 0 only', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  put(vcpu, 0x100, 0)
  assert.equal(call(vcpu, XEN_VERSION, 6, 0x100), 0)
  assert.equal(vcpu.memory.readU32(0x104), 0x12305)
  put(vcpu, 0x100, 1)
  assert.equal(call(vcpu, XEN_VERSION, 6, 0x100), -EINVAL)
})

test('a pointer to nowhere is -EFAULT', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  for (const at of [0x8000, 0x7ffe, 2 ** 40, -4096, -(2 ** 46), 2 ** 60]) {
    assert.equal(call(vcpu, XEN_VERSION, 6, at), -EFAULT)
  }
})

test('what is written to the console is logged by line, without control characters', () => {
  const machine = sampleMachine()
  const vcpu = machine.guest()
  assert.equal(machine.call(vcpu, CONSOLE_IO, 0, 1, 0x100), -EPERM)
  vcpu.domain.state.privileged = 1
  const message = new TextEncoder().encode('hello\x1b[31m\nworld')
  vcpu.memory.writeFrom(message, 0x100)
  assert.equal(machine.call(vcpu, CONSOLE_IO, 0, message.length, 0x100), 0)
  assert.equal(logOf(machine), '(d1) hello[31m\n')
  vcpu.memory.writeFrom(Uint8Array.of(10), 0x100)
  machine.call(vcpu, CONSOLE_IO, 0, 1, 0x100)
  assert.equal(logOf(machine), '(d1) hello[31m\n(d1) world\n')
  assert.equal(machine.call(vcpu, CONSOLE_IO, 1, 1, 0x100), 0)
})

test('a long console write is taken up again, and a line has a limit', () => {
  const machine = sampleMachine()
  const vcpu = machine.guest()
  vcpu.domain.state.privileged = 1
  vcpu.memory.writeFrom(new Uint8Array(4096).fill(97), 0)
  assert.equal(machine.call(vcpu, CONSOLE_IO, 0, 4096, 0), 0)
  assert.ok(machine.turns.last > 1)
  assert.ok(logOf(machine).split('\n').every((line) => line.length <= 260))
})

test('populate and decrease answer how many extents they did', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest(8)
  put(vcpu, 0x200, 100, 101, 102)
  put(vcpu, 0x100, 0x200, 3, 0, DOMID_SELF)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_populate_physmap, 0x100), 3)
  put(vcpu, 0x180, DOMID_SELF)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_current_reservation, 0x180), 11)
  put(vcpu, 0x200, 101, 55, 102)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_decrease_reservation, 0x100), 1)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_current_reservation, 0x180), 10)
})

test('an extent of 2 MiB lies in one row of frames, or is not done', () => {
  const { guest, call, host } = sampleMachine(16)
  const vcpu = guest(8)
  const { domain } = vcpu
  domain.state.maxPages = 4096
  const populate = (gfn: number, order: number): number => {
    put(vcpu, 0x200, gfn)
    put(vcpu, 0x100, 0x200, 1, order, DOMID_SELF)
    return call(vcpu, MEMORY_OP, XENMEM_populate_physmap, 0x100)
  }
  const frame = (gfn: number): number => domain.p2m.frame(gfn, true)
  assert.equal(populate(512, 9), 1)
  assert.equal(frame(512) % 512, 0)
  for (let i = 0; i < 512; i++) assert.equal(frame(512 + i), frame(512) + i)
  // Every second frame of what is left is taken, so that nothing lies in a row.
  const rest: number[] = []
  for (let mfn = host.frames.allocate(5); mfn !== 0; mfn = host.frames.allocate(5)) rest.push(mfn)
  rest.filter((mfn) => mfn % 2 === 0).forEach((mfn) => host.frames.disown(mfn))
  assert.equal(host.frames.allocateRow(5, 2, 1), 0)
  const { totPages } = domain.state
  for (const order of [9, 1]) assert.equal(populate(1024, order), 0)
  assert.equal(domain.state.totPages, totPages)
  assert.equal(frame(1024), 0)
  assert.equal(populate(1024, 0), 1)
  assert.notEqual(frame(1024), 0)
  put(vcpu, 0x200, 513)
  put(vcpu, 0x100, 0x200, 1, 0, DOMID_SELF)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_decrease_reservation, 0x100), 1)
  assert.equal(frame(513), 0)
  assert.equal(frame(514), frame(512) + 2)
})

test('a guest asks for at most 2 MiB at a time, and gets all of an extent or nothing', () => {
  const { guest, call } = sampleMachine(16)
  const vcpu = guest(8)
  const { domain } = vcpu
  const populate = (order: number): number => {
    put(vcpu, 0x200, 1024)
    put(vcpu, 0x100, 0x200, 1, order, DOMID_SELF)
    return call(vcpu, MEMORY_OP, XENMEM_populate_physmap, 0x100)
  }
  domain.state.maxPages = 2 ** 20
  assert.equal(populate(10), 0)
  assert.equal(populate(18), 0)
  domain.state.maxPages = 8 + 511
  assert.equal(populate(9), 0)
  assert.equal(domain.state.totPages, 8)
  assert.equal(domain.p2m.frame(1024, true), 0)
})

test('a guest may not touch another domain\'s memory', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  const { domain: other } = guest()
  const pages = other.state.totPages
  other.state.maxPages = pages + 1
  put(vcpu, 0x200, 200)
  for (const id of [other.id, 99]) {
    put(vcpu, 0x100, 0x200, 1, 0, id)
    assert.equal(call(vcpu, MEMORY_OP, XENMEM_populate_physmap, 0x100), 0)
  }
  assert.equal(other.state.totPages, pages)
})

test('the memory map is -ENOSYS until the toolstack gives one', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  put(vcpu, 0x100, 16, 0x200)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_memory_map, 0x100), -ENOSYS)
  vcpu.domain.state.e820Count = 1
  vcpu.domain.state.e820.item(0).size = 0x9f000n
  vcpu.domain.state.e820.item(0).type = 1
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_memory_map, 0x100), 0)
  assert.equal(vcpu.memory.readU32(0x100), 1)
  assert.equal(vcpu.memory.readU53(0x208), 0x9f000)
})

test('a multicall runs each entry and puts its result in place', () => {
  const { guest, call, turns } = sampleMachine()
  const vcpu = guest()
  const count = 100
  for (let i = 0; i < count; i++) {
    put(vcpu, 0x1000 + i * 64, i % 2 ? 63 : XEN_VERSION, 0, 0, 0, 0, 0, 0, 0)
  }
  assert.equal(call(vcpu, MULTICALL, 0x1000, count), 0)
  assert.ok(turns.last > 1)
  assert.equal(vcpu.memory.readU32(0x1008), 4 << 16 | 17)
  assert.equal(vcpu.memory.readU32(0x1048) | 0, -ENOSYS)
  assert.equal(vcpu.memory.readU32(0x1000 + 98 * 64 + 8), 4 << 16 | 17)
})

test('a multicall in a multicall is -EINVAL', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  put(vcpu, 0x1000, MULTICALL, 0, 0x1000, 1, 0, 0, 0, 0)
  assert.equal(call(vcpu, MULTICALL, 0x1000, 1), 0)
  assert.equal(vcpu.memory.readU32(0x1008) | 0, -EINVAL)
})

test('32-bit callers pass 32-bit structs', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  vcpu.compat = true
  vcpu.memory.writeU32(0x100, 0x200)
  vcpu.memory.writeU32(0x104, 1)
  vcpu.memory.writeU32(0x108, 0)
  vcpu.memory.writeU32(0x10c, 0)
  vcpu.memory.writeU32(0x110, DOMID_SELF)
  vcpu.memory.writeU32(0x200, 77)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_populate_physmap, 0x100), 1)
  assert.notEqual(vcpu.domain.p2m.get(77), 0)
})

test('a 32-bit caller polls the ports in its list', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  vcpu.compat = true
  vcpu.memory.writeU32(0x100, DOMID_SELF)
  assert.equal(call(vcpu, EVENT_CHANNEL_OP, EVTCHNOP_alloc_unbound, 0x100), 0)
  vcpu.memory.writeU32(0x200, vcpu.memory.readU32(0x104))
  vcpu.memory.writeU32(0x300, 0x200)
  vcpu.memory.writeU32(0x304, 1)
  assert.equal(call(vcpu, SCHED_OP, SCHEDOP_poll, 0x300), 0)
  assert.notEqual(vcpu.state.flags & VPF_polling, 0)
  vcpu.memory.writeU32(0x200, 900)
  assert.equal(call(vcpu, SCHED_OP, SCHEDOP_poll, 0x300), -EINVAL)
})

test('the only assist of a PVH guest is the runstate flag', () => {
  const { guest, call } = sampleMachine()
  const vcpu = guest()
  assert.equal(call(vcpu, VM_ASSIST, 0, 5), 0)
  assert.equal(vcpu.domain.state.vmAssist, 32)
  assert.equal(call(vcpu, VM_ASSIST, 1, 5), 0)
  assert.equal(vcpu.domain.state.vmAssist, 0)
  assert.equal(call(vcpu, VM_ASSIST, 0, 2), -EINVAL)
})
