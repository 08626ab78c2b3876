/**
 * The frame table and the p2m.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { ENOENT, ENOMEM } from '../../abi/xen/errno.ts'
import { P2M_RAM_RO, P2M_RAM_RW } from '../../cpu/p2m-format.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import { sampleMachine } from '../host/sample-machine.ts'
import { FrameContent } from './frame-content.ts'
import { FRAME } from './frame-presence.ts'
import { Frames } from './frames.ts'
import { GFN_LIMIT, p2mMfn, p2mType } from './p2m.ts'
import { movePage, populate, release, showXenFrame, unmap } from './reservation.ts'

test('frame 0 is never given out, and every other one is, once', () => {
  const { host } = sampleMachine(4)
  const seen = new Set<number>()
  const free = host.frames.free
  for (let mfn = host.frames.allocate(5); mfn !== 0; mfn = host.frames.allocate(5)) {
    assert.ok(!seen.has(mfn))
    seen.add(mfn)
  }
  assert.equal(seen.size, free)
  assert.ok(!seen.has(0))
  for (const mfn of seen) host.frames.disown(mfn)
  assert.equal(host.frames.free, free)
})

test('a frame that was given up is given out before any that nobody has had', () => {
  const { frames } = sampleMachine(8).host
  const first = Array.from({ length: 100 }, () => frames.allocate(5))
  for (let turn = 0; turn < 50; turn++) {
    const given = first.splice(0, 10)
    for (const mfn of given) frames.disown(mfn)
    first.push(...given.map(() => frames.allocate(6)))
    assert.deepEqual(first.slice(-10).sort(), given.sort())
  }
})

test('rows are aligned and lie apart from what is in use', () => {
  const { host } = sampleMachine(8)
  const { frames } = host
  const single = frames.allocate(5)
  const row = frames.allocateRow(5, 512, 512)
  assert.equal(row % 512, 0)
  assert.notEqual(row, 0)
  assert.ok(single < row || single >= row + 512)
  const more = frames.allocateRow(5, 512, 512)
  assert.ok(more === 0 || more + 512 <= row || more >= row + 512)
  assert.equal(frames.allocateRow(5, 4096, 1), 0)
})

test('a reference keeps a disowned frame, unscrubbed, until it is given back', () => {
  const { host } = sampleMachine()
  const { frames, machine } = host
  const mfn = frames.allocate(5)
  machine.octets[mfn * 4096 + 77] = 1
  assert.ok(frames.get(mfn))
  const free = frames.free
  frames.disown(mfn)
  assert.equal(frames.free, free)
  assert.equal(machine.octets[mfn * 4096 + 77], 1)
  frames.put(mfn)
  assert.equal(frames.free, free + 1)
  assert.equal(machine.octets[mfn * 4096 + 77], 0)
  assert.equal(frames.get(mfn), false)
})

test('rows that are given up go back to the system, but for what is mapped elsewhere', () => {
  for (const can of [true, false]) {
    const { host } = sampleMachine()
    const { hypervisor, machine } = host
    const rows: [number, number][] = []
    const content = new FrameContent(machine, (offset, bytes) => {
      rows.push([offset / 4096, bytes / 4096])
      if (can) machine.octets.fill(0, offset, offset + bytes)
      return can
    })
    const freed: number[] = []
    const frames = new Frames(hypervisor, content, (mfn) => freed.push(mfn))
    const { free } = frames
    const first = frames.allocateRow(5, 64, 64)
    const other = frames.allocate(6)
    const isFilled = (mfn: number) => machine.octets[mfn * 4096 + 99] === 7
    const all = Array.from({ length: 64 }, (_, i) => first + i)
    for (const mfn of [...all, other]) machine.octets[mfn * 4096 + 99] = 7
    const mapped = first + 20
    assert.ok(frames.get(mapped))
    frames.disownAll(5)
    assert.deepEqual(rows, [[first, 20], [mapped + 1, 43]])
    assert.deepEqual(freed, all.filter((mfn) => mfn !== mapped))
    assert.deepEqual([...all, other].filter(isFilled), [mapped, other])
    frames.put(mapped)
    assert.equal(isFilled(mapped), false)
    assert.equal(frames.free, free - 1)
  }
})

test('the p2m answers holes for every gfn that is not there, however absurd', () => {
  const { guest } = sampleMachine()
  const { p2m } = guest().domain
  for (const gfn of [8, -1, GFN_LIMIT, 2 ** 52, NaN, 0.5 + GFN_LIMIT]) {
    assert.equal(p2m.get(gfn), 0)
    assert.equal(p2m.translate(gfn * 4096, false), -1)
  }
  assert.equal(p2m.translate(8 * 4096 - 1, true) % 4096, 4095)
})

test('read-only RAM can be read and not written', () => {
  const { guest } = sampleMachine()
  const { p2m } = guest().domain
  p2m.lock()
  p2m.set(3, P2M_RAM_RO, p2mMfn(p2m.get(3)))
  p2m.unlock()
  assert.notEqual(p2m.translate(0x3000, false), -1)
  assert.equal(p2m.translate(0x3000, true), -1)
})

test('taking something away counts the generation up; adding does not', () => {
  const { guest } = sampleMachine()
  const { domain } = guest()
  const before = domain.state.p2mGeneration
  assert.equal(populate(domain, 100, 0), 0)
  assert.equal(domain.state.p2mGeneration, before)
  assert.equal(release(domain, 100), 0)
  assert.equal(domain.state.p2mGeneration, before + 1)
  assert.equal(release(domain, 100), -ENOENT)
})

test('a guest that scatters its pages runs out of table before the machine does', () => {
  const { host, guest } = sampleMachine(16)
  const { domain } = guest(1)
  domain.state.maxPages = 100_000
  domain.state.p2mFrameLimit = 10
  const free = host.frames.free
  let status = 0
  for (let i = 1; i < 100 && status === 0; i++) status = populate(domain, i * 1024, 0)
  assert.equal(status, -ENOMEM)
  assert.ok(free - host.frames.free <= 20)
})

test('shared_info is moved by showing it again, and what lay there is freed', () => {
  const { guest } = sampleMachine()
  const { domain } = guest()
  const { state, p2m } = domain
  assert.equal(showXenFrame(domain, state.sharedInfoMfn, 2), 0)
  assert.equal(state.totPages, 7)
  assert.equal(p2mMfn(p2m.get(2)), state.sharedInfoMfn)
  assert.equal(showXenFrame(domain, state.sharedInfoMfn, 500), 0)
  assert.equal(p2m.get(2), 0)
  assert.equal(state.sharedInfoGfn, 500)
  assert.equal(unmap(domain, 500), 0)
  assert.equal(state.totPages, 7)
})

test('moving a page leaves a hole and keeps its frame', () => {
  const { guest } = sampleMachine()
  const { domain } = guest()
  const mfn = p2mMfn(domain.p2m.get(1))
  assert.equal(movePage(domain, 1, 900), 0)
  assert.equal(domain.p2m.get(1), 0)
  assert.equal(p2mMfn(domain.p2m.get(900)), mfn)
  assert.equal(p2mType(domain.p2m.get(900)), P2M_RAM_RW)
  assert.equal(domain.host.frames.gfnOf(mfn), 900)
})

test('what a domain wrote is gone before another can have its frames', () => {
  const { host, guest } = sampleMachine(4)
  const { machine } = host
  const { domain } = guest(8)
  domain.state.maxPages = 4096
  let gfn = 8
  while (populate(domain, gfn, 0) === 0) gfn++
  assert.ok(gfn > 700 && host.frames.free < 8)
  const owned = Array.from({ length: gfn }, (_, i) => p2mMfn(domain.p2m.get(i)))
  for (const mfn of owned) machine.octets.fill(0x5a, mfn * 4096, (mfn + 1) * 4096)
  const isZero = (mfn: number): boolean =>
    machine.octets.subarray(mfn * 4096, (mfn + 1) * 4096).every((byte) => byte === 0)
  assert.equal(release(domain, 7), 0)
  assert.ok(isZero(owned[7]!))
  destroyDomain(domain)
  assert.ok(owned.every(isZero))
})

test('a free frame that was promised does not go offline', () => {
  const { frames } = sampleMachine(4).host
  const claimant = { claimedPages: 0 }
  const [one, other] = [frames.allocate(5), frames.allocate(5)]
  for (const mfn of [one, other]) frames.disown(mfn)
  assert.ok(frames.claim(claimant, frames.free - 1))
  assert.equal(frames.takeOffline(one), FRAME.offline)
  assert.equal(frames.takeOffline(other), FRAME.online)
  assert.equal(frames.free, frames.claimed)
  assert.ok(frames.claim(claimant, 0))
  assert.equal(frames.takeOffline(other), FRAME.offline)
})

test('a claim keeps frames for a domain, and is used up by what it gets', () => {
  const { host, guest } = sampleMachine(4)
  const { frames } = host
  const one = guest(8).domain
  const two = guest(8).domain
  for (const { state } of [one, two]) state.maxPages = 4096
  assert.equal(frames.claim(one.state, frames.free + 1), false)
  assert.equal(frames.claim(one.state, frames.free - 50), true)
  let gfn = 8
  while (populate(two, gfn, 0) === 0) gfn++
  assert.ok(gfn > 40 && gfn <= 58, `${gfn}`)
  assert.equal(frames.allocateXen(two.id, 1), 0)
  const claimed = frames.claimed
  assert.equal(populate(one, 512, 4), 0)
  assert.deepEqual([frames.claimed, one.state.claimedPages], [claimed - 16, claimed - 16])
  destroyDomain(one)
  assert.equal(frames.claimed, 0)
  assert.equal(populate(two, gfn, 0), 0)
})
