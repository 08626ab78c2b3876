/**
 * Memory that is populated on demand: by what reaches for it, as much as was promised.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { EINVAL, ENOMEM, EPERM } from '../../abi/xen/errno.ts'
import {
  XENMEM_decrease_reservation, XENMEM_get_pod_target, XENMEM_populate_physmap,
  XENMEM_set_pod_target, XENMEMF_populate_on_demand,
} from '../../abi/xen/memory.ts'
import { P2M_POD } from '../../cpu/p2m-format.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import { sampleMachine } from '../host/sample-machine.ts'
import { p2mType } from './p2m.ts'
import { populateNow } from './demand.ts'
import { mapForeignFrame, unmap } from './reservation.ts'

const MEMORY_OP = 12
const DOMID_SELF = 0x7ff0
const AT = 0x1000
const LIST = 0x2000

/** A guest with 8 pages, and 100 more from gfn 100 on that come on demand, 20 of them promised. */
function world(mebibytes = 16) {
  const machine = sampleMachine(mebibytes)
  const vcpu = machine.guest(8)
  const { domain } = vcpu
  const dom0 = machine.dom0.vcpu(0)!
  const { call } = machine
  domain.state.maxPages = 8 + 20
  // No pages of zeros.
  for (let gfn = 0; gfn < 8; gfn++) assert.ok(vcpu.memory.writeU32(gfn * 4096 + 4092, 1))
  const reservation = (caller: Vcpu, cmd: number, gfns: readonly number[], flags = 0): number => {
    const domid = caller === vcpu ? DOMID_SELF : domain.id
    gfns.forEach((gfn, i) => caller.memory.writeU53(LIST + i * 8, gfn))
    const words = [LIST, gfns.length, flags * 2 ** 32, domid]
    words.forEach((word, i) => caller.memory.writeU53(AT + i * 8, word))
    return call(caller, MEMORY_OP, cmd, AT)
  }
  const target = (pages: number): number => {
    for (const [i, word] of [pages, 0, 0, 0, domain.id].entries()) {
      dom0.memory.writeU53(AT + i * 8, word)
    }
    return call(dom0, MEMORY_OP, XENMEM_set_pod_target, AT)
  }
  const gfns = Array.from({ length: 100 }, (_, i) => 100 + i)
  assert.equal(
    reservation(dom0, XENMEM_populate_physmap, gfns, XENMEMF_populate_on_demand), 100)
  return { ...machine, vcpu, domain, dom0Vcpu: dom0, reservation, target, gfns }
}

test('pages come when something reaches for them, empty, and count from then on', () => {
  const { domain, host, target } = world()
  const { p2m, state } = domain
  const free = host.frames.free
  assert.equal(target(8 + 20), 0)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [8, 20, 100])
  assert.equal(host.frames.free, free)
  assert.equal(p2mType(p2m.get(150)), P2M_POD)
  const mfn = p2m.frame(150, true)
  assert.notEqual(mfn, 0)
  assert.ok(host.machine.octets.subarray(mfn * 4096, mfn * 4096 + 4096).every((one) => one === 0))
  assert.equal(p2m.frame(150, false), mfn)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [9, 19, 99])
})

test('no more come than were promised, and what the guest gives up is promised again', () => {
  const { domain, reservation, target, vcpu, gfns } = world()
  const { state } = domain
  assert.equal(target(8 + 20), 0)
  for (const gfn of gfns.slice(0, 20)) assert.ok(vcpu.memory.writeU32(gfn * 4096, 1))
  assert.equal(populateNow(domain, 120), false)
  assert.equal(domain.p2m.frame(120, true), 0)
  // A page that has come, and some that have not.
  assert.equal(reservation(vcpu, XENMEM_decrease_reservation, [100, 150, 151]), 3)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [27, 1, 78])
  assert.ok(populateNow(domain, 120))
  const rest = gfns.filter((gfn) => p2mType(domain.p2m.get(gfn)) === P2M_POD)
  assert.equal(reservation(vcpu, XENMEM_decrease_reservation, rest), rest.length)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [28, 0, 0])
})

test('pages that a guest asks for are not those that it gets on demand', () => {
  const { domain, reservation, target, vcpu } = world()
  const { state } = domain
  assert.equal(target(8 + 10), 0)
  state.maxPages = 8 + 30
  assert.equal(target(8 + 30), 0)
  assert.deepEqual([state.totPages, state.claimedPages], [8, 30])
  assert.equal(reservation(vcpu, XENMEM_populate_physmap, [300, 301, 302]), 3)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [11, 27, 100])
  state.maxPages = 8 + 120
  assert.equal(target(8 + 120), 0)
  assert.equal(reservation(vcpu, XENMEM_populate_physmap, [310, 311, 312]), 3)
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [14, 100, 100])
})

test('a target that the machine or the domain has not is refused, and changes nothing', () => {
  const { call, domain, dom0Vcpu, host, target, vcpu } = world(4)
  assert.equal(target(8 + 21), -EINVAL)
  assert.equal(target(8 + 10), 0)
  const taken: number[] = []
  while (host.frames.free > 12) taken.push(host.frames.allocate(5))
  assert.equal(target(8 + 20), -ENOMEM)
  assert.deepEqual([domain.state.podTarget, domain.state.claimedPages], [18, 10])
  assert.equal(call(dom0Vcpu, MEMORY_OP, XENMEM_get_pod_target, AT), 0)
  assert.deepEqual([1, 2, 3].map((i) => dom0Vcpu.memory.readU53(AT + i * 8)), [18, 10, 100])
  vcpu.memory.writeU53(AT, 8)
  vcpu.memory.writeU53(AT + 32, domain.id)
  assert.equal(call(vcpu, MEMORY_OP, XENMEM_set_pod_target, AT), -EPERM)
  for (const mfn of taken) host.frames.disown(mfn)
})

test('a guest cannot have pages later by its own wish', () => {
  const { reservation, vcpu } = world()
  assert.equal(
    reservation(vcpu, XENMEM_populate_physmap, [300], XENMEMF_populate_on_demand), 0)
})

test('pages of zeros that nobody else has are taken when no more are promised', () => {
  const { domain, host, target } = world()
  const { p2m, state } = domain
  assert.equal(target(8 + 20), 0)
  const mfns = Array.from({ length: 20 }, (_, i) => p2m.frame(100 + i, true))
  host.machine.words[mfns[0]! * 1024 + 1023] = 1
  assert.ok(host.frames.get(mfns[1]!))
  assert.ok(populateNow(domain, 150))
  assert.equal(p2m.get(100) >>> 8, mfns[0])
  assert.equal(p2m.get(101) >>> 8, mfns[1])
  assert.ok([102, 103, 119].every((gfn) => p2mType(p2m.get(gfn)) === P2M_POD))
  assert.deepEqual([state.totPages, state.claimedPages, state.podEntries], [11, 17, 97])
  assert.equal(host.frames.owner(mfns[2]!) === domain.id, p2m.get(150) >>> 8 === mfns[2])
  host.frames.put(mfns[1]!)
})

test('what takes the place of such a page, or the domain\'s end, leaves nothing behind', () => {
  const { domain, guest, host, target } = world()
  assert.equal(target(8 + 20), 0)
  assert.equal(unmap(domain, 100), 0)
  const other = guest(8).domain
  const mfn = other.p2m.frame(3, false)
  assert.ok(host.frames.get(mfn))
  assert.equal(mapForeignFrame(domain, mfn, 101), 0)
  assert.equal(domain.state.podEntries, 98)
  const free = host.frames.free
  domain.pause()
  assert.equal(destroyDomain(domain), 0)
  assert.ok(host.frames.free > free)
  assert.equal(host.state.claimedFrames, 0)
})
