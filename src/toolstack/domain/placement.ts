/**
 * Where a new domain runs and has its memory, and what its pool's scheduler is to know of it.
 *
 * With several NUMA nodes and no wish of the configuration's, it is placed on one node, if that has
 * memory for all of it: the one with the most that is free. Its vcpus should run there. libxl
 * weighs candidates of several nodes as well; left out.
 */
import type { Domid } from '../../abi/numbers.ts'
import { XEN_INVALID_NODE_ID } from '../../abi/xen/sysctl.ts'
import { XEN_SCHEDULER_CREDIT, XEN_SCHEDULER_CREDIT2 } from '../../abi/xen/domctl.ts'
import type { Xenctrl } from '../../dom0/interfaces.ts'
import { cpusIn } from '../config/cpu-range.ts'
import { type DomainSpec, ERROR_INVAL, LibxlError } from './libxl.ts'
import { cpuMapOf } from './tuning.ts'

/** Before the domain has memory. */
export function placeDomain(xenctrl: Xenctrl, spec: DomainSpec, domid: Domid): void {
  if (spec.hardAffinity || spec.softAffinity) setAffinities(xenctrl, spec, domid)
  else if (!spec.vnuma?.length) chooseNode(xenctrl, spec, domid)
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
    if (cpus.length === 0) throw new LibxlError(ERROR_INVAL, `vcpu ${kind} affinity map is empty`)
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

function chooseNode(xenctrl: Xenctrl, spec: DomainSpec, domid: Domid): void {
  const nodes = xenctrl.numaNodes()
  if (nodes.length === 1) return
  const free = nodes.map(({ freeBytes }) => freeBytes)
  const most = Math.max(...free)
  if (most < spec.maxMemoryKib * 1024) return
  const node = free.indexOf(most)
  const cpus = [...xenctrl.cpuTopology().entries()]
    .flatMap(([cpu, place]) => place.node === node ? [cpu] : [])
  xenctrl.setNodeAffinity(domid, cpuMapOf([node]))
  for (let vcpu = 0; vcpu < spec.maxVcpus; vcpu++) {
    xenctrl.setVcpuAffinity(domid, vcpu, { soft: cpuMapOf(cpus) })
  }
}
