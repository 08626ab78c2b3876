/**
 * xen/include/public/io/blkif.h: the ring of a PV block device, and its requests.
 */
import { i16, u16, u53, u64, u8 } from '../../../base/layout/scalar.ts'
import { array, struct } from '../../../base/layout/struct.ts'
import { grant_ref_t } from '../grant_table.ts'

export const BLKIF_OP_READ = 0
export const BLKIF_OP_WRITE = 1
export const BLKIF_OP_WRITE_BARRIER = 2
export const BLKIF_OP_FLUSH_DISKCACHE = 3
export const BLKIF_OP_DISCARD = 5
export const BLKIF_OP_INDIRECT = 6

export const BLKIF_MAX_SEGMENTS_PER_REQUEST = 11
export const BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST = 8

export const BLKIF_RSP_EOPNOTSUPP = -2
export const BLKIF_RSP_ERROR = -1
export const BLKIF_RSP_OKAY = 0

export const VDISK_CDROM = 0x1
export const VDISK_REMOVABLE = 0x2
export const VDISK_READONLY = 0x4

export const BlkifRequestSegment = struct('struct blkif_request_segment', {
  gref: grant_ref_t, first_sect: u8, last_sect: u8,
})
export const BlkifRequest = struct('struct blkif_request', {
  operation: u8, nr_segments: u8, handle: u16, id: u64, sector_number: u53,
  seg: array(BlkifRequestSegment, BLKIF_MAX_SEGMENTS_PER_REQUEST),
})
export const BlkifRequestDiscard = struct('struct blkif_request_discard', {
  operation: u8, flag: u8, handle: u16, id: u64, sector_number: u53, nr_sectors: u53,
})
export const BlkifRequestIndirect = struct('struct blkif_request_indirect', {
  operation: u8, indirect_op: u8, nr_segments: u16, id: u64, sector_number: u53, handle: u16,
  indirect_grefs: array(grant_ref_t, BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST),
})
export const BlkifResponse = struct('struct blkif_response', {
  id: u64, operation: u8, status: i16,
})
