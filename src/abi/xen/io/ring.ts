/**
 * xen/include/public/io/ring.h: the page that the two ends of a device share.
 */
import { atomic, u32, u8 } from '../../../base/layout/scalar.ts'
import { array, struct } from '../../../base/layout/struct.ts'

/** The struct that DEFINE_RING_TYPES makes, for requests and responses of at most `entrySize`. */
export function sring(name: string, entrySize: number) {
  return struct(name, {
    req_prod: atomic(u32), req_event: atomic(u32), rsp_prod: atomic(u32), rsp_event: atomic(u32),
    pvt: array(u8, 4), __pad: array(u8, 44), ring: array(u8, entrySize),
  })
}

export type Sring = ReturnType<typeof sring>
