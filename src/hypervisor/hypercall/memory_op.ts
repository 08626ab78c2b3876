/**
 * HYPERVISOR_memory_op: reservations and the physical map (xen/include/public/memory.h).
 *
 * The command's high bits count the extents that are done, so that a long call can be interrupted
 * and taken up again, as in Xen. Left out: exchange, machphys (PV), paging,
 * access and sharing operations; they answer -ENOSYS.
 */
import { EFAULT, EINVAL, ENOMEM, ESRCH } from '../../abi/xen/errno.ts'
import * as M from '../../abi/xen/memory.ts'
import { __HYPERVISOR_memory_op } from '../../abi/xen/xen.ts'
import type { View } from '../../base/layout/struct.ts'
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { ALL_NODES } from '../host/nodes.ts'
import { claimForDemand, populateLater } from '../memory/demand.ts'
import { type NodeChoice, populate, release } from '../memory/reservation.ts'
import { copyVnuma, pnodeOf, VnumaState } from '../memory/vnuma.ts'
import type { HypercallArgs } from './args.ts'
import { memoryMapOps } from './memory_map.ts'
import { columns, operation, plainSubop, type Status, subop } from './operation.ts'
import { physmapOps } from './physmap.ts'
import { getVnumainfo } from './vnuma.ts'

/** Frames handled before the guest gets another turn. */
const FRAMES_PER_TURN = 8192
/** The command's high bits must hold the count of extents that are done. */
const MOST_EXTENTS = 2 ** (32 - M.MEMOP_EXTENT_SHIFT) - 1
const MAX_ORDER_GUEST = 9
const MAX_ORDER_CONTROL = 18

const vnumaBytes = new Uint8Array(VnumaState.size)
const vnuma = VnumaState.on(vnumaBytes)

type PodTarget = View<typeof M.XenPodTarget.fields>
type Reservation = View<typeof M.XenMemoryReservation.fields>

/** How many extents of a reservation were done when the call began or was taken up again. */
function doneBefore(args: HypercallArgs): number {
  return args.u32(0) >>> M.MEMOP_EXTENT_SHIFT
}

/** A sub-operation on a reservation, which answers how many extents are done: no more than before
 * where it cannot be read, is too large, or is not the caller's to change. */
function reservationSubop(
  number: number, name: string,
  change: (caller: Vcpu, op: Reservation, args: HypercallArgs, domain: Domain) => Status,
) {
  const ask = subop(number, M.XenMemoryReservation, 'in', (caller, op, args) => {
    const domain = caller.host.domain(op.domid, caller.domain)
    return op.nr_extents > MOST_EXTENTS || !domain
      || caller.host.xsm.memoryAdjustReservation(caller.domain, domain) < 0
      ? doneBefore(args) : change(caller, op, args, domain)
  })
  return plainSubop(number, name, (caller, argument, args) => {
    const status = ask.run(caller, argument, args)
    return status === -EFAULT ? doneBefore(args) : status
  })
}

/** Runs `step` on each extent of a reservation; the answer is the number of extents done. */
function eachExtent(
  caller: Vcpu, op: Reservation, args: HypercallArgs, domain: Domain,
  step: (gfn: number, order: number) => number,
): Status {
  const start = doneBefore(args)
  const order = op.extent_order
  if (order > (caller.domain.isPrivileged ? MAX_ORDER_CONTROL : MAX_ORDER_GUEST)) return start
  const word = caller.compat ? 4 : 8
  const foreign = domain !== caller.domain
  const turn = start + Math.max(1, FRAMES_PER_TURN / 2 ** order)
  const end = op.nr_extents
  if (foreign) domain.pause()
  domain.p2m.lock()
  let i = start
  for (; i < end && i < turn; i++) {
    const at = op.extent_start + i * word
    const gfn = caller.compat ? caller.memory.readU32(at) : caller.memory.readU53(at)
    if (gfn < 0 || step(gfn, order) < 0) break
  }
  domain.p2m.unlock()
  if (foreign) domain.unpause()
  if (i === turn && i < end) {
    args.set(0, (args.u32(0) & M.MEMOP_CMD_MASK) + i * 2 ** M.MEMOP_EXTENT_SHIFT)
    args.restart = true
  }
  return i
}

/** The node that frames are asked of, by its number or by that of a virtual node. */
function nodeChoice(domain: Domain, flags: number): NodeChoice | undefined | 'none' {
  let node = (flags >>> M.XENMEMF_NODE_SHIFT & 0xff) - 1
  if (flags & M.XENMEMF_vnode) {
    if (!copyVnuma(domain, vnumaBytes)) return undefined
    node = pnodeOf(vnuma, node)
    if (node < 0) return 'none'
  }
  if (node < 0 || node >= domain.host.state.nodeCount) return undefined
  const exact = (flags & M.XENMEMF_exact_node_request) !== 0
  return { nodes: 1 << node, others: exact ? 0 : ALL_NODES & ~(1 << node) }
}

/** `done` extents of a domain have changed, and with them what it is to get on demand. */
function promised(domain: Domain, done: Status): Status {
  if (done > 0 && domain.state.podTarget > 0) claimForDemand(domain)
  return done
}

const populatePhysmap = reservationSubop(M.XENMEM_populate_physmap, 'populate_physmap',
  (caller, op, args, domain) => {
    const onDemand = (op.mem_flags & M.XENMEMF_populate_on_demand) !== 0
    if (onDemand && !caller.domain.isPrivileged) return doneBefore(args)
    const choice = nodeChoice(domain, op.mem_flags)
    if (choice === 'none') return doneBefore(args)
    return promised(domain, eachExtent(caller, op, args, domain, (gfn, order) =>
      onDemand ? populateLater(domain, gfn, order) : populate(domain, gfn, order, choice)))
  })

function releaseExtent(domain: Domain, gfn: number, order: number): number {
  const count = 2 ** order
  for (let i = 0; i < count; i++) {
    const status = release(domain, gfn + i)
    if (status < 0) return status
  }
  return 0
}

const decreaseReservation = reservationSubop(M.XENMEM_decrease_reservation, 'decrease_reservation',
  (caller, op, args, domain) => promised(domain, eachExtent(caller, op, args, domain,
    (gfn, order) => releaseExtent(domain, gfn, order))))

/** A translated domain has no use for frames without a place: none is given. */
const increaseReservation = reservationSubop(M.XENMEM_increase_reservation, 'increase_reservation',
  (_caller, _op, args) => doneBefore(args))

/** Promises a domain so many pages in all, or ends the promise (0). */
function claim_pages(caller: Vcpu, op: Reservation, args: HypercallArgs): Status {
  if (args.u32(0) >>> M.MEMOP_EXTENT_SHIFT !== 0) return -EINVAL
  if (op.extent_start !== 0 || op.extent_order !== 0 || op.mem_flags !== 0) return -EINVAL
  const domain = caller.host.domain(op.domid)
  if (!domain) return -EINVAL
  const refusal = caller.host.xsm.claimPages(caller.domain, domain)
  if (refusal < 0) return refusal
  const { state } = domain
  const pages = op.nr_extents
  if (pages > 0 && (state.claimedPages > 0 || pages <= state.totPages || pages > state.maxPages)) {
    return -EINVAL
  }
  const wanted = pages === 0 ? 0 : pages - state.totPages
  return caller.host.frames.claim(state, wanted) ? 0 : -ENOMEM
}

/** Tells what a domain has, is to get and has room for. */
function showPod(op: PodTarget, { state }: Domain): void {
  op.tot_pages = BigInt(state.totPages + state.claimedPages)
  op.pod_cache_pages = BigInt(state.claimedPages)
  op.pod_entries = BigInt(state.podEntries)
}

/** How many pages a domain shall have, with those that are populated on demand. */
const setPodTarget = podSubop(M.XENMEM_set_pod_target, 'set_pod_target', (op, domain) => {
  const { state } = domain
  if (op.target_pages > BigInt(state.maxPages)) return -EINVAL
  const before = state.podTarget
  state.podTarget = Number(op.target_pages)
  if (claimForDemand(domain)) return 0
  state.podTarget = before
  return -ENOMEM
})

const getPodTarget = podSubop(M.XENMEM_get_pod_target, 'get_pod_target', () => 0)

/** An operation that ends by telling how things are, unless `change` fails. */
function podSubop(
  number: number, name: string, change: (op: PodTarget, domain: Domain) => number,
) {
  const ask = subop(number, M.XenPodTarget, 'inout', (caller, op) => {
    const domain = caller.host.domain(op.domid)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.podTarget(caller.domain, domain)
    const status = refusal < 0 ? refusal : change(op, domain)
    if (status === 0) showPod(op, domain)
    return status
  })
  return { ...ask, name }
}

function statistic(number: number, name: string, of: (domain: Domain) => number) {
  const ask = subop(number, M.XenMemoryDomain, 'in', (caller, op) => {
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.memoryStatReservation(caller.domain, domain)
    return refusal < 0 ? refusal : of(domain)
  })
  return { ...ask, name }
}

export const memoryOp = operation(__HYPERVISOR_memory_op, 'memory_op', [
  increaseReservation,
  decreaseReservation,
  populatePhysmap,
  plainSubop(M.XENMEM_maximum_ram_page, 'maximum_ram_page',
    (caller) => caller.host.state.machineFrames),
  statistic(M.XENMEM_current_reservation, 'current_reservation', (d) => d.state.totPages),
  statistic(M.XENMEM_maximum_reservation, 'maximum_reservation', (d) => d.state.maxPages),
  statistic(M.XENMEM_maximum_gpfn, 'maximum_gpfn', (d) => d.state.maxGfn),
  plainSubop(M.XENMEM_get_sharing_freed_pages, 'get_sharing_freed_pages', () => 0),
  plainSubop(M.XENMEM_get_sharing_shared_pages, 'get_sharing_shared_pages', () => 0),
  subop(M.XENMEM_claim_pages, M.XenMemoryReservation, 'in', claim_pages),
  setPodTarget,
  getPodTarget,
  ...physmapOps,
  ...memoryMapOps,
  getVnumainfo,
], { columns: columns.everyone, commandMask: M.MEMOP_CMD_MASK })
