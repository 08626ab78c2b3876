/**
 * xen/include/public/io/console.h: the shared page of a PV console.
 */
import { atomic, u32, u8 } from '../../../base/layout/scalar.ts'
import { array, struct } from '../../../base/layout/struct.ts'

export const XENCONS_IN_SIZE = 1024
export const XENCONS_OUT_SIZE = 2048

export const XenconsInterface = struct('struct xencons_interface', {
  in: array(u8, XENCONS_IN_SIZE), out: array(u8, XENCONS_OUT_SIZE),
  in_cons: atomic(u32), in_prod: atomic(u32), out_cons: atomic(u32), out_prod: atomic(u32),
})
