/**
 * Fuzz target: whatever is populated, given up and moved, in extents of any size, the p2m says of
 * each gfn what a plain list says, and in the end every frame is free again.
 *
 * `node fuzz/p2m.ts [runs] [seed]`; short by default. The machine is small, so that it runs out of
 * frames.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { P2M_HOLE, P2M_POD, P2M_RAM_RO, P2M_RAM_RW } from '../src/cpu/p2m-format.ts'
import type { Domain } from '../src/hypervisor/domain/domain.ts'
import { destroyDomain } from '../src/hypervisor/domain/lifecycle.ts'
import { sampleMachine } from '../src/hypervisor/host/sample-machine.ts'
import { populateLater, populateNow } from '../src/hypervisor/memory/demand.ts'
import { p2mMfn, p2mType } from '../src/hypervisor/memory/p2m.ts'
import { movePage, populate, release, unmap } from '../src/hypervisor/memory/reservation.ts'

const MEBIBYTES = 24
const GFNS = 512 * 12
const LIMIT = 5

const gfn = fc.oneof(fc.nat(11).map((i) => i * 512), fc.nat(GFNS - 1))
const step = fc.record({
  kind: fc.constantFrom('populate', 'later', 'now', 'release', 'unmap', 'move', 'restrict'),
  gfn, to: gfn, order: fc.constantFrom(0, 1, 9, 9, 9, 10),
})
type Step = typeof step extends fc.Arbitrary<infer T> ? T : never

/** Does a step: an error, or the types that gfns have now. */
function take(domain: Domain, { kind, gfn: at, to, order }: Step): number | [number, number][] {
  const { p2m } = domain
  const entry = p2m.get(at)
  const type = p2mType(entry)
  const extent = (what: number): [number, number][] =>
    Array.from({ length: 2 ** order }, (_, i) => [at + i, what])
  switch (kind) {
    case 'populate': return populate(domain, at, order) || extent(P2M_RAM_RW)
    case 'later': return populateLater(domain, at, order) || extent(P2M_POD)
    case 'now': return populateNow(domain, at) && type === P2M_POD ? [[at, P2M_RAM_RW]] : []
    case 'release': return release(domain, at) || [[at, P2M_HOLE]]
    case 'unmap': return unmap(domain, at) || [[at, P2M_HOLE]]
    case 'move': return movePage(domain, at, to) || [[at, P2M_HOLE], [to, type]]
    case 'restrict': {
      if (type !== P2M_RAM_RW) return []
      p2m.lock()
      const status = p2m.set(at, P2M_RAM_RO, p2mMfn(entry))
      p2m.unlock()
      return status || [[at, P2M_RAM_RO]]
    }
  }
}

function trySteps(steps: readonly Step[]): void {
  const { host, guest } = sampleMachine(MEBIBYTES)
  const free = host.frames.free
  const { domain } = guest(1)
  const { p2m, state } = domain
  state.maxPages = GFNS
  state.p2mFrameLimit = LIMIT
  assert.equal(release(domain, 0), 0)
  const types = new Uint8Array(GFNS + 1024)
  for (const one of steps) {
    const before = Array.from(types, (_, i) => p2mMfn(p2m.get(i)))
    const changes = take(domain, one)
    // What was refused may have given up what was there.
    if (typeof changes === 'number') {
      for (let i = one.gfn; i < one.gfn + 2 ** one.order; i++) types[i] = p2mType(p2m.get(i))
      types[one.to] = p2mType(p2m.get(one.to))
    } else for (const [at, type] of changes) types[at] = type
    const frames = new Set<number>()
    let pages = 0
    for (const [i, type] of types.entries()) {
      const entry = p2m.get(i)
      assert.equal(p2mType(entry), type, `gfn ${i} after ${JSON.stringify(one)}`)
      if (type !== P2M_RAM_RW && type !== P2M_RAM_RO) continue
      pages++
      const mfn = p2mMfn(entry)
      assert(!frames.has(mfn), `frame ${mfn} twice`)
      frames.add(mfn)
      assert.equal(host.frames.gfnOf(mfn), i)
      const isTouched = (i >= one.gfn && i < one.gfn + 2 ** one.order) || i === one.to
      if (!isTouched) assert.equal(mfn, before[i])
    }
    assert(pages <= state.totPages)
    assert.equal(host.frames.claimed, state.p2mKept)
  }
  domain.pause()
  assert.equal(destroyDomain(domain), 0)
  assert.deepEqual([host.frames.free, host.frames.claimed], [free, 0])
}

function fuzzP2m(runs: number, seed?: number): void {
  fc.assert(fc.property(fc.array(step, { maxLength: 30 }), trySteps),
    { numRuns: runs, ...seed === undefined ? {} : { seed } })
}

if (import.meta.main) {
  const [runs, seed] = process.argv.slice(2).map(Number)
  fuzzP2m(runs ?? 100, seed)
}
