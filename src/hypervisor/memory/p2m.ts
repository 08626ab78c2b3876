/**
 * A domain's physical-to-machine table: what each of its page frames is.
 *
 * The format (cpu/p2m-format.ts) is read by the processor's page walker without locks, so an entry
 * is one aligned word and changes at once; writers hold the domain's p2m lock. What an entry lost
 * may still be known to processors that run the domain: `unlock` waits until they have noticed, and
 * only then gives references back. A leaf, once there, stays until the domain goes. The number of
 * leaves is bounded by the domain's limit, so a guest that scatters its pages is refused in time.
 */
import { atomicAdd } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { DIRECTORY_ENTRIES, LEAF_ENTRIES, LEAF_SHIFT, P2M_FOREIGN, P2M_GRANT_RO, P2M_GRANT_RW,
  P2M_HOLE, P2M_MFN_SHIFT, P2M_POD, P2M_RAM_RO, P2M_RAM_RW, P2M_READABLE, P2M_TYPE_MASK,
  P2M_WRITABLE } from '../../cpu/p2m-format.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { DomainState } from '../domain/state.ts'
import type { Host } from '../host/host.ts'
import { LOCK_RANK } from '../host/state.ts'

const P2M_FRAMES = DIRECTORY_ENTRIES / 1024
/** One past the highest gfn. */
export const GFN_LIMIT = DIRECTORY_ENTRIES * LEAF_ENTRIES

export function p2mType(entry: number): number {
  return entry & P2M_TYPE_MASK
}

export function p2mMfn(entry: number): number {
  return entry >>> P2M_MFN_SHIFT
}

export function isRam(entry: number): boolean {
  const type = entry & P2M_TYPE_MASK
  return type === P2M_RAM_RW || type === P2M_RAM_RO
}

/** Whether the entry refers to a frame of another domain, and so holds a reference. */
export function isBorrowed(entry: number): boolean {
  const type = entry & P2M_TYPE_MASK
  return type === P2M_GRANT_RW || type === P2M_GRANT_RO || type === P2M_FOREIGN
}

export class P2m {
  readonly #host: Host
  readonly #state: ViewOf<typeof DomainState>
  readonly #words: Uint32Array
  readonly #lock: RankedLock
  /** How often this thread has the lock. */
  #depth = 0
  /** Whether entries were changed or removed meanwhile. */
  #changed = false
  readonly #dropped: number[] = []
  readonly #demand: (gfn: number) => boolean

  /** `demand` is asked to give RAM to what is populated on demand. */
  constructor(
    host: Host, state: ViewOf<typeof DomainState>, demand: (gfn: number) => boolean,
  ) {
    this.#host = host
    this.#state = state
    this.#demand = demand
    this.#words = host.machine.words
    this.#lock = new RankedLock(host.hypervisor.cells, LOCK_RANK.p2m, 'p2m')
  }

  /** Keeps others from changing the table; may be nested, so that many changes end as one. */
  lock(): void {
    if (this.#depth++ > 0) return
    this.#lock.acquire(this.#state.base + DomainState.offsets.p2mLock)
  }

  unlock(): void {
    if (--this.#depth > 0) return
    this.#lock.release(this.#state.base + DomainState.offsets.p2mLock)
    if (!this.#changed) return
    this.#changed = false
    this.#host.presence.settle(this.#state.base)
    for (const mfn of this.#dropped.splice(0)) this.#host.frames.put(mfn)
  }

  /** Gives a reference to a frame back, with the lock held, once no entry that was known of leads
   * there. */
  drop(mfn: number): void {
    this.#dropped.push(mfn)
  }

  /** The entry of `gfn`; P2M_HOLE (0) for any number outside. */
  get(gfn: number): number {
    if (!(gfn >= 0 && gfn < GFN_LIMIT)) return P2M_HOLE
    const directory = this.#state.p2mDirectory
    if (directory === 0) return P2M_HOLE
    const leaf = this.#words[directory * LEAF_ENTRIES + (gfn >>> LEAF_SHIFT)]!
    if (leaf === 0) return P2M_HOLE
    return this.#words[leaf * LEAF_ENTRIES + (gfn & LEAF_ENTRIES - 1)]!
  }

  /** The frame behind `gfn` if it can be read (or written), else 0. */
  frame(gfn: number, write: boolean): number {
    let entry = this.get(gfn)
    if (p2mType(entry) === P2M_POD && this.#demand(gfn)) entry = this.get(gfn)
    const mask = write ? P2M_WRITABLE : P2M_READABLE
    return mask >>> (entry & P2M_TYPE_MASK) & 1 ? entry >>> P2M_MFN_SHIFT : 0
  }

  /** Machine address of a physical address, or -1 where there is nothing to read (or write). */
  translate(address: number, write: boolean): number {
    const gfn = Math.floor(address / 4096)
    const mfn = this.frame(gfn, write)
    return mfn === 0 ? -1 : mfn * 4096 + (address - gfn * 4096)
  }

  /**
   * Sets the entry of `gfn`, with the lock held: 0 or -ENOMEM. References and reservations are the
   * caller's affair.
   */
  set(gfn: number, type: number, mfn: number): number {
    const directory = this.#state.p2mDirectory
    if (directory === 0) return -ENOMEM
    const slot = directory * LEAF_ENTRIES + (gfn >>> LEAF_SHIFT)
    let leaf = this.#words[slot]!
    if (leaf === 0) {
      if (type === P2M_HOLE) return 0
      leaf = this.#newLeaf()
      if (leaf === 0) return -ENOMEM
      this.#words[slot] = leaf
    }
    const at = leaf * LEAF_ENTRIES + (gfn & LEAF_ENTRIES - 1)
    const before = this.#words[at]!
    const after = type === P2M_HOLE ? 0 : (mfn << P2M_MFN_SHIFT | type) >>> 0
    Atomics.store(this.#words, at, after)
    this.#account(gfn, before, after)
    return 0
  }

  /** Whether `set` of this gfn needs no further memory. */
  hasLeaf(gfn: number): boolean {
    const directory = this.#state.p2mDirectory
    return directory !== 0 && this.#words[directory * LEAF_ENTRIES + (gfn >>> LEAF_SHIFT)] !== 0
  }

  /** The first gfn from `from` on that is not a hole, or -1. */
  next(from: number): number {
    const directory = this.#state.p2mDirectory
    if (directory === 0) return -1
    for (let gfn = from; gfn < GFN_LIMIT;) {
      const leaf = this.#words[directory * LEAF_ENTRIES + (gfn >>> LEAF_SHIFT)]!
      if (leaf !== 0 && this.#words[leaf * LEAF_ENTRIES + (gfn & LEAF_ENTRIES - 1)] !== 0) {
        return gfn
      }
      gfn = leaf === 0 ? (gfn | LEAF_ENTRIES - 1) + 1 : gfn + 1
    }
    return -1
  }

  /** The last gfn before `end` that is not a hole, or -1. */
  before(end: number): number {
    const directory = this.#state.p2mDirectory
    if (directory === 0) return -1
    for (let gfn = Math.min(end, GFN_LIMIT) - 1; gfn >= 0;) {
      const leaf = this.#words[directory * LEAF_ENTRIES + (gfn >>> LEAF_SHIFT)]!
      if (leaf !== 0 && this.#words[leaf * LEAF_ENTRIES + (gfn & LEAF_ENTRIES - 1)] !== 0) {
        return gfn
      }
      gfn = leaf === 0 ? gfn - (gfn & LEAF_ENTRIES - 1) - 1 : gfn - 1
    }
    return -1
  }

  /** Makes the empty table: 0 or -ENOMEM. */
  create(): number {
    const mfn = this.#host.frames.allocateXen(this.#state.domid, P2M_FRAMES)
    if (mfn === 0) return -ENOMEM
    this.#state.p2mDirectory = mfn
    this.#state.p2mFrames = P2M_FRAMES
    return 0
  }

  /** Gives the table's own frames back; what the entries refer to is released before. */
  destroy(): void {
    const directory = this.#state.p2mDirectory
    if (directory === 0) return
    for (let i = 0; i < DIRECTORY_ENTRIES; i++) {
      const leaf = this.#words[directory * LEAF_ENTRIES + i]!
      if (leaf !== 0) this.#host.frames.releaseXen(leaf, 1)
    }
    this.#state.p2mDirectory = 0
    this.#state.p2mFrames = 0
    this.#host.frames.releaseXen(directory, P2M_FRAMES)
  }

  #newLeaf(): number {
    if (this.#state.p2mFrames >= P2M_FRAMES + this.#state.p2mFrameLimit) return 0
    const leaf = this.#host.frames.allocateXen(this.#state.domid, 1)
    if (leaf !== 0) this.#state.p2mFrames++
    return leaf
  }

  #account(gfn: number, before: number, after: number): void {
    if (after !== 0 && gfn > this.#state.maxGfn) this.#state.maxGfn = gfn
    if (isRam(before)) this.#host.frames.setGfn(p2mMfn(before), -1)
    if (isRam(after)) this.#host.frames.setGfn(p2mMfn(after), gfn)
    if (p2mType(before) === P2M_FOREIGN) this.#host.frameUses.written(p2mMfn(before))
    // Nobody knows of a page that was not there.
    if (before === 0 || p2mType(before) === P2M_POD) return
    atomicAdd(this.#state, DomainState.offsets.p2mGeneration, 1)
    this.#changed = true
  }
}
