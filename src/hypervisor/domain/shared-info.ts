/**
 * Which shape a domain's shared_info has: that for 64-bit code, or that for 32-bit code.
 *
 * As Xen's hvm_latch_shinfo_size: the mode of the vcpu decides that has a hypercall page made or
 * sets HVM_PARAM_CALLBACK_IRQ, which drivers do before they look at events. A 32-bit loader may so
 * come before a 64-bit kernel. What lies in the page is not converted; the wall clock is written
 * anew.
 */
import { EVTCHN_2L_NR_CHANNELS } from '../../abi/xen/event_channel.ts'
import { SharedInfo32, VcpuInfo32 } from '../../abi/xen/shared-info-32.ts'
import { SharedInfo, VcpuInfo } from '../../abi/xen/xen.ts'
import type { Domain } from './domain.ts'

/** Where 2-level event channels are. */
export interface EventWords {
  /** Offsets in shared_info of the arrays of bits, and in vcpu_info of the selector. */
  readonly pending: number
  readonly mask: number
  readonly selector: number
  /** A bit of the selector is for 2 ** `shift` ports. */
  readonly shift: number
  readonly ports: number
}

const words64: EventWords = {
  pending: SharedInfo.offsets.evtchn_pending, mask: SharedInfo.offsets.evtchn_mask,
  selector: VcpuInfo.offsets.evtchn_pending_sel, shift: 6, ports: EVTCHN_2L_NR_CHANNELS,
}
const words32: EventWords = {
  pending: SharedInfo32.offsets.evtchn_pending, mask: SharedInfo32.offsets.evtchn_mask,
  selector: VcpuInfo32.offsets.evtchn_pending_sel, shift: 5, ports: 32 * 32,
}

export function eventWords(domain: Domain): EventWords {
  return domain.state.sharedInfo32 === 0 ? words64 : words32
}

/** The domain's code is 32-bit, or is not. */
export function latchSharedInfo(domain: Domain, is32: boolean): void {
  if ((domain.state.sharedInfo32 !== 0) === is32) return
  domain.state.sharedInfo32 = is32 ? 1 : 0
  domain.host.services.time.updateWallClock(domain)
}
