/**
 * xen/include/public/sysctl.h: operations of control tools on the host (version 0x15, Xen 4.17).
 *
 * Only the sub-operations that this hypervisor carries out have a layout.
 */
import { pointer, u32, u53, u64, u8 } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'
import { domid_t, XenctlBitmap } from './xen.ts'

export const XEN_SYSCTL_INTERFACE_VERSION = 0x15

export const XEN_SYSCTL_readconsole = 1
export const XEN_SYSCTL_tbuf_op = 2
export const XEN_SYSCTL_physinfo = 3
export const XEN_SYSCTL_sched_id = 4
export const XEN_SYSCTL_perfc_op = 5
export const XEN_SYSCTL_getdomaininfolist = 6
export const XEN_SYSCTL_debug_keys = 7
export const XEN_SYSCTL_getcpuinfo = 8
export const XEN_SYSCTL_availheap = 9
export const XEN_SYSCTL_cpu_hotplug = 11
export const XEN_SYSCTL_page_offline_op = 14
export const XEN_SYSCTL_cputopoinfo = 16
export const XEN_SYSCTL_numainfo = 17
export const XEN_SYSCTL_cpupool_op = 18
export const XEN_SYSCTL_scheduler_op = 19
export const XEN_SYSCTL_get_cpu_levelling_caps = 25
export const XEN_SYSCTL_get_cpu_featureset = 26
export const XEN_SYSCTL_get_cpu_policy = 29

export const XEN_SYSCTL_PHYSCAP_hvm = 1 << 0
export const XEN_SYSCTL_PHYSCAP_pv = 1 << 1
export const XEN_SYSCTL_PHYSCAP_directio = 1 << 2
export const XEN_SYSCTL_PHYSCAP_hap = 1 << 3
export const XEN_SYSCTL_PHYSCAP_shadow = 1 << 4
export const XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share = 1 << 5
export const XEN_SYSCTL_PHYSCAP_vmtrace = 1 << 6
export const XEN_SYSCTL_PHYSCAP_vpmu = 1 << 7
export const XEN_SYSCTL_PHYSCAP_gnttab_v1 = 1 << 8
export const XEN_SYSCTL_PHYSCAP_gnttab_v2 = 1 << 9

export const XEN_SYSCTL_CPU_HOTPLUG_ONLINE = 0
export const XEN_SYSCTL_CPU_HOTPLUG_OFFLINE = 1
export const XEN_SYSCTL_CPU_HOTPLUG_SMT_ENABLE = 2
export const XEN_SYSCTL_CPU_HOTPLUG_SMT_DISABLE = 3

export const sysctl_page_offline = 1
export const sysctl_page_online = 2
export const sysctl_query_page_offline = 3

/** What became of a frame, in its low byte; above it why, and from bit 16 on whose it is. */
export const PG_OFFLINE_STATUS_MASK = 0xff
export const PG_OFFLINE_INVALID = 1 << 0
export const PG_OFFLINE_OFFLINED = 1 << 1
export const PG_OFFLINE_PENDING = 1 << 2
export const PG_OFFLINE_FAILED = 1 << 3
export const PG_ONLINE_ONLINED = PG_OFFLINE_OFFLINED
export const PG_OFFLINE_STATUS_OFFLINED = 1 << 1
export const PG_OFFLINE_STATUS_OFFLINE_PENDING = 1 << 3
export const PG_OFFLINE_XENPAGE = 1 << 8
export const PG_OFFLINE_ANONYMOUS = 1 << 10
export const PG_OFFLINE_OWNED = 1 << 12
export const PG_OFFLINE_OWNER_SHIFT = 16

/** Where a CPU is that is not online. */
export const XEN_INVALID_CORE_ID = 0xffff_ffff
export const XEN_INVALID_SOCKET_ID = 0xffff_ffff
export const XEN_INVALID_NODE_ID = 0xffff_ffff

export const XEN_SYSCTL_CPUPOOL_OP_CREATE = 1
export const XEN_SYSCTL_CPUPOOL_OP_DESTROY = 2
export const XEN_SYSCTL_CPUPOOL_OP_INFO = 3
export const XEN_SYSCTL_CPUPOOL_OP_ADDCPU = 4
export const XEN_SYSCTL_CPUPOOL_OP_RMCPU = 5
export const XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN = 6
export const XEN_SYSCTL_CPUPOOL_OP_FREEINFO = 7

export const XEN_SYSCTL_CPUPOOL_PAR_ANY = 0xffff_ffff

export const XEN_SYSCTL_SCHED_RATELIMIT_MAX = 500000
export const XEN_SYSCTL_SCHED_RATELIMIT_MIN = 100
export const XEN_SYSCTL_CSCHED_TSLICE_MAX = 1000
export const XEN_SYSCTL_CSCHED_TSLICE_MIN = 1
export const XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US = 100 * 1000
export const XEN_SYSCTL_SCHEDOP_putinfo = 0
export const XEN_SYSCTL_SCHEDOP_getinfo = 1

export const SysctlReadconsole = struct('struct xen_sysctl_readconsole', {
  clear: u8, incremental: u8, pad0: u8, pad1: u8, index: u32, buffer: pointer, count: u32,
})
export const SysctlPhysinfo = struct('struct xen_sysctl_physinfo', {
  threads_per_core: u32, cores_per_socket: u32, nr_cpus: u32, max_cpu_id: u32,
  nr_nodes: u32, max_node_id: u32, cpu_khz: u32, capabilities: u32, arch_capabilities: u32,
  pad: u32, total_pages: u53, free_pages: u53, scrub_pages: u53, outstanding_pages: u53,
  max_mfn: u53, hw_cap: array(u32, 8),
})
export const SysctlSchedId = struct('struct xen_sysctl_sched_id', { sched_id: u32 })
export const SysctlGetdomaininfolist = struct('struct xen_sysctl_getdomaininfolist', {
  first_domain: domid_t, max_domains: u32, buffer: pointer, num_domains: u32,
})
export const SysctlDebugKeys = struct('struct xen_sysctl_debug_keys', {
  keys: pointer, nr_keys: u32,
})
export const SysctlCpuinfo = struct('struct xen_sysctl_cpuinfo', { idletime: u53 })
export const SysctlGetcpuinfo = struct('struct xen_sysctl_getcpuinfo', {
  max_cpus: u32, info: pointer, nr_cpus: u32,
})
export const SysctlCpuHotplug = struct('struct xen_sysctl_cpu_hotplug', { cpu: u32, op: u32 })
export const SysctlPageOfflineOp = struct('struct xen_sysctl_page_offline_op', {
  cmd: u32, start: u32, end: u32, status: pointer,
})
export const SysctlCputopo = struct('struct xen_sysctl_cputopo', {
  core: u32, socket: u32, node: u32,
})
export const SysctlCputopoinfo = struct('struct xen_sysctl_cputopoinfo', {
  num_cpus: u32, cputopo: pointer,
})
export const SysctlMeminfo = struct('struct xen_sysctl_meminfo', { memsize: u64, memfree: u64 })
export const SysctlNumainfo = struct('struct xen_sysctl_numainfo', {
  num_nodes: u32, meminfo: pointer, distance: pointer,
})
export const SysctlCpupoolOp = struct('struct xen_sysctl_cpupool_op', {
  op: u32, cpupool_id: u32, sched_id: u32, domid: u32, cpu: u32, n_dom: u32,
  cpumap: XenctlBitmap,
})
export const SysctlCreditSchedule = struct('struct xen_sysctl_credit_schedule', {
  tslice_ms: u32, ratelimit_us: u32, vcpu_migr_delay_us: u32,
})
export const SysctlCredit2Schedule = struct('struct xen_sysctl_credit2_schedule', {
  ratelimit_us: u32,
})
export const SysctlSchedulerOp = struct('struct xen_sysctl_scheduler_op', {
  cpupool_id: u32, sched_id: u32, cmd: u32,
  u: union({
    // A handle is among the members, so the union aligns to eight bytes.
    sched_arinc653: struct('struct xen_sysctl_sched_arinc653', { schedule: pointer }),
    sched_credit: SysctlCreditSchedule,
    sched_credit2: SysctlCredit2Schedule,
  }),
})
export const SysctlCpuFeatureset = struct('struct xen_sysctl_cpu_featureset', {
  index: u32, nr_features: u32, features: pointer,
})
export const SysctlCpuPolicy = struct('struct xen_sysctl_cpu_policy', {
  index: u32, nr_leaves: u32, nr_msrs: u32, _rsvd: u32, leaves: pointer, msrs: pointer,
})

export const XenSysctl = struct('struct xen_sysctl', {
  cmd: u32, interface_version: u32,
  u: union({
    readconsole: SysctlReadconsole,
    physinfo: SysctlPhysinfo,
    sched_id: SysctlSchedId,
    getdomaininfolist: SysctlGetdomaininfolist,
    debug_keys: SysctlDebugKeys,
    getcpuinfo: SysctlGetcpuinfo,
    cpu_hotplug: SysctlCpuHotplug,
    page_offline: SysctlPageOfflineOp,
    cputopoinfo: SysctlCputopoinfo,
    numainfo: SysctlNumainfo,
    cpupool_op: SysctlCpupoolOp,
    scheduler_op: SysctlSchedulerOp,
    cpu_featureset: SysctlCpuFeatureset,
    cpu_policy: SysctlCpuPolicy,
    pad: array(u8, 128),
  }),
})
