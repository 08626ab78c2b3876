/**
 * What a domain has mapped of other domains' grants: the list by handle.
 *
 * A mapping appears in the mapper's physical memory at the frame it names, which must be a hole.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import {
  GNTMAP_readonly, GNTST_bad_handle, GNTST_bad_virt_addr, GNTST_general_error,
  GNTST_no_device_space, GNTST_okay,
} from '../../abi/xen/grant_table.ts'
import { P2M_GRANT_RO, P2M_GRANT_RW, P2M_HOLE } from '../../cpu/p2m-format.ts'
import type { Domain } from '../domain/domain.ts'
import type { Host } from '../host/host.ts'
import { GFN_LIMIT, p2mMfn } from '../memory/p2m.ts'
import type { Grants } from './grants.ts'
import {
  HANDLE_BYTES, HANDLES_PER_FRAME, Mapping, MAX_MAPTRACK_FRAMES, NO_GFN, NO_HANDLE,
} from './state.ts'

export type MappingView = ViewOf<typeof Mapping>

export class Handles {
  readonly #host: Host
  readonly #grants: Grants
  readonly #mapping: MappingView

  constructor(host: Host, grants: Grants) {
    this.#host = host
    this.#grants = grants
    this.#mapping = Mapping.on(host.hypervisor.buffer)
  }

  /**
   * Maps `owner`'s grant for `mapper` at gfn `gfn`: the handle, or GNTST_*.
   * The machine frame is then in `grants.mfn`.
   */
  map(mapper: Domain, owner: Domain, ref: number, flags: number, gfn: number): number {
    const handle = this.#take(mapper)
    if (handle < 0) return handle
    const write = (flags & GNTMAP_readonly) === 0
    let status = this.#grants.use(owner, ref, mapper.id, write)
    const { mfn } = this.#grants
    if (status === GNTST_okay) {
      status = this.#show(mapper, gfn, write ? P2M_GRANT_RW : P2M_GRANT_RO, mfn)
      if (status !== GNTST_okay) this.#grants.endUse(owner, ref, write, mfn)
    }
    this.#grants.lock(mapper)
    this.#find(mapper, handle)
    const mapping = this.#mapping
    if (status === GNTST_okay) {
      mapping.used = 1
      mapping.owner = owner.id
      mapping.ownerSerial = owner.serial
      mapping.ref = ref
      mapping.mfn = mfn
      mapping.flags = flags
      mapping.gfn = gfn
      this.#grants.stateOf(mapper).mapped++
    } else {
      this.#giveBack(mapper, handle)
    }
    this.#grants.unlock(mapper)
    return status === GNTST_okay ? handle : status
  }

  /** Ends a mapping; `gfn` must be where it is, unless it is NO_GFN: GNTST_*. */
  unmap(mapper: Domain, handle: number, gfn: number): number {
    this.#grants.lock(mapper)
    if (!this.#find(mapper, handle) || this.#mapping.used === 0) {
      this.#grants.unlock(mapper)
      return GNTST_bad_handle
    }
    const mapping = this.#mapping
    const { owner, ownerSerial, ref, mfn, flags, gfn: shownAt } = mapping
    if (gfn !== NO_GFN && gfn !== shownAt) {
      this.#grants.unlock(mapper)
      return GNTST_bad_virt_addr
    }
    this.#grants.stateOf(mapper).mapped--
    this.#giveBack(mapper, handle)
    this.#grants.unlock(mapper)
    this.#hide(mapper, shownAt, mfn)
    this.#end(owner, ownerSerial, ref, (flags & GNTMAP_readonly) === 0, mfn)
    return GNTST_okay
  }

  /** How many mappings `domain` has. */
  count(domain: Domain): number {
    return domain.state.grantsAt === 0 ? 0 : this.#grants.stateOf(domain).mapped
  }

  /** Ends all mappings of a domain that goes. */
  releaseAll(mapper: Domain): void {
    const limit = this.#grants.stateOf(mapper).handleFrames * HANDLES_PER_FRAME
    for (let handle = 0; handle < limit; handle++) {
      this.#grants.lock(mapper)
      const used = this.#find(mapper, handle) && this.#mapping.used !== 0
      this.#grants.unlock(mapper)
      if (used) this.unmap(mapper, handle, NO_GFN)
    }
    this.#grants.lock(mapper)
    const state = this.#grants.stateOf(mapper)
    for (let i = 0; i < state.handleFrames; i++) {
      this.#host.heap.release(state.handles.get(i), HANDLE_BYTES)
    }
    state.handleFrames = 0
    state.freeHandle = NO_HANDLE
    this.#grants.unlock(mapper)
  }

  /** The owner may be gone, and its domid another's: then only the frame is left to give back. */
  #end(owner: number, serial: number, ref: number, write: boolean, mfn: number): void {
    const domain = this.#host.domain(owner)
    if (domain && domain.serial === serial) this.#grants.endUse(domain, ref, write, mfn)
    else this.#host.frames.put(mfn)
  }

  #show(mapper: Domain, gfn: number, type: number, mfn: number): number {
    if (!(gfn >= 0 && gfn < GFN_LIMIT)) return GNTST_bad_virt_addr
    const { p2m } = mapper
    p2m.lock()
    let status: number = GNTST_general_error
    if (p2m.get(gfn) === P2M_HOLE) {
      status = p2m.set(gfn, type, mfn) === 0 ? GNTST_okay : GNTST_no_device_space
    }
    p2m.unlock()
    return status
  }

  #hide(mapper: Domain, gfn: number, mfn: number): void {
    const { p2m } = mapper
    p2m.lock()
    if (p2mMfn(p2m.get(gfn)) === mfn) p2m.set(gfn, P2M_HOLE, 0)
    p2m.unlock()
  }

  /** A free handle of `mapper`, or GNTST_no_device_space. */
  #take(mapper: Domain): number {
    this.#grants.lock(mapper)
    const state = this.#grants.stateOf(mapper)
    if (state.freeHandle === NO_HANDLE) this.#grow(mapper)
    const handle = state.freeHandle
    if (handle !== NO_HANDLE && this.#find(mapper, handle)) {
      state.freeHandle = this.#mapping.ref
    }
    this.#grants.unlock(mapper)
    return handle === NO_HANDLE ? GNTST_no_device_space : handle
  }

  #giveBack(mapper: Domain, handle: number): void {
    const state = this.#grants.stateOf(mapper)
    this.#mapping.used = 0
    this.#mapping.ref = state.freeHandle
    state.freeHandle = handle
  }

  #grow(mapper: Domain): void {
    const state = this.#grants.stateOf(mapper)
    const frame = state.handleFrames
    if (frame >= Math.min(mapper.state.maxMaptrackFrames, MAX_MAPTRACK_FRAMES)) return
    const block = this.#host.heap.allocate(HANDLE_BYTES)
    if (block === 0) return
    state.handles.set(frame, block)
    state.handleFrames = frame + 1
    for (let i = HANDLES_PER_FRAME - 1; i >= 0; i--) {
      const handle = frame * HANDLES_PER_FRAME + i
      this.#find(mapper, handle)
      this.#giveBack(mapper, handle)
    }
  }

  #find(mapper: Domain, handle: number): boolean {
    const state = this.#grants.stateOf(mapper)
    const frame = Math.floor(handle / HANDLES_PER_FRAME)
    if (frame >= state.handleFrames) return false
    this.#mapping.at(state.handles.get(frame) + handle % HANDLES_PER_FRAME * Mapping.size)
    return true
  }
}
