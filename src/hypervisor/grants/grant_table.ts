/**
 * HYPERVISOR_grant_table_op: pages that a domain offers to others.
 *
 * xen/include/public/grant_table.h states the contract; the table at the end is the whole
 * hypercall. The call itself answers 0; each element of a batch has a status of its own (GNTST_*).
 *
 * Left out: swap_grant_ref and version 2. Xen too refuses HVM domains transfer, unmap_and_replace,
 * get_status_frames and cache_flush.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import { EINVAL, ENOSYS, ESRCH } from '../../abi/xen/errno.ts'
import {
  GNTCOPY_dest_gref, GNTCOPY_source_gref, GNTMAP_application_map, GNTMAP_contains_pte,
  GNTMAP_device_map, GNTMAP_host_map, GNTST_bad_copy_arg, GNTST_bad_domain, GNTST_bad_gntref,
  GNTST_bad_page, GNTST_bad_virt_addr, GNTST_general_error, GNTST_okay, GNTST_permission_denied,
  GNTTABOP_copy, GNTTABOP_get_version, GNTTABOP_map_grant_ref, GNTTABOP_query_size,
  GNTTABOP_set_version, GNTTABOP_setup_table, GNTTABOP_unmap_grant_ref, GnttabCopy,
  GnttabGetVersion, GnttabMapGrantRef, GnttabQuerySize, GnttabSetupTable, GnttabSetVersion,
  GnttabUnmapGrantRef,
} from '../../abi/xen/grant_table.ts'
import { DOMID_SELF } from '../../abi/xen/xen.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { batch, checked, type Status, type Subop, subop } from '../hypercall/operation.ts'
import { Grants } from './grants.ts'
import { MAX_GRANT_FRAMES, NO_GFN } from './state.ts'

const PAGE = 4096

function map_grant_ref(caller: Vcpu, op: ViewOf<typeof GnttabMapGrantRef>): Status {
  op.status = mapStatus(caller, op)
  return 0
}

function mapStatus(caller: Vcpu, op: ViewOf<typeof GnttabMapGrantRef>): number {
  const { flags } = op
  if ((flags & (GNTMAP_device_map | GNTMAP_host_map)) === 0) return GNTST_bad_gntref
  // No HVM domain has bus addresses of its own, or page tables that Xen knows.
  if (flags & (GNTMAP_device_map | GNTMAP_application_map | GNTMAP_contains_pte)) {
    return GNTST_general_error
  }
  const owner = caller.host.domain(op.dom)
  if (!owner) return GNTST_bad_domain
  if (caller.host.xsm.grantMapref(caller.domain, owner) < 0) return GNTST_permission_denied
  if (op.host_addr % PAGE !== 0) return GNTST_bad_virt_addr
  const grants = Grants.of(caller.host)
  const handle = grants.handles.map(caller.domain, owner, op.ref, flags, op.host_addr / PAGE)
  if (handle < 0) return handle
  op.handle = handle
  op.dev_bus_addr = grants.mfn * PAGE
  return GNTST_okay
}

function unmap_grant_ref(caller: Vcpu, op: ViewOf<typeof GnttabUnmapGrantRef>): Status {
  const gfn = op.host_addr === 0 ? NO_GFN : Math.floor(op.host_addr / PAGE)
  op.status = Grants.of(caller.host).handles.unmap(caller.domain, op.handle, gfn)
  return 0
}

/** Answers the frames of the table, which grows to `nr_frames`. */
function setup_table(caller: Vcpu, op: ViewOf<typeof GnttabSetupTable>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) {
    op.status = GNTST_bad_domain
    return 0
  }
  if (caller.host.xsm.grantSetup(caller.domain, owner) < 0) {
    op.status = GNTST_permission_denied
    return 0
  }
  const grants = Grants.of(caller.host)
  const count = op.nr_frames
  if (count > Math.min(grants.limitOf(owner), MAX_GRANT_FRAMES)) {
    op.status = GNTST_general_error
    return 0
  }
  const list = op.bytes.getInt32(op.base + LIST_AT + 4, true) * 0x1_0000_0000
    + op.bytes.getUint32(op.base + LIST_AT, true)
  op.status = GNTST_okay
  for (let i = 0; i < count; i++) {
    const mfn = grants.tableFrame(owner, i, false)
    if (mfn < 0) {
      op.status = GNTST_general_error
      return 0
    }
    const gfn = caller.host.frames.gfnOf(mfn)
    if (!caller.memory.writeU53(list + i * 8, gfn >= 0 ? gfn : NO_FRAME)) {
      op.status = GNTST_bad_virt_addr
    }
  }
  return 0
}

const LIST_AT = GnttabSetupTable.offsets.frame_list
/** What stands for a table frame that is not in the guest's physical memory. */
const NO_FRAME = -1

function query_size(caller: Vcpu, op: ViewOf<typeof GnttabQuerySize>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) {
    op.status = GNTST_bad_domain
    return 0
  }
  if (caller.host.xsm.grantQuery(caller.domain, owner) < 0) {
    op.status = GNTST_permission_denied
    return 0
  }
  const grants = Grants.of(caller.host)
  op.nr_frames = grants.tableFrameCount(owner, false)
  op.max_nr_frames = grants.limitOf(owner)
  op.status = GNTST_okay
  return 0
}

function set_version(_caller: Vcpu, op: ViewOf<typeof GnttabSetVersion>): Status {
  const wanted = op.version
  op.version = 1
  if (wanted === 1) return 0
  return wanted === 2 ? -ENOSYS : -EINVAL
}

function get_version(caller: Vcpu, op: ViewOf<typeof GnttabGetVersion>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) return -ESRCH
  const refusal = caller.host.xsm.grantQuery(caller.domain, owner)
  if (refusal < 0) return refusal
  op.version = 1
  return 0
}

function copy(caller: Vcpu, op: ViewOf<typeof GnttabCopy>): Status {
  op.status = copyStatus(caller, op)
  return 0
}

function copyStatus(caller: Vcpu, op: ViewOf<typeof GnttabCopy>): number {
  const { source, flags } = op
  const granted = (flags & GNTCOPY_source_gref) !== 0
  const giver = copyDomain(caller, source, granted)
  if (typeof giver === 'number') return giver
  const status = begin(caller, giver, source, granted, false)
  if (status !== GNTST_okay) return status
  const from = Grants.of(caller.host).mfn
  const outcome = copyFrom(caller, op, from)
  finish(caller, giver, source, granted, false, from)
  return outcome
}

function copyFrom(caller: Vcpu, op: ViewOf<typeof GnttabCopy>, from: number): number {
  const { source, dest, len, flags } = op
  const granted = (flags & GNTCOPY_dest_gref) !== 0
  const taker = copyDomain(caller, dest, granted)
  if (typeof taker === 'number') return taker
  const status = begin(caller, taker, dest, granted, true)
  if (status !== GNTST_okay) return status
  const to = Grants.of(caller.host).mfn
  const fits = source.offset + len <= PAGE && dest.offset + len <= PAGE
  if (fits) {
    const start = from * PAGE + source.offset
    caller.host.machine.octets.copyWithin(to * PAGE + dest.offset, start, start + len)
  }
  finish(caller, taker, dest, granted, true, to)
  return fits ? GNTST_okay : GNTST_bad_copy_arg
}

type CopyEnd = ViewOf<typeof GnttabCopy>['source']

/** The domain at one end; only by grant may it be another. */
function copyDomain(caller: Vcpu, end: CopyEnd, granted: boolean): Domain | number {
  if (!granted && end.domid as number !== DOMID_SELF && end.domid !== caller.domain.id) {
    return GNTST_permission_denied
  }
  const domain = caller.host.domain(end.domid, caller.domain)
  if (!domain) return GNTST_bad_domain
  const refusal = caller.host.xsm.grantCopy(caller.domain, domain)
  return refusal < 0 ? GNTST_permission_denied : domain
}

/** Takes the frame at one end into `grants.mfn`. */
function begin(
  caller: Vcpu, domain: Domain, end: CopyEnd, granted: boolean, write: boolean,
): number {
  const grants = Grants.of(caller.host)
  if (granted) return grants.use(domain, end.u.ref, caller.domain.id, write)
  domain.p2m.lock()
  const mfn = domain.p2m.frame(end.u.gmfn, write)
  const taken = mfn !== 0 && caller.host.frames.get(mfn)
  domain.p2m.unlock()
  if (!taken) return GNTST_bad_page
  grants.mfn = mfn
  return GNTST_okay
}

function finish(
  caller: Vcpu, domain: Domain, end: CopyEnd, granted: boolean, write: boolean, mfn: number,
): void {
  if (granted) {
    Grants.of(caller.host).endUse(domain, end.u.ref, write, mfn)
  } else {
    if (write) caller.host.frameUses.written(mfn)
    caller.host.frames.put(mfn)
  }
}

/** A sub-operation that takes no batch. */
function one(ask: Subop): Subop {
  return checked((_caller, args) => args.u32(2) === 1 ? 0 : -EINVAL, ask)
}

export const grantTableOps = [
  batch(GNTTABOP_map_grant_ref, GnttabMapGrantRef, map_grant_ref),
  batch(GNTTABOP_unmap_grant_ref, GnttabUnmapGrantRef, unmap_grant_ref),
  one(subop(GNTTABOP_setup_table, GnttabSetupTable, 'inout', setup_table)),
  batch(GNTTABOP_copy, GnttabCopy, copy),
  one(subop(GNTTABOP_query_size, GnttabQuerySize, 'inout', query_size)),
  subop(GNTTABOP_set_version, GnttabSetVersion, 'always', set_version),
  subop(GNTTABOP_get_version, GnttabGetVersion, 'inout', get_version),
]
