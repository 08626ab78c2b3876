/**
 * memory_op's changes of the physical map: what appears at which guest frame.
 */
import { EACCES, EFAULT, EINVAL, ENOENT, ENOSYS, EOPNOTSUPP, EPERM, ESRCH } from
  '../../abi/xen/errno.ts'
import * as M from '../../abi/xen/memory.ts'
import type { View } from '../../base/layout/struct.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { P2M_POD } from '../../cpu/p2m-format.ts'
import { isRam, p2mMfn, p2mType } from '../memory/p2m.ts'
import { populateNow } from '../memory/demand.ts'
import { mapForeignFrame, movePage, showXenFrame, unmap } from
  '../memory/reservation.ts'
import type { HypercallArgs } from './args.ts'
import { checked, type Status, subop } from './operation.ts'

/** One page of `add_to_physmap` or its batch. */
function addOne(domain: Domain, space: number, index: number, gfn: number): Status {
  const { grants } = domain.host.services
  switch (space) {
    case M.XENMAPSPACE_shared_info:
      return index === 0 ? showXenFrame(domain, domain.state.sharedInfoMfn, gfn) : -EINVAL
    case M.XENMAPSPACE_grant_table: {
      const status = index >= M.XENMAPIDX_grant_table_status
      const part = status ? index - M.XENMAPIDX_grant_table_status : index
      const mfn = grants.tableFrame(domain, part, status)
      if (mfn < 0) return mfn
      return mfn === 0 ? -EINVAL : showXenFrame(domain, mfn, gfn)
    }
    case M.XENMAPSPACE_gmfn: return movePresent(domain, index, gfn)
    case M.XENMAPSPACE_dev_mmio: return -EACCES
    default: return -EINVAL
  }
}

/** What is populated on demand is there before it moves. */
function movePresent(domain: Domain, from: number, to: number): Status {
  if (p2mType(domain.p2m.get(from)) === P2M_POD) populateNow(domain, from)
  return movePage(domain, from, to)
}

const addToPhysmap = subop(M.XENMEM_add_to_physmap, M.XenAddToPhysmap, 'inout',
  function add_to_physmap(caller, op, args) {
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.addToPhysmap(caller.domain, domain)
    if (refusal < 0) return refusal
    if (op.space === M.XENMAPSPACE_gmfn_foreign) return -ENOSYS
    if (op.space === M.XENMAPSPACE_gmfn_range) return moveRange(domain, op, args)
    return addOne(domain, op.space, op.idx, op.gpfn)
  })

const RANGE_PER_TURN = 1024

/** XENMAPSPACE_gmfn_range: `size` pages; what is left is in the struct when it returns early. */
function moveRange(
  domain: Domain, op: View<typeof M.XenAddToPhysmap.fields>, args: HypercallArgs,
): Status {
  for (let turn = 0; op.size > 0; turn++) {
    if (turn === RANGE_PER_TURN) {
      args.restart = true
      return 0
    }
    const status = movePresent(domain, op.idx, op.gpfn)
    if (status < 0) return status
    op.idx++
    op.gpfn++
    op.size--
  }
  return 0
}

/** Maps `foreign`'s page `index` into `domain` at `gfn`. */
function addForeign(domain: Domain, foreign: Domain, index: number, gfn: number): Status {
  const { frames } = domain.host
  foreign.p2m.lock()
  if (p2mType(foreign.p2m.get(index)) === P2M_POD) populateNow(foreign, index)
  const entry = foreign.p2m.get(index)
  const mfn = p2mMfn(entry)
  const taken = isRam(entry) && frames.get(mfn)
  foreign.p2m.unlock()
  if (!taken) return -ENOENT
  const status = mapForeignFrame(domain, mfn, gfn)
  if (status < 0) frames.put(mfn)
  return status
}

const addToPhysmapBatch = subop(M.XENMEM_add_to_physmap_batch, M.XenAddToPhysmapBatch, 'in',
  function add_to_physmap_batch(caller, op, args) {
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    if (op.space === M.XENMAPSPACE_dev_mmio) return -EACCES
    const refusal = caller.host.xsm.addToPhysmap(caller.domain, domain)
    if (refusal < 0) return refusal
    if (op.space === M.XENMAPSPACE_gmfn_range) return -EOPNOTSUPP
    if (op.space !== M.XENMAPSPACE_gmfn_foreign) {
      return eachOfBatch(caller, op, args, (index, gfn) => addOne(domain, op.space, index, gfn))
    }
    // As in Xen, this is for Dom0 alone, and each page of others is refused by itself.
    if (domain.id !== 0) return eachOfBatch(caller, op, args, () => -EPERM)
    const foreign = caller.host.domain(op.u.foreign_domid, caller.domain)
    if (!foreign) return -ESRCH
    if (foreign === domain) return -EINVAL
    const denial = caller.host.xsm.mapGmfnForeign(domain, foreign)
    if (denial < 0) return denial
    return eachOfBatch(caller, op, args,
      (index, gfn) => addForeign(domain, foreign, index, gfn))
  })

/** At most 65535 pages, so in one go; the command's extent bits are honoured all the same. */
function eachOfBatch(
  caller: Vcpu, op: View<typeof M.XenAddToPhysmapBatch.fields>, args: HypercallArgs,
  step: (index: number, gfn: number) => Status,
): Status {
  const word = caller.compat ? 4 : 8
  const { memory } = caller
  for (let i = args.u32(0) >>> M.MEMOP_EXTENT_SHIFT; i < op.size; i++) {
    const indexAt = op.idxs + i * word
    const gfnAt = op.gpfns + i * word
    const index = caller.compat ? memory.readU32(indexAt) : memory.readU53(indexAt)
    const gfn = caller.compat ? memory.readU32(gfnAt) : memory.readU53(gfnAt)
    if (index < 0 || gfn < 0) return -EFAULT
    if (!memory.writeU32(op.errs + i * 4, step(index, gfn))) return -EFAULT
  }
  return 0
}

const removeFromPhysmap = subop(M.XENMEM_remove_from_physmap, M.XenRemoveFromPhysmap, 'in',
  function remove_from_physmap(caller, op) {
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.removeFromPhysmap(caller.domain, domain)
    return refusal < 0 ? refusal : unmap(domain, op.gpfn)
  })

/** Only for Dom0: frames of Xen's have no place yet in the physical memory of others. */
const acquireResource = checked((caller) => caller.domain.id === 0 ? 0 : -EACCES, subop(
  M.XENMEM_acquire_resource, M.XenMemAcquireResource, 'inout',
  function acquire_resource(caller, op) {
    if (op.pad !== 0) return -EINVAL
    const owner = caller.host.domain(op.domid, caller.domain)
    if (!owner) return -ESRCH
    const refusal = caller.host.xsm.resourceMap(caller.domain, owner)
    if (refusal < 0) return refusal
    if (op.type !== M.XENMEM_resource_grant_table) return -EOPNOTSUPP
    const status = op.id === M.XENMEM_resource_grant_table_id_status
    if (!status && op.id !== M.XENMEM_resource_grant_table_id_shared) return -EINVAL
    if (op.nr_frames === 0 && op.frame_list === 0) {
      op.nr_frames = caller.host.services.grants.tableFrameCount(owner, status)
      return 0
    }
    if (op.nr_frames > 64) return -EINVAL
    return mapGrantFrames(caller, owner, op, status)
  }))

function mapGrantFrames(
  caller: Vcpu, owner: Domain, op: View<typeof M.XenMemAcquireResource.fields>, status: boolean,
): Status {
  const { frames, services } = caller.host
  const word = caller.compat ? 4 : 8
  for (let i = 0; i < op.nr_frames; i++) {
    const at = op.frame_list + i * word
    const gfn = caller.compat ? caller.memory.readU32(at) : caller.memory.readU53(at)
    if (gfn < 0) return -EFAULT
    const mfn = services.grants.tableFrame(owner, op.frame + i, status)
    if (mfn < 0) return mfn
    if (mfn === 0 || !frames.get(mfn)) return -EINVAL
    const mapped = mapForeignFrame(caller.domain, mfn, gfn)
    if (mapped < 0) {
      frames.put(mfn)
      return mapped
    }
  }
  return 0
}

export const physmapOps = [
  addToPhysmap, addToPhysmapBatch, removeFromPhysmap, acquireResource,
]
