/**
 * Dom0's own frame numbers that are free for mapping others' pages, and what maps there.
 *
 * The window lies above Dom0's memory. A mapping is a set of single gfns; its pages are reached
 * through the gate as Dom0's own pages are.
 */
import { assert } from '../base/assert.ts'
import { asDomid, asGfn, type Gfn } from '../abi/numbers.ts'
import { XENMEM_remove_from_physmap, XenRemoveFromPhysmap } from '../abi/xen/memory.ts'
import { __HYPERVISOR_memory_op, DOMID_SELF } from '../abi/xen/xen.ts'
import type { HypercallClient } from './hypercall-client.ts'
import type { Mapping } from './interfaces.ts'

/** From 4 GiB to 12 GiB of Dom0's physical address space. */
const FIRST_GFN = 0x10_0000
const GFN_COUNT = 0x20_0000

export class Window {
  readonly client: HypercallClient
  readonly #free: Gfn[] = []
  #next = 0

  constructor(client: HypercallClient) {
    this.client = client
  }

  take(count: number): Gfn[] {
    const gfns: Gfn[] = []
    while (gfns.length < count) {
      const known = this.#free.pop()
      if (known === undefined) assert(this.#next < GFN_COUNT, 'the mapping window is full')
      gfns.push(known ?? asGfn(FIRST_GFN + this.#next++))
    }
    return gfns
  }

  giveBack(gfns: readonly Gfn[]): void {
    this.#free.push(...gfns)
  }

  /** Takes foreign frames out of Dom0's memory; holes are left as they are. */
  remove(gfns: readonly Gfn[]): void {
    this.client.scope(() => {
      const op = this.client.struct(XenRemoveFromPhysmap)
      for (const gfn of gfns) {
        op.domid = asDomid(DOMID_SELF)
        op.gpfn = gfn
        this.client.gate.call(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, op.position)
      }
    })
  }

  /** What is mapped at `gfns`, until `undo` has taken it away. */
  mapping(gfns: readonly Gfn[], undo: () => void): Mapping {
    let mapped = true
    const { gate } = this.client
    const pages = gfns.map((gfn) => {
      const page = gate.page(gfn)
      assert(page, 'a mapped page is there')
      return page
    })
    return {
      length: gfns.length,
      page: (index) => {
        assert(mapped, 'the mapping is gone')
        const page = pages[index]
        assert(page, 'page of a mapping')
        return page
      },
      unmap: () => {
        if (!mapped) return
        mapped = false
        undo()
      },
    }
  }
}
