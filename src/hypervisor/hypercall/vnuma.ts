/**
 * memory_op: what a domain with virtual NUMA asks of its topology.
 */
import { EFAULT, EINVAL, ENOBUFS, EOPNOTSUPP, ESRCH } from '../../abi/xen/errno.ts'
import { XENMEM_get_vnumainfo, XenVmemrange, XenVnumaTopologyInfo } from
  '../../abi/xen/memory.ts'
import type { ScalarArray } from '../../base/layout/struct.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { copyVnuma, VnumaState } from '../memory/vnuma.ts'
import { subop } from './operation.ts'

const bytes = new Uint8Array(VnumaState.size)
const topology = VnumaState.on(bytes)
const rangeBytes = new DataView(new ArrayBuffer(XenVmemrange.size))
const range = XenVmemrange.on(rangeBytes)

function words(caller: Vcpu, to: number, from: ScalarArray<number>, count: number): boolean {
  for (let i = 0; i < count; i++) {
    if (!caller.memory.writeU32(to + i * 4, from.get(i))) return false
  }
  return true
}

function memory(caller: Vcpu, to: number): boolean {
  for (let i = 0; i < topology.ranges; i++) {
    const { start, end, nid } = topology.memory.item(i)
    range.start = start
    range.end = end
    range.flags = 0
    range.nid = nid
    const at = to + i * XenVmemrange.size
    if (!caller.memory.copyOut(rangeBytes, at, XenVmemrange.size)) return false
  }
  return true
}

/** Too little room is refused, and the caller told how much is needed. */
export const getVnumainfo = subop(XENMEM_get_vnumainfo, XenVnumaTopologyInfo, 'always',
  function get_vnumainfo(caller, op) {
    if (op.pad !== 0) return -EINVAL
    const domain = caller.host.domain(op.domid, caller.domain)
    if (!domain) return -ESRCH
    const refusal = caller.host.xsm.getVnumainfo(caller.domain, domain)
    if (refusal < 0) return refusal
    if (!copyVnuma(domain, bytes)) return -EOPNOTSUPP
    const fits = op.nr_vnodes >= topology.vnodes && op.nr_vcpus >= topology.vcpus
      && op.nr_vmemranges >= topology.ranges
    op.nr_vnodes = topology.vnodes
    op.nr_vcpus = topology.vcpus
    op.nr_vmemranges = topology.ranges
    if (!fits) return -ENOBUFS
    const { vnodes, vcpus } = topology
    const done = words(caller, op.vdistance.h, topology.distances, vnodes ** 2)
      && words(caller, op.vcpu_to_vnode.h, topology.vnodeOfVcpu, vcpus)
      && memory(caller, op.vmemrange.h)
    return done ? 0 : -EFAULT
  })
