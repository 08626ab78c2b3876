/**
 * A domain's physical-to-machine table: what each of its page frames is.
 *
 * The format (cpu/p2m-format.ts) is read by the processor's page walker without locks, so an entry
 * is one aligned word and changes at once; writers hold the domain's p2m lock. What an entry lost
 * may still be known to processors that run the domain: `unlock` waits until they have noticed, and
 * only then gives references back.
 *
 * A superpage is split into a leaf of single entries before one of them changes, and stays split.
 * A leaf, once there, stays until the domain goes; it is half a frame, of which the other half is
 * for the leaf of its neighbour. A frame for it is claimed as long as there are superpages only, so
 * that splitting cannot fail. Both count towards the domain's limit, so a guest that scatters its
 * pages is refused in time.
 */
import { assert } from '../../base/assert.ts'
import { atomicAdd } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { DIRECTORY_ENTRIES, entryWithin, LEAF_ENTRIES, LEAF_SHIFT, P2M_FOREIGN, P2M_GRANT_RO,
  P2M_GRANT_RW, P2M_HOLE, P2M_MFN_SHIFT, P2M_POD, P2M_RAM_RO, P2M_RAM_RW, P2M_READABLE,
  P2M_TYPE_MASK, P2M_WRITABLE } from '../../cpu/p2m-format.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import { DomainState } from '../domain/state.ts'
import type { Host } from '../host/host.ts'
import { LOCK_RANK } from '../host/state.ts'
import type { Claimant } from './frames.ts'

/** In a frame. */
const WORDS = 1024
const P2M_FRAMES = DIRECTORY_ENTRIES / WORDS
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

function isSuperpage(word: number): boolean {
  return (word & P2M_TYPE_MASK) !== P2M_HOLE
}

function isLeaf(word: number): boolean {
  return word !== 0 && !isSuperpage(word)
}

function entryOf(type: number, mfn: number): number {
  return type === P2M_HOLE ? 0 : (mfn << P2M_MFN_SHIFT | type) >>> 0
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
  /** Claims the frames into whose leaves superpages will be split. */
  readonly #kept: Claimant

  /** `demand` is asked to give RAM to what is populated on demand. */
  constructor(
    host: Host, state: ViewOf<typeof DomainState>, demand: (gfn: number) => boolean,
  ) {
    this.#host = host
    this.#state = state
    this.#demand = demand
    this.#words = host.machine.words
    this.#kept = {
      get claimedPages() { return state.p2mKept },
      set claimedPages(count) { state.p2mKept = count },
    }
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
    if (!(gfn >= 0 && gfn < GFN_LIMIT) || this.#state.p2mDirectory === 0) return P2M_HOLE
    return this.#entryIn(this.#words[this.#slotOf(gfn)]!, gfn)
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
   * Sets the entry of `gfn`, with the lock held: 0 or -ENOMEM, which cannot be where the gfn is
   * part of a superpage. References and reservations are the caller's affair.
   */
  set(gfn: number, type: number, mfn: number): number {
    if (this.#state.p2mDirectory === 0) return -ENOMEM
    const slot = this.#slotOf(gfn)
    if (type === P2M_HOLE && this.#words[slot] === 0) return 0
    const leaf = this.#leafOf(slot)
    if (leaf === 0) return -ENOMEM
    const at = (leaf >>> 2) + (gfn & LEAF_ENTRIES - 1)
    const before = this.#words[at]!
    const after = entryOf(type, mfn)
    Atomics.store(this.#words, at, after)
    this.#account(gfn, before, after)
    return 0
  }

  /**
   * Sets `count` entries from `gfn` on to RAM in frames in a row from `mfn` on, or to POD, with the
   * lock held: how many. Superpages come where they fit and there was never anything.
   */
  setRow(gfn: number, type: number, mfn: number, count: number): number {
    for (let i = 0; i < count;) {
      const frame = type === P2M_POD ? 0 : mfn + i
      if (count - i >= LEAF_ENTRIES && this.#setSuperpage(gfn + i, type, frame)) i += LEAF_ENTRIES
      else if (this.set(gfn + i, type, frame) === 0) i++
      else return i
    }
    return count
  }

  /** Sees to it that `set` of this gfn needs no more memory, with the lock held: 0 or -ENOMEM. */
  prepare(gfn: number): number {
    if (this.#state.p2mDirectory === 0) return -ENOMEM
    return this.#leafOf(this.#slotOf(gfn)) === 0 ? -ENOMEM : 0
  }

  /** The last gfn before `end` that is not a hole, or -1. */
  before(end: number): number {
    if (this.#state.p2mDirectory === 0) return -1
    for (let gfn = Math.min(end, GFN_LIMIT) - 1; gfn >= 0;) {
      const word = this.#words[this.#slotOf(gfn)]!
      if (this.#entryIn(word, gfn) !== P2M_HOLE) return gfn
      gfn = word === 0 ? gfn - (gfn & LEAF_ENTRIES - 1) - 1 : gfn - 1
    }
    return -1
  }

  /** How many superpages there are. */
  get superpages(): number {
    if (this.#state.p2mDirectory === 0) return 0
    const first = this.#slotOf(0)
    return this.#words.subarray(first, first + DIRECTORY_ENTRIES).filter(isSuperpage).length
  }

  /** Makes holes of all that there is, with the lock held; drops what was borrowed of others. */
  empty(): void {
    if (this.#state.p2mDirectory === 0) return
    for (let gfn = 0; gfn < GFN_LIMIT; gfn += LEAF_ENTRIES) {
      const slot = this.#slotOf(gfn)
      const word = this.#words[slot]!
      if (word === 0) continue
      if (isSuperpage(word)) Atomics.store(this.#words, slot, 0)
      for (let i = gfn; i < gfn + LEAF_ENTRIES; i++) {
        const entry = this.#entryIn(word, i)
        if (isSuperpage(word)) this.#account(i, entry, P2M_HOLE)
        else if (entry !== P2M_HOLE) this.set(i, P2M_HOLE, 0)
        if (p2mType(entry) === P2M_FOREIGN) this.drop(p2mMfn(entry))
      }
    }
  }

  /** Makes the empty table: 0 or -ENOMEM. */
  create(): number {
    const mfn = this.#host.frames.allocateXen(this.#state.domid, P2M_FRAMES)
    if (mfn === 0) return -ENOMEM
    this.#state.p2mDirectory = mfn
    this.#state.p2mFrames = P2M_FRAMES
    return 0
  }

  /** Gives the table's own frames back, once it is empty. */
  destroy(): void {
    const directory = this.#state.p2mDirectory
    if (directory === 0) return
    const { frames } = this.#host
    const first = this.#slotOf(0)
    for (let slot = first; slot < first + DIRECTORY_ENTRIES; slot += 2) {
      const leaf = this.#words[slot]! || this.#words[slot + 1]!
      if (leaf !== 0) frames.releaseXen(leaf >>> 12, 1)
    }
    frames.claim(this.#kept, 0)
    this.#state.p2mDirectory = 0
    this.#state.p2mFrames = 0
    frames.releaseXen(directory, P2M_FRAMES)
  }

  /** Where the directory has its word for `gfn`. */
  #slotOf(gfn: number): number {
    return this.#state.p2mDirectory * WORDS + (gfn >>> LEAF_SHIFT)
  }

  /** The entry of `gfn`, of which the directory has `word`. */
  #entryIn(word: number, gfn: number): number {
    if (isSuperpage(word)) return entryWithin(word, gfn)
    return word === 0 ? P2M_HOLE : this.#words[(word >>> 2) + (gfn & LEAF_ENTRIES - 1)]!
  }

  /** Makes a superpage: false where the place is not one for it, or without memory for a leaf. */
  #setSuperpage(gfn: number, type: number, mfn: number): boolean {
    const slot = this.#slotOf(gfn)
    if (((gfn | mfn) & LEAF_ENTRIES - 1) !== 0 || this.#words[slot] !== 0) return false
    if (!this.#keepLeaf(slot)) return false
    const word = entryOf(type, mfn)
    Atomics.store(this.#words, slot, word)
    for (let i = gfn; i < gfn + LEAF_ENTRIES; i++) this.#account(i, P2M_HOLE, entryWithin(word, i))
    return true
  }

  /** The address of a slot's leaf, which is made if there is none; 0 without memory for it. */
  #leafOf(slot: number): number {
    const word = this.#words[slot]!
    if (isLeaf(word)) return word
    const frame = this.#leafFrame(slot)
    if (frame === 0) {
      assert(!isSuperpage(word), 'a frame is kept for what superpages are split into')
      return 0
    }
    const leaf = frame * 4096 + (slot & 1) * LEAF_ENTRIES * 4
    if (isSuperpage(word)) {
      for (let i = 0; i < LEAF_ENTRIES; i++) this.#words[(leaf >>> 2) + i] = entryWithin(word, i)
    }
    // Those who walk find the superpage until now, and the whole leaf from now on.
    Atomics.store(this.#words, slot, leaf)
    return leaf
  }

  /** A frame for the leaves of a slot and its neighbour: theirs, the one kept for them, or another;
   * 0 if there is none. */
  #leafFrame(slot: number): number {
    const neighbour = this.#words[slot ^ 1]!
    if (isLeaf(neighbour)) return neighbour >>> 12
    const isKept = isSuperpage(neighbour) || isSuperpage(this.#words[slot]!)
    if (!isKept && this.#isFull()) return 0
    const kept = isKept ? this.#kept : undefined
    const frame = this.#host.frames.allocateXen(this.#state.domid, 1, kept)
    if (frame !== 0) this.#state.p2mFrames++
    return frame
  }

  /** Makes sure that there will be a leaf when a superpage in a slot must be split. */
  #keepLeaf(slot: number): boolean {
    // The neighbour's frame, or what is kept for it, is enough for both.
    if (this.#words[slot ^ 1] !== 0) return true
    return !this.#isFull() && this.#host.frames.claim(this.#kept, this.#kept.claimedPages + 1)
  }

  #isFull(): boolean {
    const { p2mFrames, p2mKept, p2mFrameLimit } = this.#state
    return p2mFrames + p2mKept >= P2M_FRAMES + p2mFrameLimit
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
