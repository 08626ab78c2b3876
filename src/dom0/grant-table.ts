/**
 * libxengnttab: pages that other domains granted to Dom0, and the first entries of a new domain.
 */
import type { View } from '../base/layout/struct.ts'
import { asDomid, type Domid, type Gfn, type GrantRef } from '../abi/numbers.ts'
import { EINVAL } from '../abi/xen/errno.ts'
import * as G from '../abi/xen/grant_table.ts'
import { XENMEM_acquire_resource, XENMEM_resource_grant_table, XenMemAcquireResource } from
  '../abi/xen/memory.ts'
import { __HYPERVISOR_grant_table_op, __HYPERVISOR_memory_op, DOMID_SELF } from
  '../abi/xen/xen.ts'
import { type GrantedPiece, type GrantTable, type Mapping, XenError } from './interfaces.ts'
import type { Window } from './window.ts'

const PAGE = 4096
const ENTRIES_PER_PAGE = PAGE / G.GrantEntryV1.size

export class GrantTableClient implements GrantTable {
  readonly #window: Window
  /** A view that is moved over the operations of a copy. */
  readonly #op: View<typeof G.GnttabCopy.fields>

  constructor(window: Window) {
    this.#window = window
    this.#op = window.client.view(G.GnttabCopy, 0)
  }

  map(domid: Domid, refs: readonly GrantRef[], writable: boolean): Mapping {
    const window = this.#window
    const here = window.take(refs.length)
    const handles: number[] = []
    const drop = (): void => {
      handles.forEach((handle, i) => this.#unmap(here[i]! * PAGE, handle))
      window.giveBack(here)
    }
    for (const [i, ref] of refs.entries()) {
      const handle = this.#mapOne(domid, ref, here[i]! * PAGE, writable)
      if (handle === undefined) {
        drop()
        throw new XenError('xengnttab_map_grant_refs', EINVAL, `grant ${ref} cannot be mapped`)
      }
      handles.push(handle)
    }
    return window.mapping(here, drop)
  }

  #mapOne(domid: Domid, ref: GrantRef, address: number, writable: boolean): number | undefined {
    const { client } = this.#window
    return client.scope(() => {
      const op = client.struct(G.GnttabMapGrantRef)
      op.host_addr = address
      op.flags = G.GNTMAP_host_map | (writable ? 0 : G.GNTMAP_readonly)
      op.ref = ref
      op.dom = domid
      client.call('xengnttab_map_grant_refs', __HYPERVISOR_grant_table_op,
        G.GNTTABOP_map_grant_ref, op.position, 1)
      return op.status === G.GNTST_okay ? op.handle : undefined
    })
  }

  #unmap(address: number, handle: number): void {
    const { client } = this.#window
    client.scope(() => {
      const op = client.struct(G.GnttabUnmapGrantRef)
      op.host_addr = address
      op.handle = handle
      client.call('xengnttab_unmap', __HYPERVISOR_grant_table_op, G.GNTTABOP_unmap_grant_ref,
        op.position, 1)
    })
  }

  copyFrom(domid: Domid, pieces: readonly GrantedPiece[]): boolean[] {
    return this.#copy(domid, pieces, false)
  }

  copyTo(domid: Domid, pieces: readonly GrantedPiece[]): boolean[] {
    return this.#copy(domid, pieces, true)
  }

  #copy(domid: Domid, pieces: readonly GrantedPiece[], out: boolean): boolean[] {
    const { client } = this.#window
    // Each piece has a page of the buffer for itself, beside its operation.
    const most = Math.floor((client.room - 2 * PAGE) / (PAGE + G.GnttabCopy.size))
    const done: boolean[] = []
    for (let first = 0; first < pieces.length; first += most) {
      const some = pieces.slice(first, first + most)
      client.scope(() => this.#copySome(domid, some, out, done))
    }
    return done
  }

  #copySome(
    domid: Domid, pieces: readonly GrantedPiece[], out: boolean, done: boolean[],
  ): void {
    const { client } = this.#window
    const { size } = G.GnttabCopy
    const list = client.allocate(pieces.length * size)
    const op = this.#op
    const pages = client.allocatePages(pieces.length)
    for (const [i, { ref, offset, bytes }] of pieces.entries()) {
      const here = pages + i * PAGE
      if (out) client.bytes(here, bytes.length).set(bytes)
      op.at(list + i * size)
      const [theirs, ours] = out ? [op.dest, op.source] : [op.source, op.dest]
      theirs.u.ref = ref
      theirs.domid = domid
      theirs.offset = offset
      ours.u.gmfn = here / PAGE
      ours.domid = asDomid(DOMID_SELF)
      op.len = bytes.length
      op.flags = out ? G.GNTCOPY_dest_gref : G.GNTCOPY_source_gref
    }
    client.call('xengnttab_grant_copy', __HYPERVISOR_grant_table_op, G.GNTTABOP_copy, list,
      pieces.length)
    for (const [i, { bytes }] of pieces.entries()) {
      const fine = op.at(list + i * size).status === G.GNTST_okay
      if (fine && !out) bytes.set(client.bytes(pages + i * PAGE, bytes.length))
      done.push(fine)
    }
  }

  seed(domid: Domid, ref: GrantRef, to: Domid, frame: Gfn): void {
    const window = this.#window
    const { client } = window
    const here = window.take(1)
    client.scope(() => {
      const op = client.struct(XenMemAcquireResource)
      op.domid = domid
      op.type = XENMEM_resource_grant_table
      op.nr_frames = 1
      op.frame = Math.floor(ref / ENTRIES_PER_PAGE)
      op.frame_list = client.words(here)
      client.call('xenforeignmemory_map_resource', __HYPERVISOR_memory_op,
        XENMEM_acquire_resource, op.position)
    })
    const mapping = window.mapping(here, () => {
      window.remove(here)
      window.giveBack(here)
    })
    const entry = G.GrantEntryV1.on(mapping.page(0), ref % ENTRIES_PER_PAGE * G.GrantEntryV1.size)
    entry.frame = frame
    entry.domid = asDomid(to)
    // The flags last: they make the entry valid.
    entry.flags = G.GTF_permit_access
    mapping.unmap()
  }
}
