/**
 * xen/include/public/hvm/save.h and arch-x86/hvm/save.h: the records in which the state of an HVM
 * or PVH domain travels. Devices keep their state in these very structs.
 */
import { i64, u16, u32, u64, u8 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'

export const HVM_FILE_MAGIC = 0x5438_1286
export const HVM_FILE_VERSION = 1

export const HVM_SAVE_CODE_END = 0
export const HVM_SAVE_CODE_HEADER = 1
export const HVM_SAVE_CODE_CPU = 2
export const HVM_SAVE_CODE_PIC = 3
export const HVM_SAVE_CODE_IOAPIC = 4
export const HVM_SAVE_CODE_LAPIC = 5
export const HVM_SAVE_CODE_LAPIC_REGS = 6
export const HVM_SAVE_CODE_PIT = 10
export const HVM_SAVE_CODE_RTC = 11
export const HVM_SAVE_CODE_HPET = 12
export const HVM_SAVE_CODE_PMTIMER = 13
export const HVM_SAVE_CODE_MTRR = 14
export const CPU_XSAVE_CODE = 16
export const HVM_SAVE_CODE_VMCE_VCPU = 18
export const HVM_SAVE_CODE_TSC_ADJUST = 19
export const CPU_MSR_CODE = 20

export const HvmSaveDescriptor = struct('struct hvm_save_descriptor', {
  typecode: u16, instance: u16, length: u32,
})
export const HvmSaveHeader = struct('struct hvm_save_header', {
  magic: u32, version: u32, changeset: u64, cpuid: u32, gtsc_khz: u32,
})
export const HvmHwCpu = struct('struct hvm_hw_cpu', {
  fpu_regs: array(u8, 512),
  rax: u64, rbx: u64, rcx: u64, rdx: u64, rbp: u64, rsi: u64, rdi: u64, rsp: u64,
  r8: u64, r9: u64, r10: u64, r11: u64, r12: u64, r13: u64, r14: u64, r15: u64,
  rip: u64, rflags: u64, cr0: u64, cr2: u64, cr3: u64, cr4: u64,
  dr0: u64, dr1: u64, dr2: u64, dr3: u64, dr6: u64, dr7: u64,
  cs_sel: u32, ds_sel: u32, es_sel: u32, fs_sel: u32,
  gs_sel: u32, ss_sel: u32, tr_sel: u32, ldtr_sel: u32,
  cs_limit: u32, ds_limit: u32, es_limit: u32, fs_limit: u32,
  gs_limit: u32, ss_limit: u32, tr_limit: u32, ldtr_limit: u32, idtr_limit: u32, gdtr_limit: u32,
  cs_base: u64, ds_base: u64, es_base: u64, fs_base: u64,
  gs_base: u64, ss_base: u64, tr_base: u64, ldtr_base: u64, idtr_base: u64, gdtr_base: u64,
  cs_arbytes: u32, ds_arbytes: u32, es_arbytes: u32, fs_arbytes: u32,
  gs_arbytes: u32, ss_arbytes: u32, tr_arbytes: u32, ldtr_arbytes: u32,
  sysenter_cs: u64, sysenter_esp: u64, sysenter_eip: u64, shadow_gs: u64, msr_flags: u64,
  msr_lstar: u64, msr_star: u64, msr_cstar: u64, msr_syscall_mask: u64, msr_efer: u64,
  msr_tsc_aux: u64, tsc: u64, pending_event: u32, error_code: u32, flags: u32, pad0: u32,
})
export const XEN_X86_FPU_INITIALISED = 1

export const HvmHwLapic = struct('struct hvm_hw_lapic', {
  apic_base_msr: u64, disabled: u32, timer_divisor: u32, tdt_msr: u64,
})
export const HvmHwLapicRegs = struct('struct hvm_hw_lapic_regs', { data: array(u8, 1024) })

export const MTRR_VCNT = 8
export const NUM_FIXED_MSR = 11
export const HvmHwMtrr = struct('struct hvm_hw_mtrr', {
  msr_pat_cr: u64, msr_mtrr_var: array(u64, MTRR_VCNT * 2),
  msr_mtrr_fixed: array(u64, NUM_FIXED_MSR), msr_mtrr_cap: u64, msr_mtrr_def_type: u64,
})
export const HvmHwRtc = struct('struct hvm_hw_rtc', {
  cmos_data: array(u8, 14), cmos_index: u8, pad0: u8, rtc_offset: i64,
})
export const HvmVmceVcpu = struct('struct hvm_vmce_vcpu', {
  caps: u64, mci_ctl2_bank0: u64, mci_ctl2_bank1: u64, mcg_ext_ctl: u64,
})
export const HvmTscAdjust = struct('struct hvm_tsc_adjust', { tsc_adjust: u64 })
/** The fixed part of CPU_XSAVE; the extended area follows as XSAVE wrote it. */
export const HvmHwCpuXsave = struct('struct hvm_hw_cpu_xsave', {
  xfeature_mask: u64, xcr0: u64, xcr0_accum: u64,
  save_area: struct('xsave area', {
    fpu_sse: array(u8, 512),
    xsave_hdr: struct('struct hvm_hw_cpu_xsave_hdr', {
      xstate_bv: u64, xcomp_bv: u64, reserved: array(u64, 6),
    }),
  }),
})
