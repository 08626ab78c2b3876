/**
 * `xl info`: keys, order and formats as real xl 4.17 prints them.
 */
import {
  XEN_SYSCTL_PHYSCAP_directio, XEN_SYSCTL_PHYSCAP_gnttab_v1, XEN_SYSCTL_PHYSCAP_gnttab_v2,
  XEN_SYSCTL_PHYSCAP_hap, XEN_SYSCTL_PHYSCAP_hvm, XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share,
  XEN_SYSCTL_PHYSCAP_pv, XEN_SYSCTL_PHYSCAP_shadow, XEN_SYSCTL_PHYSCAP_vmtrace,
  XEN_SYSCTL_PHYSCAP_vpmu, XEN_INVALID_CORE_ID,
} from '../../abi/xen/sysctl.ts'
import type { HostInfo } from '../domain/libxl.ts'

/** What uname(2) says of the control domain. */
export interface Uname {
  readonly host: string
  readonly release: string
  readonly version: string
  readonly machine: string
}

const PAGES_A_MIB = 256
const MIB = 1024 * 1024

const CAPABILITIES: readonly [number, string][] = [
  [XEN_SYSCTL_PHYSCAP_pv, 'pv'],
  [XEN_SYSCTL_PHYSCAP_hvm, 'hvm'],
  [XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_directio, 'hvm_directio'],
  [XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_directio, 'pv_directio'],
  [XEN_SYSCTL_PHYSCAP_hap, 'hap'],
  [XEN_SYSCTL_PHYSCAP_shadow, 'shadow'],
  [XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share, 'iommu_hap_pt_share'],
  [XEN_SYSCTL_PHYSCAP_vmtrace, 'vmtrace'],
  [XEN_SYSCTL_PHYSCAP_vpmu, 'vpmu'],
  [XEN_SYSCTL_PHYSCAP_gnttab_v1, 'gnttab-v1'],
  [XEN_SYSCTL_PHYSCAP_gnttab_v2, 'gnttab-v2'],
]

/** The whole text; `topology` adds what -n asks for. */
export function infoText(info: HostInfo, uname: Uname, topology: boolean): string {
  const line = (key: string, value: string | number): string => `${key.padEnd(23)}: ${value}\n`
  const mib = (pages: number): number => Math.floor(pages / PAGES_A_MIB)
  const capabilities = CAPABILITIES
    .filter(([bits]) => (info.capabilities & bits) === bits)
    .map(([, name]) => name)
  const head: [string, string | number][] = [
    ['host', uname.host],
    ['release', uname.release],
    ['version', uname.version],
    ['machine', uname.machine],
    ['nr_cpus', info.nrCpus],
    ['max_cpu_id', info.maxCpuId],
    ['nr_nodes', info.nrNodes],
    ['cores_per_socket', info.coresPerSocket],
    ['threads_per_core', info.threadsPerCore],
    ['cpu_mhz', (info.cpuKhz / 1000).toFixed(3)],
    ['hw_caps', info.hwCaps.map((word) => (word >>> 0).toString(16).padStart(8, '0')).join(':')],
    ['virt_caps', capabilities.join(' ')],
    ['total_memory', mib(info.totalPages)],
    ['free_memory', mib(info.freePages - info.outstandingPages)],
    ['sharing_freed_memory', 0],
    ['sharing_used_memory', 0],
    ['outstanding_claims', mib(info.outstandingPages)],
    ['free_cpus', info.freeCpus],
  ]
  const tail: [string, string | number][] = [
    ['xen_major', info.xenMajor],
    ['xen_minor', info.xenMinor],
    ['xen_extra', info.xenExtra],
    ['xen_version', `${info.xenMajor}.${info.xenMinor}${info.xenExtra}`],
    ['xen_caps', info.xenCaps],
    ['xen_scheduler', info.scheduler],
    ['xen_pagesize', info.pageSize],
    ['platform_params', `virt_start=${info.virtStart}`],
    ['xen_changeset', info.changeset],
    ['xen_commandline', info.commandLine],
    ['cc_compiler', info.compiler],
    ['cc_compile_by', info.compileBy],
    ['cc_compile_domain', info.compileDomain],
    ['cc_compile_date', info.compileDate],
    ['build_id', info.buildId],
    ['xend_config_format', 4],
  ]
  const text = (lines: readonly [string, string | number][]): string =>
    lines.map(([key, value]) => line(key, value)).join('')
  return text(head) + (topology ? topologyText(info) : '') + text(tail)
}

/** The values of the lines whose keys begin with `name`, as real xl picks them. */
export function infoField(text: string, name: string): string {
  return text.split(/(?<=\n)/).filter((line) => line.startsWith(name))
    .map((line) => line.slice(line.indexOf(': ') + 2)).join('')
}

function topologyText(info: HostInfo): string {
  const pad = (value: number, width: number): string => String(value).padStart(width)
  let text = 'cpu_topology           :\ncpu:    core    socket     node\n'
  info.cpus.forEach(({ core, socket, node }, cpu) => {
    if (core === XEN_INVALID_CORE_ID) return
    text += `${pad(cpu, 3)}:    ${pad(core, 4)} ${pad(socket, 8)} ${pad(node, 8)}\n`
  })
  text += 'device topology        :\ndevice           node\nNo device topology data available\n'
  text += 'numa_info              :\nnode:    memsize    memfree    distances\n'
  const mib = (bytes: number): number => Math.floor(bytes / MIB)
  return text + info.nodes.map(({ distances, freeBytes, sizeBytes }, node) =>
    `${pad(node, 4)}:${pad(mib(sizeBytes), 10)} ${pad(mib(freeBytes), 10)}      ` +
    `${distances.join(',')}\n`).join('')
}
