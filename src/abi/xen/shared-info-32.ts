/**
 * shared_info and vcpu_info as 32-bit guests have them (xen/include/public/xen.h,
 * arch-x86/xen-x86_32.h). They are other structs, not the 64-bit ones with narrower fields: there
 * are 32 words of events instead of 64, and wc_sec_hi lies elsewhere.
 */
import { u32, u8, ulong } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'
import { VcpuTimeInfo, XEN_LEGACY_MAX_VCPUS } from './xen.ts'

export const ArchVcpuInfo32 = struct('struct arch_vcpu_info', { cr2: ulong, pad: array(ulong, 5) })
  .for('x86_32')
export const ArchSharedInfo32 = struct('struct arch_shared_info', {
  max_pfn: ulong, pfn_to_mfn_frame_list_list: ulong, nmi_reason: ulong,
  p2m_cr3: ulong, p2m_vaddr: ulong, p2m_generation: ulong, wc_sec_hi: u32,
}).for('x86_32')

export const VcpuInfo32 = struct('struct vcpu_info', {
  evtchn_upcall_pending: u8, evtchn_upcall_mask: u8, evtchn_pending_sel: ulong,
  arch: ArchVcpuInfo32, time: VcpuTimeInfo,
}).for('x86_32')

export const SharedInfo32 = struct('struct shared_info', {
  vcpu_info: array(VcpuInfo32, XEN_LEGACY_MAX_VCPUS),
  evtchn_pending: array(ulong, 32), evtchn_mask: array(ulong, 32),
  wc_version: u32, wc_sec: u32, wc_nsec: u32,
  arch: ArchSharedInfo32,
}).for('x86_32')
