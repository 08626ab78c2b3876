/**
 * Event channels as they lie in hypervisor memory: what DomainState.eventsAt and
 * VcpuState.eventsAt point at.
 */
import { i32, u16, u32, u8 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'
import { EVTCHN_FIFO_MAX_QUEUES, EVTCHN_FIFO_NR_CHANNELS } from '../../abi/xen/event_channel.ts'
import { NR_VIRQS } from '../../abi/xen/xen.ts'

export const PORTS_PER_BUCKET = 128
const MAX_BUCKETS = EVTCHN_FIFO_NR_CHANNELS / PORTS_PER_BUCKET
/** Event words in a page of the FIFO array. */
export const WORDS_PER_PAGE = 1024
export const MAX_FIFO_PAGES = EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE

/** PortState.state. */
export const PORT = {
  free: 0, reserved: 1, unbound: 2, interdomain: 3, virq: 4, ipi: 5,
} as const

export const PortState = struct('port', {
  state: u8,
  /** FIFO queue of the vcpu that is notified. */
  priority: u8,
  /** Raised before the FIFO array had a word for it. */
  early: u8,
  lastPriority: u8,
  vcpu: u16,
  /** The vcpu on whose queue the port was linked last. */
  lastVcpu: u16,
  remoteDomid: u16,
  virq: u16,
  remotePort: u32,
})

export const EventsState = struct('events', {
  /** 1 once a vcpu called EVTCHNOP_init_control. */
  fifo: u32,
  bucketCount: u32,
  fifoPageCount: u32,
  /** 1 once a vcpu has waited in SCHEDOP_poll. */
  polls: u32,
  buckets: array(u32, MAX_BUCKETS),
  /** Machine frames of the FIFO array, each with a reference. */
  fifoPages: array(u32, MAX_FIFO_PAGES),
})

export const VcpuEventsState = struct('vcpu events', {
  /** The port of each virq; 0 is none. */
  virqs: array(u32, NR_VIRQS),
  /** Machine address of the FIFO control block, whose frame has a reference; 0 is none. */
  control: u32,
  tails: array(u32, EVTCHN_FIFO_MAX_QUEUES),
  /** What SCHEDOP_poll waits for: a port, or POLL_MANY. */
  pollPort: i32,
})

export const POLL_MANY = -1
export const PORT_BUCKET_BYTES = PortState.size * PORTS_PER_BUCKET
