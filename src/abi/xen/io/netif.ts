/**
 * xen/include/public/io/netif.h: the rings of a PV network interface.
 *
 * Left out: the control ring (hashing, static grants).
 */
import { i16, u16, u8 } from '../../../base/layout/scalar.ts'
import { array, struct, union } from '../../../base/layout/struct.ts'
import { grant_ref_t } from '../grant_table.ts'
import { sring } from './ring.ts'

export const XEN_NETIF_NR_SLOTS_MIN = 18

export const NETTXF_csum_blank = 1 << 0
export const NETTXF_data_validated = 1 << 1
export const NETTXF_more_data = 1 << 2
export const NETTXF_extra_info = 1 << 3

export const NETRXF_data_validated = 1 << 0
export const NETRXF_csum_blank = 1 << 1
export const NETRXF_more_data = 1 << 2
export const NETRXF_extra_info = 1 << 3

export const XEN_NETIF_EXTRA_TYPE_GSO = 1
export const XEN_NETIF_EXTRA_TYPE_MCAST_ADD = 2
export const XEN_NETIF_EXTRA_TYPE_MCAST_DEL = 3
export const XEN_NETIF_EXTRA_TYPE_HASH = 4
export const XEN_NETIF_EXTRA_TYPE_MAX = 5
export const XEN_NETIF_EXTRA_FLAG_MORE = 1 << 0

export const XEN_NETIF_GSO_TYPE_TCPV4 = 1
export const XEN_NETIF_GSO_TYPE_TCPV6 = 2

export const NETIF_RSP_DROPPED = -2
export const NETIF_RSP_ERROR = -1
export const NETIF_RSP_OKAY = 0
export const NETIF_RSP_NULL = 1

export const NetifTxRequest = struct('struct netif_tx_request', {
  gref: grant_ref_t, offset: u16, flags: u16, id: u16, size: u16,
})
export const NetifTxResponse = struct('struct netif_tx_response', { id: u16, status: i16 })
export const NetifRxRequest = struct('struct netif_rx_request', {
  id: u16, pad: u16, gref: grant_ref_t,
})
export const NetifRxResponse = struct('struct netif_rx_response', {
  id: u16, offset: u16, flags: u16, status: i16,
})
export const NetifExtraInfo = struct('struct netif_extra_info', {
  type: u8, flags: u8,
  u: union({
    gso: struct('netif_extra_info.u.gso', { size: u16, type: u8, pad: u8, features: u16 }),
    mcast: struct('netif_extra_info.u.mcast', { addr: array(u8, 6) }),
  }),
})

export const NetifTxSring = sring('struct netif_tx_sring', NetifTxRequest.size)
export const NetifRxSring = sring('struct netif_rx_sring', NetifRxRequest.size)
