/**
 * xen/include/public/memory.h: reservations and the physical address map.
 */
import { pointer, u16, u32, u53, u64, ulong } from '../../base/layout/scalar.ts'
import { struct, union } from '../../base/layout/struct.ts'
import { domid_t } from './xen.ts'

export const XENMEM_increase_reservation = 0
export const XENMEM_decrease_reservation = 1
export const XENMEM_maximum_ram_page = 2
export const XENMEM_current_reservation = 3
export const XENMEM_maximum_reservation = 4
export const XENMEM_machphys_mfn_list = 5
export const XENMEM_populate_physmap = 6
export const XENMEM_add_to_physmap = 7
export const XENMEM_memory_map = 9
export const XENMEM_machine_memory_map = 10
export const XENMEM_exchange = 11
export const XENMEM_machphys_mapping = 12
export const XENMEM_set_memory_map = 13
export const XENMEM_maximum_gpfn = 14
export const XENMEM_remove_from_physmap = 15
export const XENMEM_set_pod_target = 16
export const XENMEM_get_pod_target = 17
export const XENMEM_get_sharing_freed_pages = 18
export const XENMEM_get_sharing_shared_pages = 19
export const XENMEM_paging_op = 20
export const XENMEM_access_op = 21
export const XENMEM_sharing_op = 22
export const XENMEM_add_to_physmap_batch = 23
export const XENMEM_claim_pages = 24
export const XENMEM_machphys_compat_mfn_list = 25
export const XENMEM_get_vnumainfo = 26
export const XENMEM_reserved_device_memory_map = 27
export const XENMEM_acquire_resource = 28

/** A node's number plus one, from this bit on. */
export const XENMEMF_NODE_SHIFT = 8
export const XENMEMF_populate_on_demand = 1 << 16
export const XENMEMF_exact_node_request = 1 << 17
export const XENMEMF_vnode = 1 << 18

export const XENMAPSPACE_shared_info = 0
export const XENMAPSPACE_grant_table = 1
export const XENMAPSPACE_gmfn = 2
export const XENMAPSPACE_gmfn_range = 3
export const XENMAPSPACE_gmfn_foreign = 4
export const XENMAPSPACE_dev_mmio = 5
export const XENMAPIDX_grant_table_status = 0x8000_0000

export const XENMEM_resource_ioreq_server = 0
export const XENMEM_resource_grant_table = 1
export const XENMEM_resource_vmtrace_buf = 2
export const XENMEM_resource_grant_table_id_shared = 0
export const XENMEM_resource_grant_table_id_status = 1

/** The low bits of a memory_op's command; the bits above say how many extents are done. */
export const MEMOP_CMD_MASK = 63
export const MEMOP_EXTENT_SHIFT = 6

export const XenMemoryReservation = struct('struct xen_memory_reservation', {
  extent_start: pointer, nr_extents: ulong, extent_order: u32, mem_flags: u32, domid: domid_t,
})
export const XenMemoryDomain = struct('struct xen_memory_domain', { domid: domid_t })
export const XenAddToPhysmap = struct('struct xen_add_to_physmap', {
  domid: domid_t, size: u16, space: u32, idx: ulong, gpfn: ulong,
})
export const XenAddToPhysmapBatch = struct('struct xen_add_to_physmap_batch', {
  domid: domid_t, space: u16, size: u16,
  u: union({ foreign_domid: domid_t, res0: u16 }),
  idxs: pointer, gpfns: pointer, errs: pointer,
})
export const XenRemoveFromPhysmap = struct('struct xen_remove_from_physmap', {
  domid: domid_t, gpfn: ulong,
})
export const XenMemoryMap = struct('struct xen_memory_map', { nr_entries: u32, buffer: pointer })
export const XenForeignMemoryMap = struct('struct xen_foreign_memory_map', {
  domid: domid_t, map: XenMemoryMap,
})
export const XenMachphysMapping = struct('struct xen_machphys_mapping', {
  v_start: ulong, v_end: ulong, max_mfn: ulong,
})
export const XenPodTarget = struct('struct xen_pod_target', {
  target_pages: u64, tot_pages: u64, pod_cache_pages: u64, pod_entries: u64, domid: domid_t,
})
export const XenVmemrange = struct('struct xen_vmemrange', {
  start: u53, end: u53, flags: u32, nid: u32,
})
const handle = union({ h: pointer, pad: u64 })
export const XenVnumaTopologyInfo = struct('struct xen_vnuma_topology_info', {
  domid: domid_t, pad: u16, nr_vnodes: u32, nr_vcpus: u32, nr_vmemranges: u32,
  vdistance: handle, vcpu_to_vnode: handle, vmemrange: handle,
})
export const XenMemAcquireResource = struct('struct xen_mem_acquire_resource', {
  domid: domid_t, type: u16, id: u32, nr_frames: u32, pad: u32, frame: u53, frame_list: pointer,
})
