/**
 * domctl: a domain's settings — memory, time, sizes.
 *
 * Shadow and HAP pools are sizes that are remembered, for the p2m is paid for otherwise.
 */
import { EFAULT, EINVAL, EOPNOTSUPP } from '../../../abi/xen/errno.ts'
import * as D from '../../../abi/xen/domctl.ts'
import { NR_VIRQS } from '../../../abi/xen/xen.ts'
import { domctlCommand, getBitmap, putBitmap } from './control.ts'

const TSC_MODE_NEVER_EMULATE = 2
const P2M_SLACK_FRAMES = 256
const MIB = 1024 * 1024
const MAX_PAGES = 0x7fff_ffff

export const settingCommands = [
  domctlCommand(D.XEN_DOMCTL_max_mem, 'in', function max_mem(_caller, domain, op) {
    const pages = Math.floor(op.u.max_mem.max_memkb / 4)
    if (pages > MAX_PAGES) return -EINVAL
    domain.state.maxPages = pages
    domain.state.p2mFrameLimit = P2M_SLACK_FRAMES + Math.ceil(pages / 1024)
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_setnodeaffinity, 'in', function setnodeaffinity(caller, domain, op) {
    const nodes = getBitmap(caller, op.u.nodeaffinity.nodemap)
    if (!nodes) return -EFAULT
    const there = (1 << caller.host.state.nodeCount) - 1
    if (((nodes[0] ?? 0) & there) === 0) return -EINVAL
    domain.state.nodeAffinity = nodes[0]!
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_getnodeaffinity, 'inout',
    function getnodeaffinity(caller, { state }, op) {
      const { nodeCount } = caller.host.state
      const isIn = (i: number): boolean =>
        i < nodeCount && (state.nodeAffinity >>> i & 1) === 1
      return putBitmap(caller, op.u.nodeaffinity.nodemap, isIn) ? 0 : -EFAULT
    }),
  domctlCommand(D.XEN_DOMCTL_settimeoffset, 'in', function settimeoffset(_caller, domain, op) {
    const seconds = Number(op.u.settimeoffset.time_offset_seconds)
    if (Math.abs(seconds) > 2 ** 40) return -EINVAL
    domain.state.timeOffsetSeconds = seconds
    domain.host.services.time.updateWallClock(domain)
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_settscinfo, 'in', function settscinfo(_caller, domain, op) {
    const info = op.u.tsc_info
    if (info.tsc_mode > TSC_MODE_NEVER_EMULATE) return -EINVAL
    const { state } = domain
    state.tscMode = info.tsc_mode
    state.tscIncarnation = info.incarnation
    const elapsed = Number(info.elapsed_nsec)
    if (elapsed > 0) state.bornNs = domain.host.clock.now() - elapsed
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_gettscinfo, 'inout', function gettscinfo(_caller, domain, op) {
    const info = op.u.tsc_info
    const { state } = domain
    info.tsc_mode = state.tscMode
    info.gtsc_khz = state.tscKhz
    info.incarnation = state.tscIncarnation
    info.pad = 0
    info.elapsed_nsec = BigInt(Math.max(0, Math.round(domain.host.clock.now() - state.bornNs)))
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_shadow_op, 'inout', function shadow_op(_caller, domain, op) {
    const request = op.u.shadow_op
    switch (request.op) {
      case D.XEN_DOMCTL_SHADOW_OP_OFF: return 0
      case D.XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        domain.state.mempoolBytes = request.mb * MIB
        return 0
      case D.XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        request.mb = Math.ceil(domain.state.mempoolBytes / MIB)
        return 0
      default: return -EOPNOTSUPP
    }
  }),
  domctlCommand(D.XEN_DOMCTL_set_paging_mempool_size, 'in',
    function set_paging_mempool_size(_caller, domain, op) {
      const { size } = op.u.paging_mempool
      if (size % 4096 !== 0 || size > 2 ** 44) return -EINVAL
      domain.state.mempoolBytes = size
      return 0
    }),
  domctlCommand(D.XEN_DOMCTL_get_paging_mempool_size, 'inout',
    function get_paging_mempool_size(_caller, domain, op) {
      op.u.paging_mempool.size = domain.state.mempoolBytes
      return 0
    }),
  domctlCommand(D.XEN_DOMCTL_get_address_size, 'inout', function get_address_size(_c, _d, op) {
    op.u.address_size.size = 64
    return 0
  }),
  domctlCommand(D.XEN_DOMCTL_set_address_size, 'in', function set_address_size(_c, _d, op) {
    return op.u.address_size.size === 64 ? 0 : -EINVAL
  }),
  domctlCommand(D.XEN_DOMCTL_set_virq_handler, 'in', function set_virq_handler(_c, domain, op) {
    const { virq } = op.u.set_virq_handler
    if (virq >= NR_VIRQS) return -EINVAL
    domain.host.state.virqHandlers.set(virq, domain.id)
    return 0
  }),
]
