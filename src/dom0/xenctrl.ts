/**
 * libxenctrl over the hypercall gate; this file adds memory_op to what its bases do.
 */
import type { Domid, Gfn } from '../abi/numbers.ts'
import * as M from '../abi/xen/memory.ts'
import { __HYPERVISOR_memory_op, E820Entry } from '../abi/xen/xen.ts'
import { DomainControl } from './domain-control.ts'
import type { E820Range, Xenctrl } from './interfaces.ts'

/** Extents a call: their list must fit the buffer. */
const EXTENTS_PER_CALL = 4096

export class XenctrlClient extends DomainControl implements Xenctrl {
  /** One reservation call: how many extents it did. */
  #reserve(
    call: string, cmd: number, domid: Domid, gfns: readonly number[], order: number, flags: number,
  ): number {
    const { client } = this
    return client.scope(() => {
      const list = client.words(gfns)
      const op = client.struct(M.XenMemoryReservation)
      op.extent_start = list
      op.nr_extents = gfns.length
      op.extent_order = order
      op.mem_flags = flags
      op.domid = domid
      return client.call(call, __HYPERVISOR_memory_op, cmd, op.position)
    })
  }

  #reserveAll(
    call: string, cmd: number, domid: Domid, gfns: readonly number[], order: number, flags = 0,
  ): number {
    let done = 0
    while (done < gfns.length) {
      const part = gfns.slice(done, done + EXTENTS_PER_CALL)
      const count = this.#reserve(call, cmd, domid, part, order, flags)
      done += count
      if (count < part.length) break
    }
    return done
  }

  populatePhysmap(domid: Domid, gfns: readonly Gfn[], order: number): number {
    return this.#reserveAll('xc_domain_populate_physmap', M.XENMEM_populate_physmap, domid, gfns,
      order)
  }

  populateRange(domid: Domid, first: Gfn, count: number, order: number, node?: number): number {
    const flags = node === undefined ? 0
      : node + 1 << M.XENMEMF_NODE_SHIFT | M.XENMEMF_exact_node_request
    return this.#populateRow(domid, first, count, order, flags)
  }

  populateLater(domid: Domid, first: Gfn, count: number, order: number): number {
    return this.#populateRow(domid, first, count, order, M.XENMEMF_populate_on_demand)
  }

  #populateRow(
    domid: Domid, first: Gfn, count: number, order: number, flags: number,
  ): number {
    const step = 2 ** order
    const gfns = Array.from({ length: count }, (_, i) => first + i * step)
    return this.#reserveAll('xc_domain_populate_physmap', M.XENMEM_populate_physmap, domid, gfns,
      order, flags)
  }

  setPodTarget(domid: Domid, pages: number): void {
    this.client.scope(() => {
      const op = this.client.struct(M.XenPodTarget)
      op.domid = domid
      op.target_pages = BigInt(pages)
      this.client.call('xc_domain_set_pod_target', __HYPERVISOR_memory_op,
        M.XENMEM_set_pod_target, op.position)
    })
  }

  claimPages(domid: Domid, pages: number): void {
    this.client.scope(() => {
      const op = this.client.struct(M.XenMemoryReservation)
      op.domid = domid
      op.nr_extents = pages
      this.client.call('xc_domain_claim_pages', __HYPERVISOR_memory_op, M.XENMEM_claim_pages,
        op.position)
    })
  }

  decreaseReservation(domid: Domid, gfns: readonly Gfn[], order: number): number {
    return this.#reserveAll('xc_domain_decrease_reservation', M.XENMEM_decrease_reservation,
      domid, gfns, order)
  }

  addToPhysmap(domid: Domid, space: number, index: number, gfn: Gfn): void {
    this.client.scope(() => {
      const op = this.client.struct(M.XenAddToPhysmap)
      op.domid = domid
      op.space = space
      op.idx = index
      op.gpfn = gfn
      this.client.call('xc_domain_add_to_physmap', __HYPERVISOR_memory_op,
        M.XENMEM_add_to_physmap, op.position)
    })
  }

  setMemoryMap(domid: Domid, map: readonly E820Range[]): void {
    const { client } = this
    client.scope(() => {
      const list = client.allocate(map.length * E820Entry.size)
      const entry = E820Entry.on(client.bytes(list, map.length * E820Entry.size))
      map.forEach((range, i) => {
        entry.at(i * E820Entry.size)
        entry.addr = BigInt(range.address)
        entry.size = BigInt(range.size)
        entry.type = range.type
      })
      const op = client.struct(M.XenForeignMemoryMap)
      op.domid = domid
      op.map.nr_entries = map.length
      op.map.buffer = list
      client.call('xc_domain_set_memory_map', __HYPERVISOR_memory_op, M.XENMEM_set_memory_map,
        op.position)
    })
  }

  maximumGpfn(domid: Domid): number {
    return this.client.scope(() => {
      const op = this.client.struct(M.XenMemoryDomain)
      op.domid = domid
      return this.client.call('xc_domain_maximum_gpfn', __HYPERVISOR_memory_op,
        M.XENMEM_maximum_gpfn, op.position)
    })
  }
}
