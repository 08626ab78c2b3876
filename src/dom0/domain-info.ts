/**
 * struct xen_domctl_getdomaininfo, unpacked for programs.
 */
import type { View } from '../base/layout/struct.ts'
import { DomctlGetdomaininfo, XEN_DOMINF_blocked, XEN_DOMINF_debugged, XEN_DOMINF_dying,
  XEN_DOMINF_hap, XEN_DOMINF_hvm_guest, XEN_DOMINF_paused, XEN_DOMINF_running,
  XEN_DOMINF_shutdown, XEN_DOMINF_shutdownmask, XEN_DOMINF_shutdownshift,
  XEN_DOMINF_xs_domain } from '../abi/xen/domctl.ts'
import type { DomainInfo } from './interfaces.ts'

export function unpackInfo(info: View<typeof DomctlGetdomaininfo.fields>): DomainInfo {
  const { flags } = info
  const has = (flag: number): boolean => (flags & flag) !== 0
  return {
    domid: info.domain,
    dying: has(XEN_DOMINF_dying),
    hvm: has(XEN_DOMINF_hvm_guest),
    shutdown: has(XEN_DOMINF_shutdown),
    paused: has(XEN_DOMINF_paused),
    blocked: has(XEN_DOMINF_blocked),
    running: has(XEN_DOMINF_running),
    debugged: has(XEN_DOMINF_debugged),
    xsDomain: has(XEN_DOMINF_xs_domain),
    hap: has(XEN_DOMINF_hap),
    shutdownReason: flags >>> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask,
    totalPages: info.tot_pages,
    maxPages: info.max_pages,
    outstandingPages: info.outstanding_pages,
    sharedInfoFrame: info.shared_info_frame,
    cpuTimeNs: info.cpu_time,
    onlineVcpus: info.nr_online_vcpus,
    maxVcpuId: info.max_vcpu_id,
    ssidref: info.ssidref,
    handle: Uint8Array.from({ length: 16 }, (_, i) => info.handle.get(i)),
    cpupool: info.cpupool,
  }
}
