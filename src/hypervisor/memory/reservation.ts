/**
 * A domain's reservation: giving it frames, taking them back, and what lies where in its memory.
 *
 * These are the steps that memory_op's sub-operations are made of. All keep three things in accord:
 * the p2m entry, the frame's references and the domain's page count.
 */
import { atomicAdd } from '../../base/layout/atomics.ts'
import { EBUSY, EINVAL, ENOENT, ENOMEM } from '../../abi/xen/errno.ts'
import { P2M_FOREIGN, P2M_HOLE, P2M_POD, P2M_RAM_RW } from '../../cpu/p2m-format.ts'
import type { Domain } from '../domain/domain.ts'
import { DomainState, NO_FRAME } from '../domain/state.ts'
import { GFN_LIMIT, isBorrowed, isRam, p2mMfn, p2mType } from './p2m.ts'

/** Nodes that frames should be of, and those that they may be of when there are none. */
export interface NodeChoice {
  readonly nodes: number
  readonly others: number
}

/** Fills 2^order gfns from `gfn` with fresh RAM: 0, or an error with nothing changed. */
export function populate(
  domain: Domain, gfn: number, order: number, choice?: NodeChoice,
): number {
  const count = 2 ** order
  const { state } = domain
  if (gfn % 1 !== 0 || gfn < 0 || gfn + count > GFN_LIMIT) return -EINVAL
  const before = atomicAdd(state, DomainState.offsets.totPages, count)
  if (before + count > state.maxPages) {
    atomicAdd(state, DomainState.offsets.totPages, -count)
    return -ENOMEM
  }
  const done = fillPages(domain, gfn, count, choice)
  if (done === count) return 0
  atomicAdd(state, DomainState.offsets.totPages, done - count)
  for (let i = 0; i < done; i++) release(domain, gfn + i)
  return -ENOMEM
}

/** How many of the pages got RAM: all in one row of frames, aligned to its size. */
function fillPages(
  domain: Domain, gfn: number, count: number, choice: NodeChoice | undefined,
): number {
  const { id, p2m, state, host: { frames } } = domain
  const { nodes, others } = choice ?? { nodes: state.nodeAffinity, others: undefined }
  const mfn = frames.allocateRow(id, count, count, nodes, others, state)
  if (mfn === 0) return 0
  p2m.lock()
  for (let i = 0; i < count; i++) clear(domain, gfn + i)
  const done = p2m.setRow(gfn, P2M_RAM_RW, mfn, count)
  p2m.unlock()
  for (let i = done; i < count; i++) frames.disown(mfn + i)
  return done
}

/** With the p2m locked: makes `gfn` a hole, giving back what was there. */
export function clear(domain: Domain, gfn: number): void {
  const { p2m } = domain
  const entry = p2m.get(gfn)
  if (entry === P2M_HOLE) return
  p2m.set(gfn, P2M_HOLE, 0)
  const mfn = p2mMfn(entry)
  if (p2mType(entry) === P2M_POD) domain.state.podEntries--
  if (p2mType(entry) === P2M_FOREIGN) p2m.drop(mfn)
  else if (isRam(entry)) releaseFrame(domain, mfn)
}

function releaseFrame(domain: Domain, mfn: number): void {
  const { host, p2m, state } = domain
  if (mfn === state.sharedInfoMfn) state.sharedInfoGfn = NO_FRAME
  if (!host.frames.isReserved(mfn, domain.id)) return
  host.frames.abandon(mfn)
  p2m.drop(mfn)
  atomicAdd(state, DomainState.offsets.totPages, -1)
}

/** The guest gives the page at `gfn` up (or never had one): 0 or an error. */
export function release(domain: Domain, gfn: number): number {
  const { p2m } = domain
  p2m.lock()
  const entry = p2m.get(gfn)
  const status = entry === P2M_HOLE ? -ENOENT
    : isBorrowed(entry) && p2mType(entry) !== P2M_FOREIGN ? -EBUSY : 0
  if (status === 0) clear(domain, gfn)
  p2m.unlock()
  return status
}

/** As `release`, but a page of the domain's own stays in its reservation, mapped nowhere. */
export function unmap(domain: Domain, gfn: number): number {
  const { p2m, state } = domain
  p2m.lock()
  const entry = p2m.get(gfn)
  const status = entry === P2M_HOLE ? -ENOENT
    : isBorrowed(entry) && p2mType(entry) !== P2M_FOREIGN ? -EBUSY : 0
  if (status === 0) {
    p2m.set(gfn, P2M_HOLE, 0)
    if (p2mType(entry) === P2M_POD) state.podEntries--
    if (p2mType(entry) === P2M_FOREIGN) p2m.drop(p2mMfn(entry))
    if (p2mMfn(entry) === state.sharedInfoMfn) state.sharedInfoGfn = NO_FRAME
  }
  p2m.unlock()
  return status
}

/** Shows a frame of Xen's (shared_info, grant table) at `gfn`, and no longer where it was. */
export function showXenFrame(domain: Domain, mfn: number, gfn: number): number {
  const { p2m, host, state } = domain
  if (!(gfn >= 0 && gfn < GFN_LIMIT)) return -EINVAL
  p2m.lock()
  const status = makeRoom(domain, gfn)
  if (status < 0) {
    p2m.unlock()
    return status
  }
  const old = host.frames.gfnOf(mfn)
  if (old >= 0) p2m.set(old, P2M_HOLE, 0)
  const set = p2m.set(gfn, P2M_RAM_RW, mfn)
  if (mfn === state.sharedInfoMfn) state.sharedInfoGfn = set < 0 ? NO_FRAME : gfn
  p2m.unlock()
  return set
}

/** Moves the page at `from` to `to`, leaving a hole. */
export function movePage(domain: Domain, from: number, to: number): number {
  const { p2m } = domain
  if (!(to >= 0 && to < GFN_LIMIT)) return -EINVAL
  p2m.lock()
  const entry = p2m.get(from)
  let status = isRam(entry) ? 0 : -EINVAL
  if (status === 0 && from !== to) {
    status = makeRoom(domain, to)
    if (status === 0) {
      p2m.set(from, P2M_HOLE, 0)
      p2m.set(to, p2mType(entry), p2mMfn(entry))
    }
  }
  p2m.unlock()
  return status
}

/** Maps a frame that another domain owns at `gfn`, taking over the caller's reference to it. */
export function mapForeignFrame(domain: Domain, mfn: number, gfn: number): number {
  const { p2m } = domain
  if (!(gfn >= 0 && gfn < GFN_LIMIT)) return -EINVAL
  p2m.lock()
  let status = makeRoom(domain, gfn)
  if (status === 0) status = p2m.set(gfn, P2M_FOREIGN, mfn)
  p2m.unlock()
  return status
}

/** With the p2m locked: empties `gfn` and makes sure that it can be set. */
function makeRoom(domain: Domain, gfn: number): number {
  const entry = domain.p2m.get(gfn)
  if (isBorrowed(entry) && p2mType(entry) !== P2M_FOREIGN) return -EBUSY
  const status = domain.p2m.prepare(gfn)
  if (status === 0) clear(domain, gfn)
  return status
}
