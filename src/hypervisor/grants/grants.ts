/**
 * Grant tables of all domains as one thread sees them: using an entry, mapping, letting go.
 *
 * Obeys xen/include/public/grant_table.h, version 1. An entry's flags word is shared with the guest
 * and changed by compare-and-swap only. A use holds a reference to the frame, so that it outlives
 * even its owner. Each table has its domain's grants lock; no two are held at once.
 *
 * Left out: version 2 (status frames, sub-page and transitive grants), transfer.
 */
import { assert } from '../../base/assert.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { RankedLock } from '../../base/shared/lock.ts'
import { EINVAL, ENOMEM } from '../../abi/xen/errno.ts'
import {
  GNTST_bad_gntref, GNTST_bad_page, GNTST_general_error, GNTST_okay, GTF_permit_access,
  GTF_reading, GTF_readonly, GTF_type_mask, GTF_writing,
} from '../../abi/xen/grant_table.ts'
import type { Domain } from '../domain/domain.ts'
import { DomainState } from '../domain/state.ts'
import type { Host } from '../host/host.ts'
import type { GrantService, Subsystem } from '../host/services.ts'
import { LOCK_RANK } from '../host/state.ts'
import { Handles } from './handles.ts'
import {
  ACTIVE_BYTES, ActiveGrant, ENTRIES_PER_FRAME, GrantsState, MAX_GRANT_FRAMES, NO_HANDLE,
} from './state.ts'

/** A guest that changes an entry under us so often is refused. */
const CAS_TRIES = 64
const FLAG_CHANGES_ALLOWED = GTF_reading | GTF_writing

export type GrantsView = ViewOf<typeof GrantsState>

/** An entry that somebody uses. */
export interface GrantUse {
  readonly ref: number
  readonly domid: number
  readonly mfn: number
  readonly readers: number
  readonly writers: number
  /** What the guest's entry has now: to whom it grants which of its pages. */
  readonly flags: number
  readonly told: number
  readonly gfn: number
}

export class Grants implements GrantService, Subsystem {
  readonly name = 'grants'
  readonly host: Host
  readonly handles: Handles
  /** The frame and owner's right of the last `use` that succeeded. */
  mfn = 0
  readonly #state: GrantsView
  readonly #active: ViewOf<typeof ActiveGrant>
  readonly #lock: RankedLock

  constructor(host: Host) {
    this.host = host
    this.#state = GrantsState.on(host.hypervisor.buffer)
    this.#active = ActiveGrant.on(host.hypervisor.buffer)
    this.#lock = new RankedLock(host.hypervisor.cells, LOCK_RANK.grants, 'grants')
    this.handles = new Handles(host, this)
  }

  /** The grants of the thread that `host` belongs to. */
  static of(host: Host): Grants {
    const grants = host.services.grants
    assert(grants instanceof Grants, 'the host was assembled without grants')
    return grants
  }

  lock(domain: Domain): void {
    this.#lock.acquire(domain.address + DomainState.offsets.grantsLock)
  }

  unlock(domain: Domain): void {
    this.#lock.release(domain.address + DomainState.offsets.grantsLock)
  }

  stateOf(domain: Domain): GrantsView {
    return this.#state.at(domain.state.grantsAt)
  }

  domainCreated(domain: Domain): number {
    const at = this.host.heap.allocate(GrantsState.size)
    if (at === 0) return -ENOMEM
    domain.state.grantsAt = at
    this.stateOf(domain).freeHandle = NO_HANDLE
    if (this.limitOf(domain) === 0) return 0
    return this.#grow(domain) ? 0 : -ENOMEM
  }

  domainDestroyed(domain: Domain): void {
    const at = domain.state.grantsAt
    if (at === 0) return
    this.handles.releaseAll(domain)
    this.lock(domain)
    const state = this.stateOf(domain)
    const count = state.frameCount
    state.frameCount = 0
    for (let i = 0; i < count; i++) {
      this.host.frames.releaseXen(state.frames.get(i), 1)
      this.host.heap.release(state.active.get(i), ACTIVE_BYTES)
    }
    domain.state.grantsAt = 0
    this.host.heap.release(at, GrantsState.size)
    this.unlock(domain)
  }

  limitOf(domain: Domain): number {
    return Math.min(domain.state.maxGrantFrames, MAX_GRANT_FRAMES)
  }

  tableFrameCount(domain: Domain, status: boolean): number {
    return status || domain.state.grantsAt === 0 ? 0 : this.stateOf(domain).frameCount
  }

  tableFrame(domain: Domain, index: number, status: boolean): number {
    if (status || !(index >= 0 && index < this.limitOf(domain))) return -EINVAL
    if (domain.state.grantsAt === 0) return -EINVAL
    this.lock(domain)
    const mfn = this.growTo(domain, index + 1) ? this.stateOf(domain).frames.get(index) : -ENOMEM
    this.unlock(domain)
    return mfn
  }

  /** Makes the table have at least `count` frames; lock held. */
  growTo(domain: Domain, count: number): boolean {
    if (count > this.limitOf(domain)) return false
    while (this.stateOf(domain).frameCount < count) {
      if (!this.#grow(domain)) return false
    }
    return true
  }

  #grow(domain: Domain): boolean {
    const mfn = this.host.frames.allocateXen(domain.id, 1)
    if (mfn === 0) return false
    const active = this.host.heap.allocate(ACTIVE_BYTES)
    if (active === 0) {
      this.host.frames.releaseXen(mfn, 1)
      return false
    }
    const state = this.stateOf(domain)
    const index = state.frameCount
    state.frames.set(index, mfn)
    state.active.set(index, active)
    state.frameCount = index + 1
    return true
  }

  /**
   * Begins a use of `owner`'s grant `ref` by domain `user`: GNTST_okay with the frame, which then
   * has one reference more, in `mfn`; or GNTST_*.
   */
  use(owner: Domain, ref: number, user: number, write: boolean): number {
    this.lock(owner)
    const status = this.#useLocked(owner, ref, user, write)
    this.unlock(owner)
    return status
  }

  #useLocked(owner: Domain, ref: number, user: number, write: boolean): number {
    if (!this.#find(owner, ref)) return GNTST_bad_gntref
    const active = this.#active
    const cell = this.#entryCell(owner, ref)
    const idle = active.readers === 0 && active.writers === 0
    if (!idle && active.domid !== user) return GNTST_general_error
    const status = this.#mark(cell, user, write)
    if (status !== GNTST_okay) return status
    if (idle) {
      // The frame is read once: what the guest writes there during a use has no meaning.
      const gfn = this.host.machine.words[cell + 1]!
      const mfn = this.#frameOf(owner, gfn, write)
      if (mfn === 0) {
        this.#unmark(cell, GTF_reading | GTF_writing)
        return GNTST_bad_page
      }
      this.#find(owner, ref)
      active.mfn = mfn
      active.domid = user
    } else if (!this.host.frames.get(active.mfn)) {
      return GNTST_general_error
    }
    if (write) active.writers++
    else active.readers++
    this.mfn = active.mfn
    return GNTST_okay
  }

  /** The frame behind the owner's gfn, with a reference, or 0. A borrowed one is not passed on. */
  #frameOf(owner: Domain, gfn: number, write: boolean): number {
    owner.p2m.lock()
    const mfn = owner.p2m.frame(gfn, write)
    const own = mfn !== 0 && this.host.frames.owner(mfn) === owner.id
    const taken = own && this.host.frames.get(mfn)
    owner.p2m.unlock()
    return taken ? mfn : 0
  }

  /** Sets GTF_reading (and GTF_writing) if the entry permits it. */
  #mark(cell: number, user: number, write: boolean): number {
    const { cells } = this.host.machine
    const wanted = write ? GTF_reading | GTF_writing : GTF_reading
    for (let i = 0; i < CAS_TRIES; i++) {
      const word = Atomics.load(cells, cell)
      const flags = word & 0xffff
      if ((flags & GTF_type_mask) !== GTF_permit_access || word >>> 16 !== user) {
        return GNTST_general_error
      }
      if (write && flags & GTF_readonly) return GNTST_general_error
      if (Atomics.compareExchange(cells, cell, word, word | wanted) === word) return GNTST_okay
    }
    return GNTST_general_error
  }

  #unmark(cell: number, flags: number): void {
    Atomics.and(this.host.machine.cells, cell, ~(flags & FLAG_CHANGES_ALLOWED))
  }

  /** Ends a use that began with the same arguments, and gives its frame back. */
  endUse(owner: Domain, ref: number, write: boolean, mfn: number): void {
    if (write) this.host.frameUses.written(mfn)
    this.lock(owner)
    if (this.#find(owner, ref)) {
      const active = this.#active
      if (write) active.writers--
      else active.readers--
      const cell = this.#entryCell(owner, ref)
      if (active.writers === 0) this.#unmark(cell, GTF_writing)
      if (active.writers === 0 && active.readers === 0) this.#unmark(cell, GTF_reading)
    }
    this.unlock(owner)
    this.host.frames.put(mfn)
  }

  /** What is used of a table: each entry with its uses, and what the guest says there. */
  *uses(owner: Domain): Generator<GrantUse> {
    const count = this.tableFrameCount(owner, false) * ENTRIES_PER_FRAME
    for (let ref = 0; ref < count; ref++) {
      if (!this.#find(owner, ref)) return
      const { domid, mfn, readers, writers } = this.#active
      if (readers === 0 && writers === 0) continue
      const { words } = this.host.machine
      const cell = this.#entryCell(owner, ref)
      yield {
        ref, domid, mfn, readers, writers,
        flags: words[cell]! & 0xffff, told: words[cell]! >>> 16, gfn: words[cell + 1]!,
      }
    }
  }

  /** Moves the view of uses to `ref`; false when the table does not reach so far. */
  #find(owner: Domain, ref: number): boolean {
    if (owner.state.grantsAt === 0) return false
    const state = this.stateOf(owner)
    const frame = Math.floor(ref / ENTRIES_PER_FRAME)
    if (frame >= state.frameCount) return false
    this.#active.at(state.active.get(frame) + ref % ENTRIES_PER_FRAME * ActiveGrant.size)
    return true
  }

  /** Index, in machine memory's words, of the entry's first word. */
  #entryCell(owner: Domain, ref: number): number {
    const frame = this.stateOf(owner).frames.get(Math.floor(ref / ENTRIES_PER_FRAME))
    return frame * 1024 + ref % ENTRIES_PER_FRAME * 2
  }
}
