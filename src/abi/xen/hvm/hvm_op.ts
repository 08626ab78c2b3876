/**
 * xen/include/public/hvm/hvm_op.h: what only HVM and PVH domains ask for.
 */
import { u16, u32, u64, u8 } from '../../../base/layout/scalar.ts'
import { array, struct } from '../../../base/layout/struct.ts'
import { domid_t } from '../xen.ts'

export const HVMOP_set_param = 0
export const HVMOP_get_param = 1
export const HVMOP_flush_tlbs = 5
export const HVMOP_pagetable_dying = 9
export const HVMOP_get_time = 10
export const HVMOP_xentrace = 11
export const HVMOP_set_mem_access = 12
export const HVMOP_get_mem_access = 13
export const HVMOP_get_mem_type = 15
export const HVMOP_set_evtchn_upcall_vector = 23
export const HVMOP_guest_request_vm_event = 24
export const HVMOP_altp2m = 25

export const HVMMEM_ram_rw = 0
export const HVMMEM_ram_ro = 1
export const HVMMEM_mmio_dm = 2

export const XenHvmParam = struct('struct xen_hvm_param', {
  domid: domid_t, pad: u16, index: u32, value: u64,
})
export const XenHvmPagetableDying = struct('struct xen_hvm_pagetable_dying', {
  domid: domid_t, pad: array(u16, 3), gpa: u64,
})
export const XenHvmGetTime = struct('struct xen_hvm_get_time', { now: u64 })
export const XenHvmGetMemType = struct('struct xen_hvm_get_mem_type', {
  domid: domid_t, mem_type: u16, pad: array(u16, 2), pfn: u64,
})
export const XenHvmEvtchnUpcallVector = struct('struct xen_hvm_evtchn_upcall_vector', {
  vcpu: u32, vector: u8,
})
