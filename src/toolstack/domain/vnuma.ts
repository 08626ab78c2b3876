/**
 * Virtual NUMA of a domain: libxl's checks of a topology, and telling the hypervisor.
 */
import type { Domid } from '../../abi/numbers.ts'
import type { Xenctrl } from '../../dom0/interfaces.ts'
import type { NumaAffinity } from '../build/numa.ts'
import { type DomainSpec, ERROR_INVAL, LibxlError } from './libxl.ts'
import { cpuMapOf } from './tuning.ts'

const ERROR_VNUMA_CONFIG_INVALID = -20

/** Throws what is wrong with the domain's virtual nodes. */
export function checkVnuma(spec: DomainSpec, nodes: number): void {
  const { vnuma = [], maxMemoryKib, maxVcpus, memoryKib } = spec
  if (vnuma.length === 0) return
  if (memoryKib !== maxMemoryKib) {
    throw new LibxlError(ERROR_INVAL, 'Cannot enable PoD and vNUMA at the same time')
  }
  const refuse = (why: string): never => {
    throw new LibxlError(ERROR_VNUMA_CONFIG_INVALID, why)
  }
  const total = vnuma.reduce((sum, vnode) => sum + vnode.memoryKib, 0)
  for (const { distances, pnode } of vnuma) {
    if (pnode >= nodes) refuse(`Invalid pnode ${pnode} specified`)
    if (distances.length !== vnuma.length) {
      refuse(`${distances.length} distances for ${vnuma.length} vnodes`)
    }
  }
  if (total !== maxMemoryKib) {
    refuse(`Amount of memory mismatch (0x${total.toString(16)} != 0x${maxMemoryKib.toString(16)})`)
  }
  const seen = new Set<number>()
  for (const vcpu of vnuma.flatMap(({ vcpus }) => vcpus)) {
    if (seen.has(vcpu)) refuse(`Vcpu ${vcpu} assigned more than once`)
    seen.add(vcpu)
  }
  for (let vcpu = 0; vcpu < maxVcpus; vcpu++) {
    if (!seen.has(vcpu)) refuse(`Vcpu ${vcpu} is not assigned to any vnode`)
  }
  vnuma.forEach(({ distances }, i) => distances.forEach((distance, j) => {
    if (distance < distances[i]!) {
      refuse(`Distance from ${i} to ${j} smaller than ${i}'s local distance`)
    }
  }))
}

/** Tells the hypervisor, and has VCPUs run on their node's host node unless told where to. */
export function setVnuma(
  xenctrl: Xenctrl, spec: DomainSpec, domid: Domid, affinity: NumaAffinity,
): void {
  const { vnuma = [], softAffinity } = spec
  const { distances, memory, vnodeOfVcpu } = affinity
  xenctrl.setVnumaInfo(domid, {
    distances: distances.flat(), vnodeOfVcpu, memory,
    pnodeOfVnode: vnuma.map(({ pnode }) => pnode),
  })
  if (softAffinity) return
  const places = xenctrl.cpuTopology()
  vnodeOfVcpu.forEach((vnode, vcpu) => {
    const near = [...places.keys()].filter((cpu) => places[cpu]!.node === vnuma[vnode]!.pnode)
    if (near.length > 0) xenctrl.setVcpuAffinity(domid, vcpu, { soft: cpuMapOf(near) })
  })
}
