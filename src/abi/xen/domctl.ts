/**
 * xen/include/public/domctl.h: operations of control tools on domains (version 0x15, Xen 4.17).
 *
 * Only the sub-operations that this hypervisor carries out have a layout.
 */
import { aligned, i32, i64, pointer, u16, u32, u53, u64, u8 } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'
import { ArchDomainConfig, domid_t, XenctlBitmap } from './xen.ts'

export const XEN_DOMCTL_INTERFACE_VERSION = 0x15

export const XEN_DOMCTL_createdomain = 1
export const XEN_DOMCTL_destroydomain = 2
export const XEN_DOMCTL_pausedomain = 3
export const XEN_DOMCTL_unpausedomain = 4
export const XEN_DOMCTL_getdomaininfo = 5
export const XEN_DOMCTL_setvcpuaffinity = 9
export const XEN_DOMCTL_shadow_op = 10
export const XEN_DOMCTL_max_mem = 11
export const XEN_DOMCTL_setvcpucontext = 12
export const XEN_DOMCTL_getvcpucontext = 13
export const XEN_DOMCTL_getvcpuinfo = 14
export const XEN_DOMCTL_max_vcpus = 15
export const XEN_DOMCTL_scheduler_op = 16
export const XEN_DOMCTL_setdomainhandle = 17
export const XEN_DOMCTL_setdebugging = 18
export const XEN_DOMCTL_irq_permission = 19
export const XEN_DOMCTL_iomem_permission = 20
export const XEN_DOMCTL_ioport_permission = 21
export const XEN_DOMCTL_hypercall_init = 22
export const XEN_DOMCTL_settimeoffset = 24
export const XEN_DOMCTL_getvcpuaffinity = 25
export const XEN_DOMCTL_resumedomain = 27
export const XEN_DOMCTL_sendtrigger = 28
export const XEN_DOMCTL_subscribe = 29
export const XEN_DOMCTL_gethvmcontext = 33
export const XEN_DOMCTL_sethvmcontext = 34
export const XEN_DOMCTL_set_address_size = 35
export const XEN_DOMCTL_get_address_size = 36
export const XEN_DOMCTL_gettscinfo = 59
export const XEN_DOMCTL_settscinfo = 60
export const XEN_DOMCTL_getpageframeinfo3 = 61
export const XEN_DOMCTL_set_virq_handler = 66
export const XEN_DOMCTL_setnodeaffinity = 68
export const XEN_DOMCTL_getnodeaffinity = 69
export const XEN_DOMCTL_get_cpu_policy = 82
export const XEN_DOMCTL_setvnumainfo = 74
export const XEN_DOMCTL_set_cpu_policy = 83
export const XEN_DOMCTL_get_paging_mempool_size = 85
export const XEN_DOMCTL_set_paging_mempool_size = 86

export const XEN_DOMCTL_CDF_hvm = 1 << 0
export const XEN_DOMCTL_CDF_hap = 1 << 1
export const XEN_DOMCTL_CDF_s3_integrity = 1 << 2
export const XEN_DOMCTL_CDF_oos_off = 1 << 3
export const XEN_DOMCTL_CDF_xs_domain = 1 << 4
export const XEN_DOMCTL_CDF_iommu = 1 << 5
export const XEN_DOMCTL_CDF_nested_virt = 1 << 6
export const XEN_DOMCTL_CDF_vpmu = 1 << 7
export const XEN_DOMCTL_GRANT_version_mask = 0xf

export const XEN_DOMINF_dying = 1 << 0
export const XEN_DOMINF_hvm_guest = 1 << 1
export const XEN_DOMINF_shutdown = 1 << 2
export const XEN_DOMINF_paused = 1 << 3
export const XEN_DOMINF_blocked = 1 << 4
export const XEN_DOMINF_running = 1 << 5
export const XEN_DOMINF_debugged = 1 << 6
export const XEN_DOMINF_xs_domain = 1 << 7
export const XEN_DOMINF_hap = 1 << 8
export const XEN_DOMINF_shutdownmask = 255
export const XEN_DOMINF_shutdownshift = 16
export const XEN_INVALID_MAX_VCPU_ID = 0xffff_ffff

export const XEN_DOMCTL_SHADOW_OP_OFF = 0
export const XEN_DOMCTL_SHADOW_OP_CLEAN = 11
export const XEN_DOMCTL_SHADOW_OP_PEEK = 12
export const XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION = 30
export const XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION = 31
export const XEN_DOMCTL_SHADOW_OP_ENABLE = 32

export const XEN_VCPUAFFINITY_HARD = 1
export const XEN_VCPUAFFINITY_SOFT = 2
export const XEN_VCPUAFFINITY_FORCE = 4

export const XEN_SCHEDULER_CREDIT = 5
export const XEN_SCHEDULER_CREDIT2 = 6
export const XEN_SCHEDULER_ARINC653 = 7
export const XEN_SCHEDULER_RTDS = 8
export const XEN_SCHEDULER_NULL = 9
export const XEN_DOMCTL_SCHEDOP_putinfo = 0
export const XEN_DOMCTL_SCHEDOP_getinfo = 1
export const XEN_DOMCTL_SCHEDOP_putvcpuinfo = 2
export const XEN_DOMCTL_SCHEDOP_getvcpuinfo = 3

export const XEN_DOMCTL_SCHEDRT_extra = 1 << 0

export const XEN_DOMCTL_SENDTRIGGER_NMI = 0
export const XEN_DOMCTL_SENDTRIGGER_RESET = 1
export const XEN_DOMCTL_SENDTRIGGER_INIT = 2
export const XEN_DOMCTL_SENDTRIGGER_POWER = 3
export const XEN_DOMCTL_SENDTRIGGER_SLEEP = 4

export const DomctlCreatedomain = struct('struct xen_domctl_createdomain', {
  ssidref: u32, handle: array(u8, 16), flags: u32, iommu_opts: u32, max_vcpus: u32,
  max_evtchn_port: u32, max_grant_frames: i32, max_maptrack_frames: i32, grant_opts: u32,
  vmtrace_size: u32, cpupool_id: u32, arch: ArchDomainConfig,
})
export const DomctlGetdomaininfo = struct('struct xen_domctl_getdomaininfo', {
  domain: domid_t, pad1: u16, flags: u32, tot_pages: u53, max_pages: u53, outstanding_pages: u53,
  shr_pages: u53, paged_pages: u53, shared_info_frame: u53, cpu_time: u53,
  nr_online_vcpus: u32, max_vcpu_id: u32, ssidref: u32, handle: array(u8, 16), cpupool: u32,
  gpaddr_bits: u8, pad2: array(u8, 7), arch_config: ArchDomainConfig,
})
export const DomctlVcpuaffinity = struct('struct xen_domctl_vcpuaffinity', {
  vcpu: u32, flags: u32, cpumap_hard: XenctlBitmap, cpumap_soft: XenctlBitmap,
})
export const DomctlNodeaffinity = struct('struct xen_domctl_nodeaffinity', {
  nodemap: XenctlBitmap,
})
export const DomctlShadowOp = struct('struct xen_domctl_shadow_op', {
  op: u32, mode: u32, mb: u32, dirty_bitmap: pointer, pages: u53,
  stats: struct('struct xen_domctl_shadow_op_stats', { fault_count: u32, dirty_count: u32 }),
})
export const DomctlMaxMem = struct('struct xen_domctl_max_mem', { max_memkb: aligned(u53) })
export const DomctlVcpucontext = struct('struct xen_domctl_vcpucontext', {
  vcpu: u32, ctxt: pointer,
})
export const DomctlGetvcpuinfo = struct('struct xen_domctl_getvcpuinfo', {
  vcpu: u32, online: u8, blocked: u8, running: u8, cpu_time: u53, cpu: u32,
})
export const DomctlMaxVcpus = struct('struct xen_domctl_max_vcpus', { max: u32 })
export const DomctlSchedCredit = struct('struct xen_domctl_sched_credit', {
  weight: u16, cap: u16,
})
export const DomctlSchedCredit2 = struct('struct xen_domctl_sched_credit2', {
  weight: u16, cap: u16,
})
export const DomctlSchedRtds = struct('struct xen_domctl_sched_rtds', {
  period: u32, budget: u32, flags: u32,
})
export const DomctlSchedparamVcpu = struct('struct xen_domctl_schedparam_vcpu', {
  u: union({ credit: DomctlSchedCredit, credit2: DomctlSchedCredit2, rtds: DomctlSchedRtds }),
  vcpuid: u32,
})
export const DomctlSchedulerOp = struct('struct xen_domctl_scheduler_op', {
  sched_id: u32, cmd: u32,
  u: union({
    credit: DomctlSchedCredit,
    credit2: DomctlSchedCredit2,
    rtds: DomctlSchedRtds,
    v: struct('scheduler_op.v', { vcpus: pointer, nr_vcpus: u32, padding: u32 }),
  }),
})
export const DomctlSetdomainhandle = struct('struct xen_domctl_setdomainhandle', {
  handle: array(u8, 16),
})
export const DomctlSettimeoffset = struct('struct xen_domctl_settimeoffset', {
  time_offset_seconds: aligned(i64),
})
export const DomctlTscInfo = struct('struct xen_domctl_tsc_info', {
  tsc_mode: u32, gtsc_khz: u32, incarnation: u32, pad: u32, elapsed_nsec: u64,
})
export const DomctlHvmcontext = struct('struct xen_domctl_hvmcontext', {
  size: u32, buffer: pointer,
})
export const DomctlAddressSize = struct('struct xen_domctl_address_size', { size: u32 })
export const DomctlSendtrigger = struct('struct xen_domctl_sendtrigger', {
  trigger: u32, vcpu: u32,
})
export const DomctlGetpageframeinfo3 = struct('struct xen_domctl_getpageframeinfo3', {
  num: u53, array: pointer,
})
export const DomctlVnuma = struct('struct xen_domctl_vnuma', {
  nr_vnodes: u32, nr_vmemranges: u32, nr_vcpus: u32, pad: u32, vdistance: pointer,
  vcpu_to_vnode: pointer, vnode_to_pnode: pointer, vmemrange: pointer,
})
export const DomctlCpuPolicy = struct('struct xen_domctl_cpu_policy', {
  nr_leaves: u32, nr_msrs: u32, leaves: pointer, msrs: pointer,
  err_leaf: u32, err_subleaf: u32, err_msr: u32,
})
export const DomctlPagingMempool = struct('struct xen_domctl_paging_mempool', { size: u53 })
export const DomctlSetVirqHandler = struct('struct xen_domctl_set_virq_handler', { virq: u32 })

export const XenDomctl = struct('struct xen_domctl', {
  cmd: u32, interface_version: u32, domain: domid_t, _pad: array(u16, 3),
  u: union({
    createdomain: DomctlCreatedomain,
    getdomaininfo: DomctlGetdomaininfo,
    getpageframeinfo3: DomctlGetpageframeinfo3,
    nodeaffinity: DomctlNodeaffinity,
    vcpuaffinity: DomctlVcpuaffinity,
    shadow_op: DomctlShadowOp,
    max_mem: DomctlMaxMem,
    vcpucontext: DomctlVcpucontext,
    getvcpuinfo: DomctlGetvcpuinfo,
    max_vcpus: DomctlMaxVcpus,
    scheduler_op: DomctlSchedulerOp,
    setdomainhandle: DomctlSetdomainhandle,
    settimeoffset: DomctlSettimeoffset,
    tsc_info: DomctlTscInfo,
    hvmcontext: DomctlHvmcontext,
    address_size: DomctlAddressSize,
    sendtrigger: DomctlSendtrigger,
    vnuma: DomctlVnuma,
    cpu_policy: DomctlCpuPolicy,
    set_virq_handler: DomctlSetVirqHandler,
    paging_mempool: DomctlPagingMempool,
    pad: array(u8, 128),
  }),
})
