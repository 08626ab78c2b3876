/**
 * xen/include/public/io/xs_wire.h: the protocol between xenstore and its clients.
 */
import { atomic, u32, u8 } from '../../../base/layout/scalar.ts'
import { array, struct } from '../../../base/layout/struct.ts'

export const XS_CONTROL = 0
export const XS_DIRECTORY = 1
export const XS_READ = 2
export const XS_GET_PERMS = 3
export const XS_WATCH = 4
export const XS_UNWATCH = 5
export const XS_TRANSACTION_START = 6
export const XS_TRANSACTION_END = 7
export const XS_INTRODUCE = 8
export const XS_RELEASE = 9
export const XS_GET_DOMAIN_PATH = 10
export const XS_WRITE = 11
export const XS_MKDIR = 12
export const XS_RM = 13
export const XS_SET_PERMS = 14
export const XS_WATCH_EVENT = 15
export const XS_ERROR = 16
export const XS_IS_DOMAIN_INTRODUCED = 17
export const XS_RESUME = 18
export const XS_SET_TARGET = 19
export const XS_RESET_WATCHES = 21
export const XS_DIRECTORY_PART = 22
export const XS_TYPE_COUNT = 23
export const XS_INVALID = 0xffff

export const XENSTORE_RING_SIZE = 1024
export const XENSTORE_PAYLOAD_MAX = 4096
export const XENSTORE_ABS_PATH_MAX = 3072
export const XENSTORE_REL_PATH_MAX = 2048
export const XENSTORE_SERVER_FEATURE_RECONNECTION = 1
export const XENSTORE_SERVER_FEATURE_ERROR = 2
export const XENSTORE_CONNECTED = 0
export const XENSTORE_RECONNECT = 1
export const XENSTORE_ERROR_NONE = 0
export const XENSTORE_ERROR_COMM = 1
export const XENSTORE_ERROR_RINGIDX = 2
export const XENSTORE_ERROR_PROTO = 3

export const XsdSockmsg = struct('struct xsd_sockmsg', {
  type: u32, req_id: u32, tx_id: u32, len: u32,
})
export const XenstoreDomainInterface = struct('struct xenstore_domain_interface', {
  req: array(u8, XENSTORE_RING_SIZE), rsp: array(u8, XENSTORE_RING_SIZE),
  req_cons: atomic(u32), req_prod: atomic(u32), rsp_cons: atomic(u32), rsp_prod: atomic(u32),
  server_features: atomic(u32), connection: atomic(u32), error: atomic(u32),
})
