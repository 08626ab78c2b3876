/**
 * Virtual NUMA: the nodes that a domain sees, as its toolstack laid them down.
 *
 * The topology is told to the guest by firmware tables, or by XENMEM_get_vnumainfo; here it only
 * decides from which node of the host a page of a virtual node is taken. It is copied as a whole
 * under the domain's lock.
 */
import { u32, u53 } from '../../base/layout/scalar.ts'
import { array, struct, type ViewOf } from '../../base/layout/struct.ts'
import { ENOMEM } from '../../abi/xen/errno.ts'
import type { Domain } from '../domain/domain.ts'
import { MAX_VCPUS } from '../domain/state.ts'

export const MAX_VNODES = 16
export const MAX_VMEMRANGES = 2 * MAX_VNODES

export const VnumaState = struct('vnuma', {
  vnodes: u32,
  vcpus: u32,
  ranges: u32,
  pad: u32,
  /** In rows of `vnodes`. */
  distances: array(u32, MAX_VNODES * MAX_VNODES),
  vnodeOfVcpu: array(u32, MAX_VCPUS),
  pnodeOfVnode: array(u32, MAX_VNODES),
  memory: array(struct('vnuma memory', {
    start: u53, end: u53, flags: u32, nid: u32,
  }), MAX_VMEMRANGES),
})

/** Gives the domain the topology in `bytes`, in place of what it had: 0 or -ENOMEM. */
export function setVnuma(domain: Domain, bytes: Uint8Array): number {
  const { host, state } = domain
  domain.lock()
  if (state.vnumaAt === 0) state.vnumaAt = host.heap.allocate(VnumaState.size)
  const at = state.vnumaAt
  if (at !== 0) host.hypervisor.octets.set(bytes, at)
  domain.unlock()
  return at === 0 ? -ENOMEM : 0
}

/** Copies the domain's topology; false if it has none. */
export function copyVnuma(domain: Domain, bytes: Uint8Array): boolean {
  const { host, state } = domain
  domain.lock()
  const at = state.vnumaAt
  if (at !== 0) bytes.set(host.hypervisor.octets.subarray(at, at + VnumaState.size))
  domain.unlock()
  return at !== 0
}

export function releaseVnuma({ host, state }: Domain): void {
  if (state.vnumaAt !== 0) host.heap.release(state.vnumaAt, VnumaState.size)
  state.vnumaAt = 0
}

/** The node of the host that a virtual node is on; -1 if it is none of the domain's. */
export function pnodeOf(topology: ViewOf<typeof VnumaState>, vnode: number): number {
  return vnode < topology.vnodes ? topology.pnodeOfVnode.get(vnode) : -1
}
