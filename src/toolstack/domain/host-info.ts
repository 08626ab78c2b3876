/**
 * What `xl info` and `xl vcpu-list` tell, gathered from the hypervisor.
 */
import type { DomainInfo, Xenctrl } from '../../dom0/interfaces.ts'
import type { CpupoolSummary, HostInfo, SchedulerName, VcpuSummary } from './libxl.ts'

// XEN_SCHEDULER_* of xen/include/public/domctl.h.
export const schedulerNames: Readonly<Record<number, SchedulerName>> = {
  5: 'credit', 6: 'credit2', 7: 'arinc653', 8: 'rtds', 9: 'null',
}

export function gatherInfo(xenctrl: Xenctrl): HostInfo {
  const physical = xenctrl.physinfo()
  const version = xenctrl.version()
  return {
    nrCpus: physical.nrCpus,
    maxCpuId: physical.maxCpuId,
    nrNodes: physical.nrNodes,
    cpus: xenctrl.cpuTopology(),
    nodes: xenctrl.numaNodes(),
    coresPerSocket: physical.coresPerSocket,
    threadsPerCore: physical.threadsPerCore,
    cpuKhz: physical.cpuKhz,
    hwCaps: physical.hwCap,
    capabilities: physical.capabilities,
    totalPages: physical.totalPages,
    freePages: physical.freePages,
    scrubPages: physical.scrubPages,
    outstandingPages: physical.outstandingPages,
    freeCpus: bitsOf(xenctrl.cpupoolFreeCpus()).length,
    xenMajor: version.major,
    xenMinor: version.minor,
    xenExtra: version.extra,
    xenCaps: version.capabilities,
    scheduler: schedulerNames[xenctrl.schedId()] ?? 'unknown',
    pageSize: version.pageSize,
    virtStart: `0x${version.virtStart.toString(16)}`,
    changeset: version.changeset,
    commandLine: version.commandLine,
    compiler: version.compiler,
    compileBy: version.compileBy,
    compileDomain: version.compileDomain,
    compileDate: version.compileDate,
    buildId: version.buildId,
  }
}

/** The CPU pools there are; `nameOf` knows what they are called. */
export function gatherCpupools(
  xenctrl: Xenctrl, nameOf: (pool: number) => string,
): CpupoolSummary[] {
  const pools: CpupoolSummary[] = []
  // Asked for a number without a pool, the hypervisor answers with the next that has one.
  for (let id = 0, info = xenctrl.cpupoolInfo(id); info; info = xenctrl.cpupoolInfo(id)) {
    pools.push({
      id: info.id, name: nameOf(info.id), cpus: bitsOf(info.cpuMap), domainCount: info.domainCount,
      scheduler: schedulerNames[info.schedId] ?? 'unknown',
    })
    id = info.id + 1
  }
  return pools
}

export function bitsOf(map: Uint8Array): number[] {
  const bits: number[] = []
  for (let i = 0; i < map.length * 8; i++) {
    if (((map[i >> 3] ?? 0) >> (i & 7)) & 1) bits.push(i)
  }
  return bits
}

/** The CPUs of an affinity, or undefined when it allows all `count` of them. */
export function cpusOf(map: Uint8Array, count: number): number[] | undefined {
  const cpus = bitsOf(map).filter((cpu) => cpu < count)
  return cpus.length === count ? undefined : cpus
}

export function gatherVcpus(xenctrl: Xenctrl, { domid, maxVcpuId }: DomainInfo): VcpuSummary[] {
  const cpus = xenctrl.physinfo().maxCpuId + 1
  return Array.from({ length: maxVcpuId + 1 }, (_, vcpu) => {
    const { online, cpu, running, blocked, cpuTimeNs } = xenctrl.getVcpuInfo(domid, vcpu)
    const { hard, soft } = xenctrl.getVcpuAffinity(domid, vcpu)
    return {
      vcpu, online, cpu, running, blocked, cpuTimeNs,
      hard: cpusOf(hard, cpus), soft: cpusOf(soft, cpus),
    }
  })
}
