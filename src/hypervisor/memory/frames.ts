/**
 * The frame table: who owns each frame of machine memory, and how often it is referred to.
 *
 * A frame with references is not given to another owner. The owner's own right to it is one
 * reference, each mapping elsewhere (grant, foreign) another; the last to go frees it, and a freed
 * frame is zero. Frame 0 is never given out: 0 means none.
 */
import { assert } from '../../base/assert.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { atomicAdd } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import type { Region } from '../../base/shared/region.ts'
import { DOMID_INVALID } from '../../abi/xen/xen.ts'
import { ALL_NODES, type NodeView, nodesOf } from '../host/nodes.ts'
import { HostState, LOCK_RANK } from '../host/state.ts'
import type { FrameContent } from './frame-content.ts'
import { FRAME, type FramePresence } from './frame-presence.ts'

/** Words of a frame's entry: owner and flags, references, gfn in its owner, presence. */
export const FRAME_ENTRY_WORDS = 4
const OWNER = 0
const REFERENCES = 1
const GFN = 2
const PRESENCE = 3

const OWNER_MASK = 0xffff
/** Given out. */
const ALLOCATED = 1 << 16
/** Xen's page, shown to the owner (shared_info, grant table): not part of its reservation. */
const XEN_PAGE = 1 << 17

const NO_GFN = 0xffff_ffff

/** Who has claimed frames: a domain's state. */
export interface Claimant {
  /** Claimed and not got yet. */
  claimedPages: number
}

const NOBODY: Claimant = { claimedPages: 0 }

export class Frames {
  readonly #host: ViewOf<typeof HostState>
  readonly #words: Uint32Array
  readonly #cells: Int32Array
  readonly content: FrameContent
  readonly #table: number
  readonly #bitmap: number
  readonly #count: number
  readonly #nodes: readonly NodeView[]
  readonly #lock: RankedLock
  readonly #freed: (mfn: number) => void

  /** `freed` is told of each frame before it can be another's. */
  constructor(hypervisor: Region, content: FrameContent, freed: (mfn: number) => void) {
    this.#freed = freed
    this.content = content
    this.#host = HostState.on(hypervisor.buffer)
    this.#words = hypervisor.words
    this.#cells = hypervisor.cells
    this.#table = this.#host.frameTableAt >>> 2
    this.#bitmap = this.#host.bitmapAt >>> 2
    this.#count = this.#host.machineFrames
    this.#nodes = nodesOf(this.#host, hypervisor.buffer, HostState.offsets.nodes)
    this.#lock = new RankedLock(hypervisor.cells, LOCK_RANK.frames, 'frames')
  }

  /** Frames in which there is memory. */
  get total(): number {
    return this.#nodes.reduce((sum, { frames }) => sum + frames, 0)
  }

  get free(): number {
    return this.#host.freeFrames
  }

  /** Promised to domains that have claimed them. */
  get claimed(): number {
    return this.#host.claimedFrames
  }

  /** One zeroed frame for `owner`, of the `nodes` if they have one, else of others; or 0. */
  allocate(
    owner: number, nodes = ALL_NODES, others = ~nodes & ALL_NODES, claimant = NOBODY,
  ): number {
    return this.#give(owner, 1, 1, 0, nodes, others, claimant)
  }

  /** `count` zeroed frames in a row, the first a multiple of `align`; or 0. */
  allocateRow(
    owner: number, count: number, align: number, nodes = ALL_NODES, others = ~nodes & ALL_NODES,
    claimant = NOBODY,
  ): number {
    return this.#give(owner, count, align, 0, nodes, others, claimant)
  }

  /**
   * Promises `count` of the free frames to a domain, or none any more: what is promised is given to
   * nobody else. False when not so many are free and unclaimed.
   */
  claim(claimant: Claimant, count: number): boolean {
    const lockAt = HostState.offsets.framesLock
    this.#lock.acquire(lockAt)
    const others = this.#host.claimedFrames - claimant.claimedPages
    const fits = count === 0 || others + count <= this.#host.freeFrames
    if (fits) {
      this.#host.claimedFrames = others + count
      claimant.claimedPages = count
    }
    this.#lock.release(lockAt)
    return fits
  }

  /** How many frames of a node are free. */
  freeOf(node: number): number {
    if (this.#nodes.length === 1) return this.free
    let free = 0
    const { firstFrame, frames } = this.#nodes[node]!
    const end = firstFrame + frames
    for (let mfn = firstFrame; mfn < end; mfn++) {
      const word = this.#words[this.#bitmap + (mfn >>> 5)]!
      if (word === 0xffff_ffff) mfn |= 31
      else if ((word >>> (mfn & 31) & 1) === 0) free++
    }
    return free
  }

  /** Zeroed frames in a row that Xen keeps for `owner`, outside its reservation; or 0. */
  allocateXen(owner: number, count: number, claimant = NOBODY): number {
    const mfn = this.#give(owner, count, 1, XEN_PAGE, ALL_NODES, 0, claimant)
    if (mfn !== 0) atomicAdd(this.#host, HostState.offsets.xenFrames, count)
    return mfn
  }

  /** Ends Xen's own use of frames got by allocateXen; those mapped elsewhere outlive it. */
  releaseXen(mfn: number, count: number): void {
    for (let i = 0; i < count; i++) this.disown(mfn + i)
    atomicAdd(this.#host, HostState.offsets.xenFrames, -count)
  }

  owner(mfn: number): number {
    if (mfn <= 0 || mfn >= this.#count) return DOMID_INVALID
    const word = this.#words[this.#entry(mfn) + OWNER]!
    return word & ALLOCATED ? word & OWNER_MASK : DOMID_INVALID
  }

  isXenPage(mfn: number): boolean {
    return (this.#words[this.#entry(mfn) + OWNER]! & XEN_PAGE) !== 0
  }

  /** Whether `mfn` is part of `domid`'s own reservation. */
  isReserved(mfn: number, domid: number): boolean {
    if (mfn <= 0 || mfn >= this.#count) return false
    return this.#words[this.#entry(mfn) + OWNER] === (ALLOCATED | domid)
  }

  references(mfn: number): number {
    return Atomics.load(this.#cells, this.#entry(mfn) + REFERENCES)
  }

  /** Takes a reference; false when the frame is free (or no frame at all). */
  get(mfn: number): boolean {
    if (mfn <= 0 || mfn >= this.#count) return false
    const cell = this.#entry(mfn) + REFERENCES
    for (;;) {
      const seen = Atomics.load(this.#cells, cell)
      if (seen <= 0) return false
      if (Atomics.compareExchange(this.#cells, cell, seen, seen + 1) === seen) return true
    }
  }

  /** Gives a reference back; the last one frees the frame. */
  put(mfn: number): void {
    if (this.#endsWith(mfn)) this.#free(mfn, 1)
  }

  /** Gives a reference back; whether it was the last one. */
  #endsWith(mfn: number): boolean {
    const before = Atomics.sub(this.#cells, this.#entry(mfn) + REFERENCES, 1)
    assert(before > 0, `frame ${mfn} had no reference`)
    return before === 1
  }

  /** The owner gives the frame up, and its reference: whoever still maps it keeps it alive. */
  disown(mfn: number): void {
    this.abandon(mfn)
    this.put(mfn)
  }

  /** Every frame of `domid`'s own reservation is given up. */
  disownAll(domid: number): void {
    for (const { firstFrame, frames } of this.#nodes) {
      const end = firstFrame + frames
      let first = firstFrame
      for (let mfn = firstFrame; mfn <= end; mfn++) {
        if (mfn < end && this.isReserved(mfn, domid)) {
          this.abandon(mfn)
          if (this.#endsWith(mfn)) continue
        }
        if (first < mfn) this.#free(first, mfn - first)
        first = mfn + 1
      }
    }
  }

  /** The frame has no owner any more; the reference that the owner had is to be put. */
  abandon(mfn: number): void {
    this.#words[this.#entry(mfn) + OWNER] = ALLOCATED | DOMID_INVALID
  }

  /** Where the owner has the frame in its physical memory, or -1. */
  gfnOf(mfn: number): number {
    const gfn = this.#words[this.#entry(mfn) + GFN]!
    return gfn === NO_GFN ? -1 : gfn
  }

  setGfn(mfn: number, gfn: number): void {
    this.#words[this.#entry(mfn) + GFN] = gfn < 0 ? NO_GFN : gfn
  }

  /** Whether there is memory. */
  has(mfn: number): boolean {
    return this.#nodeOf(mfn) !== undefined
  }

  presence(mfn: number): FramePresence {
    return this.#words[this.#entry(mfn) + PRESENCE]! as FramePresence
  }

  /** Takes a frame out of use, at once if it is free and none of the claimed: what it is then. */
  takeOffline(mfn: number): FramePresence {
    return this.#change(mfn, (presence, free) => {
      if (free && this.#host.claimedFrames >= this.#host.freeFrames) return presence
      return free || presence === FRAME.offline ? FRAME.offline : FRAME.offlining
    })
  }

  /** Ends that. */
  takeOnline(mfn: number): void {
    this.#change(mfn, () => FRAME.online)
  }

  /**
   * There is memory in `count` frames from `mfn` from now on, behind what node `node` has: false if
   * there is no room for it there.
   */
  add(mfn: number, count: number, node: number): boolean {
    const grown = this.#nodes[node]
    const lockAt = HostState.offsets.framesLock
    this.#lock.acquire(lockAt)
    const fits = grown !== undefined && mfn === grown.firstFrame + grown.frames
      && grown.frames + count <= grown.room
    if (fits) {
      grown.frames += count
      this.#host.freeFrames += count
    }
    this.#lock.release(lockAt)
    return fits
  }

  /** Makes a frame what `next` says, given what it is and whether it is free. */
  #change(
    mfn: number, next: (presence: FramePresence, free: boolean) => FramePresence,
  ): FramePresence {
    const lockAt = HostState.offsets.framesLock
    this.#lock.acquire(lockAt)
    const word = this.#bitmap + (mfn >>> 5)
    const bit = 1 << (mfn & 31)
    const before = this.presence(mfn)
    const free = (this.#words[word]! & bit) === 0
    const after = next(before, free)
    this.#words[this.#entry(mfn) + PRESENCE] = after
    if (free && after !== FRAME.online) {
      this.#words[word]! |= bit
      this.#host.freeFrames--
    } else if (before === FRAME.offline && after === FRAME.online) {
      this.#words[word]! &= ~bit
      this.#host.freeFrames++
    }
    this.#lock.release(lockAt)
    return after
  }

  #entry(mfn: number): number {
    return this.#table + mfn * FRAME_ENTRY_WORDS
  }

  #give(
    owner: number, count: number, align: number, flags: number, nodes: number, others: number,
    claimant: Claimant,
  ): number {
    if (this.#host.freeFrames < count) return 0
    const lockAt = HostState.offsets.framesLock
    this.#lock.acquire(lockAt)
    const mayHave = claimant.claimedPages >= count ||
      this.#host.claimedFrames + count <= this.#host.freeFrames
    let mfn = mayHave ? this.#find(count, align, nodes) : 0
    if (mayHave && mfn === 0) mfn = this.#find(count, align, others)
    if (mfn !== 0) {
      this.#mark(mfn, count, owner | ALLOCATED | flags)
      const kept = Math.min(claimant.claimedPages, count)
      if (kept > 0) {
        claimant.claimedPages -= kept
        this.#host.claimedFrames -= kept
      }
    }
    this.#lock.release(lockAt)
    return mfn
  }

  #mark(mfn: number, count: number, word: number): void {
    for (let i = mfn; i < mfn + count; i++) {
      this.#words[this.#bitmap + (i >>> 5)]! |= 1 << (i & 31)
      const entry = this.#entry(i)
      this.#words[entry + OWNER] = word
      this.#words[entry + GFN] = NO_GFN
      Atomics.store(this.#cells, entry + REFERENCES, 1)
    }
    this.#host.freeFrames -= count
  }

  #find(count: number, align: number, nodes: number): number {
    for (let i = 0; i < this.#nodes.length; i++) {
      if ((nodes >>> i & 1) === 0) continue
      const node = this.#nodes[i]!
      const mfn = count === 1 ? this.#findOne(node) : this.#findRow(node, count, align)
      if (mfn !== 0) return mfn
    }
    return 0
  }

  #findOne(node: NodeView): number {
    const first = node.firstFrame >>> 5
    const last = node.firstFrame + node.frames
    const end = last + 31 >>> 5
    let word = Math.max(node.allocHint, first)
    for (let i = first; i < end; i++, word = word + 1 < end ? word + 1 : first) {
      const used = this.#words[this.#bitmap + word]!
      if (used === 0xffff_ffff) continue
      const bit = 31 - Math.clz32(~used & used + 1)
      const mfn = word * 32 + bit
      if (mfn >= last) continue
      node.allocHint = word
      return mfn
    }
    return 0
  }

  /** First fit from above, so that single frames and rows seldom meet. */
  #findRow(node: NodeView, count: number, align: number): number {
    const first = Math.max(node.firstFrame, 1)
    const end = node.firstFrame + node.frames
    for (let mfn = Math.floor((end - count) / align) * align; mfn >= first;) {
      const used = this.#lastUsed(mfn, count)
      if (used < 0) return mfn
      mfn = Math.floor((used - count) / align) * align
    }
    return 0
  }

  /** The highest frame in use among `count` from `mfn`, or -1. */
  #lastUsed(mfn: number, count: number): number {
    for (let i = mfn + count - 1; i >= mfn; i--) {
      const word = this.#words[this.#bitmap + (i >>> 5)]!
      if (word >>> (i & 31) & 1) return i
      if (word === 0 && (i | 31) - 31 > mfn) i &= ~31
    }
    return -1
  }

  /** Frees `count` frames from `mfn` to which nobody refers. */
  #free(mfn: number, count: number): void {
    this.content.clear(mfn, count)
    for (let i = mfn; i < mfn + count; i++) this.#release(i)
  }

  #release(mfn: number): void {
    this.#freed(mfn)
    const lockAt = HostState.offsets.framesLock
    this.#lock.acquire(lockAt)
    const entry = this.#entry(mfn)
    this.#words[entry + OWNER] = 0
    this.#words[entry + GFN] = NO_GFN
    if (this.#words[entry + PRESENCE] === FRAME.offlining) {
      this.#words[entry + PRESENCE] = FRAME.offline
    } else {
      this.#words[this.#bitmap + (mfn >>> 5)]! &= ~(1 << (mfn & 31))
      this.#host.freeFrames++
      // It is given out before any that the system has not yet had to find memory for.
      const node = this.#nodeOf(mfn)!
      node.allocHint = Math.min(node.allocHint, mfn >>> 5)
    }
    this.#lock.release(lockAt)
  }

  #nodeOf(mfn: number): NodeView | undefined {
    return this.#nodes.find(({ firstFrame, frames }) =>
      mfn >= firstFrame && mfn < firstFrame + frames)
  }
}
