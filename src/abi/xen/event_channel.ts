/**
 * xen/include/public/event_channel.h: ports through which domains signal one another.
 */
import { as, atomic, u32, u53, u8 } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'
import type { EvtchnPort } from '../numbers.ts'
import { domid_t } from './xen.ts'

export const EVTCHNOP_bind_interdomain = 0
export const EVTCHNOP_bind_virq = 1
export const EVTCHNOP_bind_pirq = 2
export const EVTCHNOP_close = 3
export const EVTCHNOP_send = 4
export const EVTCHNOP_status = 5
export const EVTCHNOP_alloc_unbound = 6
export const EVTCHNOP_bind_ipi = 7
export const EVTCHNOP_bind_vcpu = 8
export const EVTCHNOP_unmask = 9
export const EVTCHNOP_reset = 10
export const EVTCHNOP_init_control = 11
export const EVTCHNOP_expand_array = 12
export const EVTCHNOP_set_priority = 13

export const EVTCHNSTAT_closed = 0
export const EVTCHNSTAT_unbound = 1
export const EVTCHNSTAT_interdomain = 2
export const EVTCHNSTAT_pirq = 3
export const EVTCHNSTAT_virq = 4
export const EVTCHNSTAT_ipi = 5

export const EVTCHN_FIFO_PRIORITY_MAX = 0
export const EVTCHN_FIFO_PRIORITY_DEFAULT = 7
export const EVTCHN_FIFO_PRIORITY_MIN = 15
export const EVTCHN_FIFO_MAX_QUEUES = 16
export const EVTCHN_FIFO_PENDING = 31
export const EVTCHN_FIFO_MASKED = 30
export const EVTCHN_FIFO_LINKED = 29
export const EVTCHN_FIFO_BUSY = 28
export const EVTCHN_FIFO_LINK_BITS = 17
export const EVTCHN_FIFO_NR_CHANNELS = 131072
export const EVTCHN_2L_NR_CHANNELS = 4096

export const evtchn_port_t = as<EvtchnPort>(u32)

export const EvtchnAllocUnbound = struct('struct evtchn_alloc_unbound', {
  dom: domid_t, remote_dom: domid_t, port: evtchn_port_t,
})
export const EvtchnBindInterdomain = struct('struct evtchn_bind_interdomain', {
  remote_dom: domid_t, remote_port: evtchn_port_t, local_port: evtchn_port_t,
})
export const EvtchnBindVirq = struct('struct evtchn_bind_virq', {
  virq: u32, vcpu: u32, port: evtchn_port_t,
})
export const EvtchnBindPirq = struct('struct evtchn_bind_pirq', {
  pirq: u32, flags: u32, port: evtchn_port_t,
})
export const EvtchnBindIpi = struct('struct evtchn_bind_ipi', { vcpu: u32, port: evtchn_port_t })
export const EvtchnClose = struct('struct evtchn_close', { port: evtchn_port_t })
export const EvtchnSend = struct('struct evtchn_send', { port: evtchn_port_t })
export const EvtchnStatus = struct('struct evtchn_status', {
  dom: domid_t, port: evtchn_port_t, status: u32, vcpu: u32,
  u: union({
    unbound: struct('unbound', { dom: domid_t }),
    interdomain: struct('interdomain', { dom: domid_t, port: evtchn_port_t }),
    pirq: u32,
    virq: u32,
  }),
})
export const EvtchnBindVcpu = struct('struct evtchn_bind_vcpu', { port: evtchn_port_t, vcpu: u32 })
export const EvtchnUnmask = struct('struct evtchn_unmask', { port: evtchn_port_t })
export const EvtchnReset = struct('struct evtchn_reset', { dom: domid_t })
export const EvtchnInitControl = struct('struct evtchn_init_control', {
  control_gfn: u53, offset: u32, vcpu: u32, link_bits: u8, _pad: array(u8, 7),
})
export const EvtchnExpandArray = struct('struct evtchn_expand_array', { array_gfn: u53 })
export const EvtchnSetPriority = struct('struct evtchn_set_priority', {
  port: evtchn_port_t, priority: u32,
})
export const EvtchnFifoControlBlock = struct('struct evtchn_fifo_control_block', {
  ready: atomic(u32), _rsvd: u32, head: array(u32, EVTCHN_FIFO_MAX_QUEUES),
})
