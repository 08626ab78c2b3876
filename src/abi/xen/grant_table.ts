/**
 * xen/include/public/grant_table.h: pages that a domain offers to others.
 */
import { as, i16, pointer, u16, u32, u53, u64, ulong } from '../../base/layout/scalar.ts'
import { struct, union } from '../../base/layout/struct.ts'
import type { GrantRef } from '../numbers.ts'
import { domid_t } from './xen.ts'

export const GNTTABOP_map_grant_ref = 0
export const GNTTABOP_unmap_grant_ref = 1
export const GNTTABOP_setup_table = 2
export const GNTTABOP_dump_table = 3
export const GNTTABOP_transfer = 4
export const GNTTABOP_copy = 5
export const GNTTABOP_query_size = 6
export const GNTTABOP_unmap_and_replace = 7
export const GNTTABOP_set_version = 8
export const GNTTABOP_get_status_frames = 9
export const GNTTABOP_get_version = 10
export const GNTTABOP_swap_grant_ref = 11
export const GNTTABOP_cache_flush = 12

export const GNTTAB_NR_RESERVED_ENTRIES = 8
export const GNTTAB_RESERVED_CONSOLE = 0
export const GNTTAB_RESERVED_XENSTORE = 1

export const GTF_invalid = 0
export const GTF_permit_access = 1
export const GTF_accept_transfer = 2
export const GTF_transitive = 3
export const GTF_type_mask = 3
export const GTF_readonly = 1 << 2
export const GTF_reading = 1 << 3
export const GTF_writing = 1 << 4
export const GTF_PWT = 1 << 5
export const GTF_PCD = 1 << 6
export const GTF_PAT = 1 << 7
export const GTF_sub_page = 1 << 8
export const GTF_transfer_committed = 1 << 2
export const GTF_transfer_completed = 1 << 3

export const GNTMAP_device_map = 1
export const GNTMAP_host_map = 2
export const GNTMAP_readonly = 4
export const GNTMAP_application_map = 8
export const GNTMAP_contains_pte = 16

export const GNTCOPY_source_gref = 1
export const GNTCOPY_dest_gref = 2

export const GNTST_okay = 0
export const GNTST_general_error = -1
export const GNTST_bad_domain = -2
export const GNTST_bad_gntref = -3
export const GNTST_bad_handle = -4
export const GNTST_bad_virt_addr = -5
export const GNTST_bad_dev_addr = -6
export const GNTST_no_device_space = -7
export const GNTST_permission_denied = -8
export const GNTST_bad_page = -9
export const GNTST_bad_copy_arg = -10
export const GNTST_address_too_big = -11
export const GNTST_eagain = -12
export const GNTST_no_space = -13

export const grant_ref_t = as<GrantRef>(u32)

export const GrantEntryV1 = struct('struct grant_entry_v1', {
  flags: u16, domid: domid_t, frame: u32,
})
export const GnttabMapGrantRef = struct('struct gnttab_map_grant_ref', {
  host_addr: u53, flags: u32, ref: grant_ref_t, dom: domid_t,
  status: i16, handle: u32, dev_bus_addr: u53,
})
export const GnttabUnmapGrantRef = struct('struct gnttab_unmap_grant_ref', {
  host_addr: u53, dev_bus_addr: u53, handle: u32, status: i16,
})
export const GnttabSetupTable = struct('struct gnttab_setup_table', {
  dom: domid_t, nr_frames: u32, status: i16, frame_list: pointer,
})
export const GnttabTransfer = struct('struct gnttab_transfer', {
  mfn: ulong, domid: domid_t, ref: grant_ref_t, status: i16,
})
export const GnttabCopyPtr = struct('struct gnttab_copy_ptr', {
  u: union({ ref: grant_ref_t, gmfn: ulong }), domid: domid_t, offset: u16,
})
export const GnttabCopy = struct('struct gnttab_copy', {
  source: GnttabCopyPtr, dest: GnttabCopyPtr, len: u16, flags: u16, status: i16,
})
export const GnttabQuerySize = struct('struct gnttab_query_size', {
  dom: domid_t, nr_frames: u32, max_nr_frames: u32, status: i16,
})
export const GnttabUnmapAndReplace = struct('struct gnttab_unmap_and_replace', {
  host_addr: u53, new_addr: u53, handle: u32, status: i16,
})
export const GnttabSetVersion = struct('struct gnttab_set_version', { version: u32 })
export const GnttabGetStatusFrames = struct('struct gnttab_get_status_frames', {
  nr_frames: u32, dom: domid_t, status: i16, frame_list: pointer,
})
export const GnttabGetVersion = struct('struct gnttab_get_version', {
  dom: domid_t, pad: u16, version: u32,
})
export const GnttabSwapGrantRef = struct('struct gnttab_swap_grant_ref', {
  ref_a: grant_ref_t, ref_b: grant_ref_t, status: i16,
})
export const GnttabCacheFlush = struct('struct gnttab_cache_flush', {
  a: union({ dev_bus_addr: u64, ref: grant_ref_t }), offset: u16, length: u16, op: u32,
})

/** union grant_entry_v2, in its full-page form. */
export const GrantEntryV2FullPage = struct('grant_entry_v2.full_page', {
  flags: u16, domid: domid_t, pad0: u32, frame: u64,
})
