/**
 * domctl: the virtual NUMA topology of a domain.
 */
import { E2BIG, EFAULT, EINVAL } from '../../../abi/xen/errno.ts'
import { XEN_DOMCTL_setvnumainfo } from '../../../abi/xen/domctl.ts'
import { XenVmemrange } from '../../../abi/xen/memory.ts'
import type { Vcpu } from '../../domain/vcpu.ts'
import { MAX_VMEMRANGES, MAX_VNODES, setVnuma, VnumaState } from '../../memory/vnuma.ts'
import type { ScalarArray } from '../../../base/layout/struct.ts'
import { domctlCommand } from './control.ts'

const bytes = new Uint8Array(VnumaState.size)
const topology = VnumaState.on(bytes)
const rangeBytes = new DataView(new ArrayBuffer(XenVmemrange.size))
const range = XenVmemrange.on(rangeBytes)

/** Reads `count` words, none of which may reach `limit`. */
function words(
  caller: Vcpu, from: number, to: ScalarArray<number>, count: number, limit: number,
): number {
  for (let i = 0; i < count; i++) {
    const word = caller.memory.readU32(from + i * 4)
    if (word < 0) return -EFAULT
    if (word >= limit) return -EINVAL
    to.set(i, word)
  }
  return 0
}

function memory(caller: Vcpu, from: number, count: number): number {
  for (let i = 0; i < count; i++) {
    if (!caller.memory.copyIn(rangeBytes, from + i * XenVmemrange.size, XenVmemrange.size)) {
      return -EFAULT
    }
    if (range.flags !== 0 || range.nid >= topology.vnodes || range.end < range.start) {
      return -EINVAL
    }
    const own = topology.memory.item(i)
    own.start = range.start
    own.end = range.end
    own.flags = 0
    own.nid = range.nid
  }
  return 0
}

export const vnumaCommands = [
  domctlCommand(XEN_DOMCTL_setvnumainfo, 'in', function setvnumainfo(caller, domain, op) {
    const { vnuma } = op.u
    const { nr_vnodes, nr_vmemranges, nr_vcpus } = vnuma
    if (nr_vnodes === 0 || nr_vcpus !== domain.vcpuCount || vnuma.pad !== 0) return -EINVAL
    if (nr_vnodes > MAX_VNODES || nr_vmemranges > MAX_VMEMRANGES) return -E2BIG
    bytes.fill(0)
    topology.vnodes = nr_vnodes
    topology.vcpus = nr_vcpus
    topology.ranges = nr_vmemranges
    return words(caller, vnuma.vdistance, topology.distances, nr_vnodes ** 2, 2 ** 32)
      || words(caller, vnuma.vcpu_to_vnode, topology.vnodeOfVcpu, nr_vcpus, nr_vnodes)
      || words(caller, vnuma.vnode_to_pnode, topology.pnodeOfVnode, nr_vnodes,
        caller.host.state.nodeCount)
      || memory(caller, vnuma.vmemrange, nr_vmemranges)
      || setVnuma(domain, bytes)
  }),
]
