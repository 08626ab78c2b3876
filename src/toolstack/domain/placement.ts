/**
 * Where a new domain runs and has its memory, and what its pool's scheduler is to know of it.
 *
 * With several NUMA nodes and no wish of the configuration's, it is placed on those that
 * numa-candidates.ts chooses, and its vcpus should run there. libxl's notice that there are none
 * suitable is left out.
 */
import { asDomid, type Domid } from '../../abi/numbers.ts'
import { XEN_INVALID_NODE_ID } from '../../abi/xen/sysctl.ts'
import { XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_CREDIT2 } from '../../abi/xen/domctl.ts'
import type { CpuPlace, DomainInfo, Xenctrl } from '../../dom0/interfaces.ts'
import { cpusIn } from '../config/cpu-range.ts'
import { bitsOf } from './host-info.ts'
import { type DomainSpec, ERROR_INVAL, LibxlError } from './libxl.ts'
import { bestNodes } from './numa-candidates.ts'
import { cpuMapOf } from './tuning.ts'

/** Before the domain has memory. */
export function placeDomain(xenctrl: Xenctrl, spec: DomainSpec, domid: Domid): void {
  if (spec.hardAffinity || spec.softAffinity) setAffinities(xenctrl, spec, domid)
  else if (!spec.vnuma?.length) chooseNodes(xenctrl, spec, domid)
  if (spec.cpuWeight === undefined && spec.cap === undefined) return
  const pool = xenctrl.getDomainInfo(domid)?.cpupool ?? 0
  const scheduler = xenctrl.cpupoolInfo(pool)?.schedId
  if (scheduler !== XEN_SCHEDULER_CREDIT && scheduler !== XEN_SCHEDULER_CREDIT2) return
  const { weight, cap } = xenctrl.getSchedTerms(domid, scheduler)
  xenctrl.setSchedTerms(domid, scheduler, {
    weight: spec.cpuWeight ?? weight, cap: spec.cap ?? cap,
  })
}

function setAffinities(xenctrl: Xenctrl, spec: DomainSpec, domid: Domid): void {
  const nodes = xenctrl.cpuTopology().map(({ node }) => node)
  const cpusOf = (text: string | undefined, kind: string): number[] | undefined => {
    if (text === undefined) return undefined
    const cpus = cpusIn(text, nodes) ?? []
    if (cpus.length === 0 && kind === 'hard') {
      throw new LibxlError(ERROR_INVAL, 'vcpu hard affinity map is empty')
    }
    return cpus
  }
  const near = new Set<number>()
  for (let vcpu = 0; vcpu < spec.maxVcpus; vcpu++) {
    const hard = cpusOf(spec.hardAffinity?.[vcpu], 'hard')
    const soft = cpusOf(spec.softAffinity?.[vcpu], 'soft')
    for (const cpu of soft ?? hard ?? nodes.keys()) {
      const node = nodes[cpu] ?? XEN_INVALID_NODE_ID
      if (node !== XEN_INVALID_NODE_ID) near.add(node)
    }
    if (!hard && !soft) continue
    xenctrl.setVcpuAffinity(domid, vcpu, {
      ...hard && { hard: cpuMapOf(hard) }, ...soft && { soft: cpuMapOf(soft) },
    })
  }
  if (near.size > 0) xenctrl.setNodeAffinity(domid, cpuMapOf([...near]))
}

/** Unless there is one node only, or no place at all. */
function chooseNodes(xenctrl: Xenctrl, spec: DomainSpec, domid: Domid): void {
  const nodes = xenctrl.numaNodes()
  if (nodes.length === 1) return
  const places = xenctrl.cpuTopology()
  const pool = xenctrl.cpupoolInfo(xenctrl.getDomainInfo(domid)?.cpupool ?? 0)
  const cpus = pool ? bitsOf(pool.cpuMap) : []
  const load = vcpusByNode(xenctrl, places, domid)
  const chosen = bestNodes(nodes.map(({ freeBytes }, node) => ({
    freeBytes, cpus: cpus.filter((cpu) => places[cpu]?.node === node).length,
    vcpus: load.get(node) ?? 0,
  })), { bytes: spec.maxMemoryKib * 1024, vcpus: spec.maxVcpus })
  if (!chosen) return
  xenctrl.setNodeAffinity(domid, cpuMapOf(chosen))
  const soft = cpuMapOf([...places.keys()].filter((cpu) => chosen.includes(places[cpu]!.node)))
  for (let vcpu = 0; vcpu < spec.maxVcpus; vcpu++) xenctrl.setVcpuAffinity(domid, vcpu, { soft })
}

/** How many VCPUs of domains other than `self` should run on each node. */
function vcpusByNode(
  xenctrl: Xenctrl, places: readonly CpuPlace[], self: Domid,
): Map<number, number> {
  const counts = new Map<number, number>()
  for (let info = next(xenctrl, 0); info; info = next(xenctrl, info.domid + 1)) {
    if (info.domid === self) continue
    for (let vcpu = 0; vcpu <= info.maxVcpuId; vcpu++) {
      const { hard, soft } = xenctrl.getVcpuAffinity(info.domid, vcpu)
      const allowed = new Set(bitsOf(hard))
      const near = new Set(bitsOf(soft).filter((cpu) => allowed.has(cpu))
        .map((cpu) => places[cpu]?.node ?? XEN_INVALID_NODE_ID))
      near.delete(XEN_INVALID_NODE_ID)
      for (const node of near) counts.set(node, (counts.get(node) ?? 0) + 1)
    }
  }
  return counts
}

function next(xenctrl: Xenctrl, from: number): DomainInfo | undefined {
  return xenctrl.getDomainInfoList(asDomid(from), 1)[0]
}
