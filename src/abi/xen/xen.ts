/**
 * xen/include/public/xen.h and arch-x86/xen.h: numbers and structs that all of Xen's interface
 * uses.
 *
 * Left out: the console descriptions of a PV Dom0 (dom0_vga_console_info). The 32-bit shape of
 * shared_info and vcpu_info is in shared-info-32.ts.
 */
import { as, i8, pointer, u16, u32, u64, u8, ulong } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'
import type { Domid } from '../numbers.ts'

export const __HYPERVISOR_set_trap_table = 0
export const __HYPERVISOR_mmu_update = 1
export const __HYPERVISOR_set_gdt = 2
export const __HYPERVISOR_stack_switch = 3
export const __HYPERVISOR_set_callbacks = 4
export const __HYPERVISOR_fpu_taskswitch = 5
export const __HYPERVISOR_sched_op_compat = 6
export const __HYPERVISOR_platform_op = 7
export const __HYPERVISOR_set_debugreg = 8
export const __HYPERVISOR_get_debugreg = 9
export const __HYPERVISOR_update_descriptor = 10
export const __HYPERVISOR_memory_op = 12
export const __HYPERVISOR_multicall = 13
export const __HYPERVISOR_update_va_mapping = 14
export const __HYPERVISOR_set_timer_op = 15
export const __HYPERVISOR_event_channel_op_compat = 16
export const __HYPERVISOR_xen_version = 17
export const __HYPERVISOR_console_io = 18
export const __HYPERVISOR_physdev_op_compat = 19
export const __HYPERVISOR_grant_table_op = 20
export const __HYPERVISOR_vm_assist = 21
export const __HYPERVISOR_update_va_mapping_otherdomain = 22
export const __HYPERVISOR_iret = 23
export const __HYPERVISOR_vcpu_op = 24
export const __HYPERVISOR_set_segment_base = 25
export const __HYPERVISOR_mmuext_op = 26
export const __HYPERVISOR_xsm_op = 27
export const __HYPERVISOR_nmi_op = 28
export const __HYPERVISOR_sched_op = 29
export const __HYPERVISOR_callback_op = 30
export const __HYPERVISOR_xenoprof_op = 31
export const __HYPERVISOR_event_channel_op = 32
export const __HYPERVISOR_physdev_op = 33
export const __HYPERVISOR_hvm_op = 34
export const __HYPERVISOR_sysctl = 35
export const __HYPERVISOR_domctl = 36
export const __HYPERVISOR_kexec_op = 37
export const __HYPERVISOR_tmem_op = 38
export const __HYPERVISOR_argo_op = 39
export const __HYPERVISOR_xenpmu_op = 40
export const __HYPERVISOR_dm_op = 41
export const __HYPERVISOR_hypfs_op = 42
export const __HYPERVISOR_arch_0 = 48
export const __HYPERVISOR_arch_1 = 49
export const __HYPERVISOR_arch_2 = 50
export const __HYPERVISOR_arch_3 = 51
export const __HYPERVISOR_arch_4 = 52
export const __HYPERVISOR_arch_5 = 53
export const __HYPERVISOR_arch_6 = 54
export const __HYPERVISOR_arch_7 = 55

export const VIRQ_TIMER = 0
export const VIRQ_DEBUG = 1
export const VIRQ_CONSOLE = 2
export const VIRQ_DOM_EXC = 3
export const VIRQ_TBUF = 4
export const VIRQ_DEBUGGER = 6
export const VIRQ_XENOPROF = 7
export const VIRQ_CON_RING = 8
export const VIRQ_PCPU_STATE = 9
export const VIRQ_MEM_EVENT = 10
export const VIRQ_ARGO = 11
export const VIRQ_ENOMEM = 12
export const VIRQ_XENPMU = 13
export const VIRQ_ARCH_0 = 16
export const NR_VIRQS = 24

export const CONSOLEIO_write = 0
export const CONSOLEIO_read = 1

export const VMASST_CMD_enable = 0
export const VMASST_CMD_disable = 1
export const VMASST_TYPE_4gb_segments = 0
export const VMASST_TYPE_4gb_segments_notify = 1
export const VMASST_TYPE_writable_pagetables = 2
export const VMASST_TYPE_pae_extended_cr3 = 3
export const VMASST_TYPE_architectural_iopl = 4
export const VMASST_TYPE_runstate_update_flag = 5
export const VMASST_TYPE_m2p_strict = 32

export const DOMID_FIRST_RESERVED = 0x7ff0
export const DOMID_SELF = 0x7ff0
export const DOMID_IO = 0x7ff1
export const DOMID_XEN = 0x7ff2
export const DOMID_COW = 0x7ff3
export const DOMID_INVALID = 0x7ff4
export const DOMID_IDLE = 0x7fff
export const DOMID_MASK = 0x7fff

export const XEN_PVCLOCK_TSC_STABLE_BIT = 1
export const XEN_PVCLOCK_GUEST_STOPPED = 2

export const SIF_PRIVILEGED = 1
export const SIF_INITDOMAIN = 2
export const SIF_MULTIBOOT_MOD = 4
export const SIF_MOD_START_PFN = 8
export const SIF_VIRT_P2M_4TOOLS = 16
export const MAX_GUEST_CMDLINE = 1024

export const XEN_LEGACY_MAX_VCPUS = 32

export const domid_t = as<Domid>(u16)

export const MmuUpdate = struct('struct mmu_update', { ptr: u64, val: u64 })

export const MulticallEntry = struct('struct multicall_entry', {
  op: ulong, result: ulong, args: array(ulong, 6),
})

export const VcpuTimeInfo = struct('struct vcpu_time_info', {
  version: u32, pad0: u32,
  tsc_timestamp: u64, system_time: u64,
  tsc_to_system_mul: u32, tsc_shift: i8, flags: u8, pad1: array(u8, 2),
})

export const ArchVcpuInfo = struct('struct arch_vcpu_info', { cr2: ulong, pad: ulong })

export const VcpuInfo = struct('struct vcpu_info', {
  evtchn_upcall_pending: u8, evtchn_upcall_mask: u8, evtchn_pending_sel: u64,
  arch: ArchVcpuInfo, time: VcpuTimeInfo,
})

export const ArchSharedInfo = struct('struct arch_shared_info', {
  max_pfn: ulong, pfn_to_mfn_frame_list_list: ulong, nmi_reason: ulong,
  p2m_cr3: ulong, p2m_vaddr: ulong, p2m_generation: ulong,
})

export const SharedInfo = struct('struct shared_info', {
  vcpu_info: array(VcpuInfo, XEN_LEGACY_MAX_VCPUS),
  evtchn_pending: array(u64, 64), evtchn_mask: array(u64, 64),
  wc_version: u32, wc_sec: u32, wc_nsec: u32, wc_sec_hi: u32,
  arch: ArchSharedInfo,
})

export const StartInfo = struct('struct start_info', {
  magic: array(u8, 32), nr_pages: ulong, shared_info: ulong, flags: u32,
  store_mfn: ulong, store_evtchn: u32,
  console: union({
    domU: struct('console.domU', { mfn: ulong, evtchn: u32 }),
    dom0: struct('console.dom0', { info_off: u32, info_size: u32 }),
  }),
  pt_base: ulong, nr_pt_frames: ulong, mfn_list: ulong, mod_start: ulong, mod_len: ulong,
  cmd_line: array(i8, MAX_GUEST_CMDLINE), first_p2m_pfn: ulong, nr_p2m_frames: ulong,
})

export const XenctlBitmap = struct('struct xenctl_bitmap', { bitmap: pointer, nr_bits: u32 })

/** arch-x86/xen.h: which emulated devices a domain has. */
export const XEN_X86_EMU_LAPIC = 1 << 0
export const XEN_X86_EMU_HPET = 1 << 1
export const XEN_X86_EMU_PM = 1 << 2
export const XEN_X86_EMU_RTC = 1 << 3
export const XEN_X86_EMU_IOAPIC = 1 << 4
export const XEN_X86_EMU_PIC = 1 << 5
export const XEN_X86_EMU_VGA = 1 << 6
export const XEN_X86_EMU_IOMMU = 1 << 7
export const XEN_X86_EMU_PIT = 1 << 8
export const XEN_X86_EMU_USE_PIRQ = 1 << 9
export const XEN_X86_EMU_VPCI = 1 << 10
export const XEN_X86_EMU_ALL = 0x7ff
export const XEN_X86_MSR_RELAXED = 1 << 0

export const ArchDomainConfig = struct('struct xen_arch_domainconfig', {
  emulation_flags: u32, misc_flags: u32,
})

export const E820Entry = struct('struct e820entry', { addr: u64, size: u64, type: u32 }, {
  packed: true,
})

const TrapInfo = struct('struct trap_info', { vector: u8, flags: u8, cs: u16, address: ulong })

export const CpuUserRegs = struct('struct cpu_user_regs', {
  r15: u64, r14: u64, r13: u64, r12: u64, rbp: u64, rbx: u64, r11: u64, r10: u64, r9: u64, r8: u64,
  rax: u64, rcx: u64, rdx: u64, rsi: u64, rdi: u64,
  error_code: u32, entry_vector: u32,
  rip: u64, cs: u16, _pad0: array(u16, 1), saved_upcall_mask: u8, _pad1: array(u8, 3),
  rflags: u64, rsp: u64, ss: u16, _pad2: array(u16, 3),
  es: u16, _pad3: array(u16, 3), ds: u16, _pad4: array(u16, 3),
  fs: u16, _pad5: array(u16, 3), gs: u16, _pad6: array(u16, 3),
})

export const VGCF_i387_valid = 1
export const VGCF_in_kernel = 4
export const VGCF_online = 32

export const VcpuGuestContext = struct('struct vcpu_guest_context', {
  fpu_ctxt: array(u8, 512), flags: ulong, user_regs: CpuUserRegs,
  trap_ctxt: array(TrapInfo, 256), ldt_base: ulong, ldt_ents: ulong,
  gdt_frames: array(ulong, 16), gdt_ents: ulong, kernel_ss: ulong, kernel_sp: ulong,
  ctrlreg: array(ulong, 8), debugreg: array(ulong, 8),
  event_callback_eip: ulong, failsafe_callback_eip: ulong, syscall_callback_eip: ulong,
  vm_assist: ulong, fs_base: u64, gs_base_kernel: u64, gs_base_user: u64,
})

export const XenCpuidLeaf = struct('struct xen_cpuid_leaf', {
  leaf: u32, subleaf: u32, a: u32, b: u32, c: u32, d: u32,
})
export const XEN_CPUID_NO_SUBLEAF = 0xffff_ffff
