/**
 * struct xen_domctl_getdomaininfo, filled: for domctl and for sysctl's list.
 */
import type { ViewOf } from '../../../base/layout/struct.ts'
import { DomctlGetdomaininfo, XEN_DOMCTL_CDF_hap, XEN_DOMCTL_CDF_xs_domain, XEN_DOMINF_blocked,
  XEN_DOMINF_dying, XEN_DOMINF_hap, XEN_DOMINF_hvm_guest, XEN_DOMINF_paused, XEN_DOMINF_running,
  XEN_DOMINF_shutdown, XEN_DOMINF_shutdownshift, XEN_DOMINF_xs_domain,
  XEN_INVALID_MAX_VCPU_ID } from '../../../abi/xen/domctl.ts'
import type { Domain } from '../../domain/domain.ts'
import { VPF_down } from '../../domain/state.ts'

const PHYSICAL_ADDRESS_BITS = 36

export function fillInfo(domain: Domain, info: ViewOf<typeof DomctlGetdomaininfo>): void {
  const { state } = domain
  info.domain = domain.id
  info.pad1 = 0
  info.tot_pages = state.totPages
  info.max_pages = state.maxPages
  info.outstanding_pages = state.claimedPages
  info.shr_pages = 0
  info.paged_pages = 0
  // ~0 says "not mapped", as in Xen.
  info.shared_info_frame = state.sharedInfoGfn === 0xffff_ffff ? -1 : state.sharedInfoGfn
  info.ssidref = state.ssidref
  for (let i = 0; i < 16; i++) info.handle.set(i, state.handle.get(i))
  info.cpupool = state.cpupool
  info.gpaddr_bits = PHYSICAL_ADDRESS_BITS
  info.arch_config.emulation_flags = state.emulationFlags
  info.arch_config.misc_flags = state.miscFlags
  info.flags = vcpuFlags(domain, info) | domainFlags(domain)
}

/** Counts vcpus and their time; blocked if all that are up wait, running if one runs. */
function vcpuFlags(domain: Domain, info: ViewOf<typeof DomctlGetdomaininfo>): number {
  let online = 0
  let time = 0
  let highest = -1
  let flags = XEN_DOMINF_blocked
  for (let i = 0; i < domain.vcpuCount; i++) {
    const vcpu = domain.vcpu(i)
    if (!vcpu) continue
    highest = i
    time += vcpu.cpuTimeNs()
    if (vcpu.state.flags & VPF_down) continue
    online++
    if (!vcpu.isBlocked) flags &= ~XEN_DOMINF_blocked
    if (vcpu.state.running !== 0) flags |= XEN_DOMINF_running
  }
  info.nr_online_vcpus = online
  info.max_vcpu_id = highest < 0 ? XEN_INVALID_MAX_VCPU_ID : highest
  info.cpu_time = Math.round(time)
  if (domain.isControl) return XEN_DOMINF_running
  return online > 0 ? flags : 0
}

function domainFlags(domain: Domain): number {
  const { state } = domain
  let flags = 0
  if (domain.isDying) flags |= XEN_DOMINF_dying
  if (domain.isHvm) flags |= XEN_DOMINF_hvm_guest
  if (domain.isShutDown) {
    flags |= XEN_DOMINF_shutdown | (state.shutdownCode & 255) << XEN_DOMINF_shutdownshift
  }
  if (state.controllerPauses !== 0) flags |= XEN_DOMINF_paused
  if (state.flags & XEN_DOMCTL_CDF_xs_domain) flags |= XEN_DOMINF_xs_domain
  if (state.flags & XEN_DOMCTL_CDF_hap) flags |= XEN_DOMINF_hap
  return flags
}
