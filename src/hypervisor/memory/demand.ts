/**
 * Memory that is populated on demand: what is promised, what comes, and where it comes from when no
 * more was promised (docs/decisions/0017-populate-on-demand.md).
 *
 * A guest that has wiped more than it shall have, and not given it up yet, reaches for more than
 * there is. Pages of zeros are taken from it then: they can be populated on demand again, and it
 * cannot tell. Xen's p2m_pod_emergency_sweep does the same, out of its cache of frames.
 */
import { EINVAL, ENOMEM } from '../../abi/xen/errno.ts'
import { atomicAdd } from '../../base/layout/atomics.ts'
import { P2M_POD, P2M_RAM_RW } from '../../cpu/p2m-format.ts'
import type { Domain } from '../domain/domain.ts'
import { DomainState } from '../domain/state.ts'
import { GFN_LIMIT, isRam, p2mMfn, p2mType } from './p2m.ts'
import { clear } from './reservation.ts'

/** Pages of zeros taken at a time, and pages looked at for more than one. */
const SWEEP_BATCH = 256
const SWEEP_LIMIT = 4096

/** Lets 2^order gfns from `gfn` get RAM once they are reached for: 0 or an error. */
export function populateLater(domain: Domain, gfn: number, order: number): number {
  const count = 2 ** order
  const { state, p2m } = domain
  if (gfn % 1 !== 0 || gfn < 0 || gfn + count > GFN_LIMIT) return -EINVAL
  p2m.lock()
  for (let i = 0; i < count; i++) clear(domain, gfn + i)
  const done = p2m.setRow(gfn, P2M_POD, 0, count)
  state.podEntries += done
  p2m.unlock()
  return done === count ? 0 : -ENOMEM
}

/** Something reaches for `gfn`, which is populated on demand: whether it has RAM now. */
export function populateNow(domain: Domain, gfn: number): boolean {
  const { p2m } = domain
  p2m.lock()
  let done = isRam(p2m.get(gfn))
  if (p2mType(p2m.get(gfn)) === P2M_POD) {
    done = give(domain, gfn) || reclaimZeros(domain) && give(domain, gfn)
  }
  p2m.unlock()
  return done
}

/** With the p2m locked: gives `gfn` a frame of those that are promised. */
function give(domain: Domain, gfn: number): boolean {
  const { host, state, p2m } = domain
  if (state.totPages >= state.maxPages) return false
  const mfn = host.frames.allocate(domain.id, state.nodeAffinity, undefined, state)
  if (mfn === 0) return false
  p2m.set(gfn, P2M_RAM_RW, mfn)
  atomicAdd(state, DomainState.offsets.totPages, 1)
  state.podEntries--
  return true
}

/**
 * Claims as much as is to be populated on demand yet: what the domain shall have and has not, but
 * no more than it has room for. To be called when its pages have changed; false when there is
 * not so much.
 */
export function claimForDemand({ host, state, p2m }: Domain): boolean {
  p2m.lock()
  const wanted = Math.max(0, Math.min(state.podEntries, state.podTarget - state.totPages))
  const done = wanted === state.claimedPages || host.frames.claim(state, wanted)
  p2m.unlock()
  return done
}

/**
 * With the p2m locked, by a thread that is not inside: makes some pages of zeros ones that are
 * populated on demand, and promises their frames again. False when there are none.
 */
function reclaimZeros(domain: Domain): boolean {
  const { host: { frames, presence }, state, p2m } = domain
  const found: number[] = []
  const mfns: number[] = []
  let gfn = state.zeroSweep
  // Twice at most, as the first round begins anywhere: the machine's memory bounds both.
  for (let rounds = 0, looked = 0; rounds < 2 && found.length < SWEEP_BATCH;) {
    gfn = p2m.before(gfn)
    if (gfn < 0) {
      rounds++
      gfn = state.maxGfn + 1
      continue
    }
    if (++looked > SWEEP_LIMIT && found.length > 0) break
    const mfn = zerosAt(domain, gfn)
    if (mfn === 0) continue
    p2m.set(gfn, P2M_POD, 0)
    found.push(gfn)
    mfns.push(mfn)
  }
  state.zeroSweep = gfn
  if (found.length === 0) return false
  // Until a core has left, it may write by what it knows of the entry.
  presence.settle(state.base)
  for (const [i, mfn] of mfns.entries()) {
    if (frames.references(mfn) === 1 && frames.content.isZero(mfn)) retract(domain, mfn)
    else p2m.set(found[i]!, P2M_RAM_RW, mfn)
  }
  claimForDemand(domain)
  return state.totPages < state.maxPages
}

/** The frame at `gfn` if it is the domain's alone and full of zeros, else 0. */
function zerosAt({ host: { frames }, id, p2m }: Domain, gfn: number): number {
  const entry = p2m.get(gfn)
  const mfn = p2mMfn(entry)
  const alone = p2mType(entry) === P2M_RAM_RW && frames.isReserved(mfn, id)
    && frames.references(mfn) === 1
  return alone && frames.content.isZero(mfn) ? mfn : 0
}

function retract({ host: { frames }, state }: Domain, mfn: number): void {
  frames.disown(mfn)
  atomicAdd(state, DomainState.offsets.totPages, -1)
  state.podEntries++
}
