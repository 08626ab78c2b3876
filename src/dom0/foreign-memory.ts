/**
 * libxenforeignmemory: other domains' pages by frame number.
 */
import { asDomid, asGfn, type Domid, type Gfn } from '../abi/numbers.ts'
import { errnoName } from '../abi/xen/errno.ts'
import { XENMAPSPACE_gmfn_foreign, XENMEM_add_to_physmap_batch, XenAddToPhysmapBatch } from
  '../abi/xen/memory.ts'
import { __HYPERVISOR_memory_op, DOMID_SELF } from '../abi/xen/xen.ts'
import { type ForeignMemory, type Mapping, XenError } from './interfaces.ts'
import type { Window } from './window.ts'

const PAGE = 4096
/** Pages a call: their lists must fit the buffer. */
const PAGES_PER_CALL = 2048
const CALL = 'xenforeignmemory_map'

export class ForeignMemoryClient implements ForeignMemory {
  readonly #window: Window

  constructor(window: Window) {
    this.#window = window
  }

  map(domid: Domid, gfns: readonly Gfn[]): Mapping {
    const window = this.#window
    const here = window.take(gfns.length)
    const drop = (): void => {
      window.remove(here)
      window.giveBack(here)
    }
    for (let done = 0; done < gfns.length; done += PAGES_PER_CALL) {
      const end = done + PAGES_PER_CALL
      const errno = this.#add(domid, gfns.slice(done, end), here.slice(done, end))
      if (errno === 0) continue
      drop()
      throw new XenError(CALL, errno, errnoName(errno))
    }
    return window.mapping(here, drop)
  }

  mapThose(
    domid: Domid, gfns: readonly Gfn[],
  ): { readonly gfns: readonly Gfn[], readonly mapping: Mapping } {
    const window = this.#window
    const here = window.take(gfns.length)
    const drop = (): void => {
      window.remove(here)
      window.giveBack(here)
    }
    const errors: number[] = []
    for (let done = 0; done < gfns.length; done += PAGES_PER_CALL) {
      const end = done + PAGES_PER_CALL
      const some = this.#errors(domid, gfns.slice(done, end), here.slice(done, end))
      if (typeof some === 'number') {
        drop()
        throw new XenError(CALL, some, errnoName(some))
      }
      errors.push(...some)
    }
    const isThere = (_: Gfn, i: number): boolean => errors[i] === 0
    return {
      gfns: gfns.filter(isThere), mapping: window.mapping(here.filter(isThere), drop),
    }
  }

  /** 0, or the first error as a positive number. */
  #add(domid: Domid, gfns: readonly Gfn[], here: readonly Gfn[]): number {
    const errors = this.#errors(domid, gfns, here)
    return typeof errors === 'number' ? errors : errors.find((error) => error !== 0) ?? 0
  }

  /** For each page 0 or its error, as a positive number; or the one error of the whole call. */
  #errors(domid: Domid, gfns: readonly Gfn[], here: readonly Gfn[]): number[] | number {
    const { client } = this.#window
    return client.scope(() => {
      const op = client.struct(XenAddToPhysmapBatch)
      op.domid = asDomid(DOMID_SELF)
      op.space = XENMAPSPACE_gmfn_foreign
      op.size = gfns.length
      op.u.foreign_domid = domid
      op.idxs = client.words(gfns)
      op.gpfns = client.words(here)
      op.errs = client.allocate(gfns.length * 4)
      const status = client.gate.call(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch,
        op.position)
      if (status < 0) return -status
      return gfns.map((_, i) => Math.max(0, -client.int(op.errs + i * 4)))
    })
  }

  write(domid: Domid, physicalAddress: number, bytes: Uint8Array): void {
    this.#each(domid, physicalAddress, bytes.length, (page, at, done, length) => {
      page.set(bytes.subarray(done, done + length), at)
    })
  }

  read(domid: Domid, physicalAddress: number, length: number): Uint8Array {
    const bytes = new Uint8Array(length)
    this.#each(domid, physicalAddress, length, (page, at, done, count) => {
      bytes.set(page.subarray(at, at + count), done)
    })
    return bytes
  }

  /** Runs `step` on each stretch within a page, mapping some pages at a time. */
  #each(
    domid: Domid, address: number, length: number,
    step: (page: Uint8Array, at: number, done: number, length: number) => void,
  ): void {
    for (let done = 0; done < length;) {
      const first = Math.floor((address + done) / PAGE)
      const last = Math.floor((address + length - 1) / PAGE)
      const count = Math.min(last - first + 1, PAGES_PER_CALL)
      const mapping = this.map(domid, Array.from({ length: count }, (_, i) => asGfn(first + i)))
      for (let i = 0; i < count; i++) {
        const at = (address + done) % PAGE
        const part = Math.min(PAGE - at, length - done)
        step(mapping.page(i), at, done, part)
        done += part
      }
      mapping.unmap()
    }
  }
}
