/**
 * Superpages of the p2m: one entry for 512 gfns, until one of these changes.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { DOMID_INVALID } from '../../abi/xen/xen.ts'
import { LEAF_ENTRIES, P2M_FOREIGN, P2M_POD, P2M_RAM_RO, P2M_RAM_RW } from
  '../../cpu/p2m-format.ts'
import { destroyDomain } from '../domain/lifecycle.ts'
import type { Domain } from '../domain/domain.ts'
import { sampleMachine } from '../host/sample-machine.ts'
import { populateLater, populateNow } from './demand.ts'
import { p2mMfn, p2mType } from './p2m.ts'
import { mapForeignFrame, movePage, populate, release, showXenFrame, unmap } from
  './reservation.ts'

const ORDER = 9
/** Where the superpages are, a neighbour of an even slot and one of an odd one. */
const [EVEN, ODD] = [LEAF_ENTRIES * 2, LEAF_ENTRIES * 3]

/** A guest with two pages of 4 KiB and, at the gfns given, superpages. */
function world(gfns: readonly number[] = [EVEN], mebibytes = 16) {
  const machine = sampleMachine(mebibytes)
  const { domain } = machine.guest(2)
  domain.state.maxPages = 1 << 20
  for (const gfn of gfns) assert.equal(populate(domain, gfn, ORDER), 0)
  return { ...machine, domain }
}

function entriesOf(domain: Domain, gfn: number): number[] {
  return Array.from({ length: LEAF_ENTRIES }, (_, i) => domain.p2m.get(gfn + i))
}

test('an aligned extent of 2 MiB is one entry, and needs no leaf', () => {
  const { domain, host } = world([])
  const { p2m, state } = domain
  const { p2mFrames } = state
  const free = host.frames.free
  assert.equal(populate(domain, EVEN, ORDER), 0)
  assert.equal(p2m.superpages, 1)
  assert.equal(state.p2mFrames, p2mFrames)
  assert.equal(host.frames.free, free - LEAF_ENTRIES)
  assert.equal(state.maxGfn, EVEN + LEAF_ENTRIES - 1)
  const first = p2mMfn(p2m.get(EVEN))
  for (const [i, entry] of entriesOf(domain, EVEN).entries()) {
    assert.deepEqual([p2mType(entry), p2mMfn(entry)], [P2M_RAM_RW, first + i])
    assert.equal(host.frames.gfnOf(first + i), EVEN + i)
    assert.equal(p2m.frame(EVEN + i, true), first + i)
  }
  assert.equal(p2m.get(EVEN - 1), 0)
  assert.equal(p2m.get(EVEN + LEAF_ENTRIES), 0)
  assert.equal(p2m.before(ODD + 7), ODD - 1)
  assert.equal(p2m.before(EVEN), 1)
})

test('larger extents are rows of superpages; what is not aligned, or was in use, is none', () => {
  const { domain } = world([])
  const { p2m } = domain
  assert.equal(populate(domain, EVEN, ORDER + 1), 0)
  assert.equal(p2m.superpages, 2)
  assert.equal(p2mMfn(p2m.get(ODD)), p2mMfn(p2m.get(EVEN)) + LEAF_ENTRIES)
  const unaligned = LEAF_ENTRIES * 8 + 1
  assert.equal(populate(domain, unaligned, ORDER), 0)
  assert.equal(p2mMfn(p2m.get(unaligned + 511)), p2mMfn(p2m.get(unaligned)) + 511)
  const used = LEAF_ENTRIES * 12
  assert.equal(populate(domain, used, 0), 0)
  assert.equal(release(domain, used), 0)
  assert.equal(populate(domain, used, ORDER), 0)
  assert.equal(p2m.superpages, 2)
})

/** Does `work`, and looks after each store by Atomics. */
function afterEachStore(look: () => void, work: () => void): void {
  const store = Atomics.store.bind(Atomics) as (...args: unknown[]) => unknown
  const plain = Atomics.store
  Reflect.set(Atomics, 'store', (...args: unknown[]) => {
    const value = store(...args)
    look()
    return value
  })
  try {
    work()
  } finally {
    Reflect.set(Atomics, 'store', plain)
  }
}

/** What changes page 5 of the superpage. */
const changes: Readonly<Record<string, (domain: Domain, other: Domain) => number>> = {
  release: (domain) => release(domain, EVEN + 5),
  unmap: (domain) => unmap(domain, EVEN + 5),
  'move away': (domain) => movePage(domain, EVEN + 5, ODD + 1),
  'move there': (domain) => movePage(domain, 1, EVEN + 5),
  'show a frame of Xen': (domain) => showXenFrame(domain, domain.state.sharedInfoMfn, EVEN + 5),
  'map another\'s frame': (domain, other) => {
    const mfn = other.p2m.frame(1, false)
    assert.ok(other.host.frames.get(mfn))
    return mapForeignFrame(domain, mfn, EVEN + 5)
  },
  restrict: ({ p2m }) => {
    p2m.lock()
    const status = p2m.set(EVEN + 5, P2M_RAM_RO, p2mMfn(p2m.get(EVEN + 5)))
    p2m.unlock()
    return status
  },
  populate: (domain) => populate(domain, EVEN + 5, 0),
  'populate on demand': (domain) => populateLater(domain, EVEN + 5, 0),
}

for (const [name, change] of Object.entries(changes)) {
  test(`a superpage is split before one of its pages changes: ${name}`, () => {
    const { domain, guest } = world()
    const other = guest(2).domain
    const before = entriesOf(domain, EVEN)
    const { p2mGeneration } = domain.state
    const seen = new Set<number>()
    // Whoever walks between two stores finds the old pages, and of the one that changes the old
    // entry, none, or the new one.
    afterEachStore(() => {
      for (const [i, entry] of entriesOf(domain, EVEN).entries()) {
        if (i === 5) seen.add(entry)
        else assert.equal(entry, before[i])
      }
    }, () => assert.equal(change(domain, other), 0))
    const after = domain.p2m.get(EVEN + 5)
    assert.notEqual(after, before[5])
    assert.ok([...seen].every((entry) => entry === before[5] || entry === 0 || entry === after))
    assert.equal(domain.p2m.superpages, 0)
    assert.ok(domain.state.p2mGeneration > p2mGeneration)
    before[5] = after
    assert.deepEqual(entriesOf(domain, EVEN), before)
    if (p2mType(after) === P2M_FOREIGN) assert.equal(other.host.frames.references(p2mMfn(after)), 2)
  })
}

test('a superpage can be split where the machine and the domain have no frame left', () => {
  for (const gfns of [[EVEN], [ODD], [EVEN, ODD]]) {
    const { domain, host } = world(gfns)
    const { frames } = host
    const { state } = domain
    assert.equal(state.p2mKept, 1)
    state.p2mFrameLimit = 2
    assert.equal(frames.claim(state, frames.free), false)
    while (frames.allocate(5) !== 0);
    assert.equal(frames.free, 1)
    for (const gfn of gfns) assert.equal(release(domain, gfn + 9), 0)
    assert.deepEqual([state.p2mKept, domain.p2m.superpages], [0, 0])
    for (const gfn of gfns) assert.deepEqual(entriesOf(domain, gfn).indexOf(0), 9)
  }
})

test('leaves of neighbours are in one frame, whichever comes first', () => {
  for (const [first, second] of [[EVEN, ODD], [ODD, EVEN]] as const) {
    const { domain } = world([first])
    const { state } = domain
    const { p2mFrames } = state
    assert.equal(populate(domain, second, 0), 0)
    assert.equal(state.p2mFrames, p2mFrames + 1)
    assert.equal(domain.p2m.superpages, 1)
    const before = entriesOf(domain, second)
    assert.equal(release(domain, first), 0)
    assert.equal(state.p2mFrames, p2mFrames + 1)
    assert.deepEqual(entriesOf(domain, second), before)
    assert.equal(state.p2mKept, 0)
  }
})

test('leaves that are kept for superpages count towards the limit', () => {
  const { domain } = world([], 32)
  domain.state.p2mFrameLimit = 3
  let gfn = EVEN
  while (populate(domain, gfn, ORDER) === 0) gfn += LEAF_ENTRIES
  // One for the first pages, and two pairs.
  assert.equal(gfn, EVEN + 4 * LEAF_ENTRIES)
  assert.equal(domain.state.totPages, 2 + 4 * LEAF_ENTRIES)
  assert.equal(populate(domain, gfn, 0), -ENOMEM)
})

test('a page stays where it is if there is no leaf for where it shall go', () => {
  const { domain } = world()
  domain.state.p2mFrameLimit = 2
  const before = entriesOf(domain, EVEN)
  assert.equal(movePage(domain, EVEN, LEAF_ENTRIES * 9), -ENOMEM)
  assert.equal(showXenFrame(domain, domain.state.sharedInfoMfn, LEAF_ENTRIES * 9), -ENOMEM)
  assert.deepEqual(entriesOf(domain, EVEN), before)
  assert.equal(domain.p2m.superpages, 1)
})

test('what was claimed and what was filled is free again at the end', () => {
  const { domain, host, guest } = world([EVEN, ODD, LEAF_ENTRIES * 6])
  const other = guest(2).domain
  const mfn = domain.p2m.frame(ODD + 3, true)
  assert.ok(host.frames.get(mfn))
  assert.equal(mapForeignFrame(other, mfn, 100), 0)
  assert.equal(populateLater(domain, LEAF_ENTRIES * 8, ORDER), 0)
  assert.equal(release(domain, EVEN), 0)
  const { state } = domain
  const used = state.totPages + state.p2mFrames + 1
  const free = host.frames.free
  domain.pause()
  assert.equal(destroyDomain(domain), 0)
  assert.equal(host.frames.claimed, 0)
  // But for the one that the other has.
  assert.ok(host.frames.free >= free + used - 1, `${host.frames.free - free} of ${used}`)
  assert.deepEqual([host.frames.owner(mfn), host.frames.gfnOf(mfn)], [DOMID_INVALID, -1])
})

test('a superpage that is populated on demand is split when a page is reached for', () => {
  const { domain } = world([])
  const { p2m, state } = domain
  assert.equal(populateLater(domain, EVEN, ORDER), 0)
  assert.deepEqual([p2m.superpages, state.podEntries], [1, LEAF_ENTRIES])
  assert.ok(entriesOf(domain, EVEN).every((entry) => entry === P2M_POD))
  assert.ok(populateNow(domain, EVEN + 7))
  assert.deepEqual([p2m.superpages, state.podEntries, state.totPages], [0, LEAF_ENTRIES - 1, 3])
  for (const [i, entry] of entriesOf(domain, EVEN).entries()) {
    assert.equal(p2mType(entry), i === 7 ? P2M_RAM_RW : P2M_POD)
  }
})
