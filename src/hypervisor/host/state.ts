/**
 * What the hypervisor knows about the whole machine, in hypervisor memory.
 *
 * Lock order, lowest first: a thread may take a lock only while those that it holds are above it in
 * this list (base/shared/lock.ts checks). Two domains' locks of one kind are taken in the order of
 * their addresses.
 */
import { atomic, f64, i32, u32, u8 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'
import { Doorbell } from '../../base/shared/doorbell.ts'
import { HeapState } from '../../base/shared/heap.ts'
import { MAX_PROCESSORS } from '../../cpu/mmu/frame-uses.ts'
import { MAX_NODES, NodeState } from './nodes.ts'

export const LOCK_RANK = {
  /** Creation and destruction of domains. */
  domctl: 1,
  /** A domain's life: pausing, shutting down. */
  domain: 2,
  /** A domain's ports. */
  events: 3,
  /** A domain's grant table and what it has mapped. */
  grants: 4,
  /** A domain's physical-to-machine table. */
  p2m: 5,
  /** The scheduler's queues. */
  sched: 6,
  /** A domain's timers. */
  timers: 7,
  /** The frame allocator. */
  frames: 8,
  /** The heap of hypervisor memory. */
  heap: 9,
  /** The console ring. */
  console: 10,
  /** The notes of what cores must forget of frames. */
  notes: 11,
} as const

export const MAX_CORES = MAX_PROCESSORS
/** How many notes on frames are remembered, a power of two. */
export const NOTES = 4096

/** A physical CPU, which is a worker thread. */
export const CoreState = struct('core', {
  /** The idle core sleeps on it. */
  doorbell: Doorbell,
  /** Not 0 while it shall run vcpus: see sched/hotplug.ts. */
  online: atomic(u32),
  /** The vcpu that runs here, by address; 0 when idle. */
  currentVcpu: atomic(u32),
  /** Machine address of the word whose being non-zero ends the processor's run. */
  kickWord: u32,
  idleTimeNs: f64,
  /** Counts entrances and departures: see presence.ts. */
  inside: atomic(u32),
  /** Not 0 when a thread sleeps until it leaves. */
  awaited: atomic(u32),
  /** How many locks its thread holds. */
  heldLocks: u32,
  node: u32,
  pad: array(u32, 3),
})

export const HostState = struct('host', {
  magic: u32,
  /** Frames that machine memory has room for. */
  machineFrames: u32,
  frameTableAt: u32,
  bitmapAt: u32,
  domainTableAt: u32,
  conringAt: u32,
  conringSize: u32,
  coreCount: u32,

  domctlLock: atomic(u32),
  framesLock: atomic(u32),
  consoleLock: atomic(u32),
  schedLock: atomic(u32),

  freeFrames: atomic(u32),
  /** Among them, promised to domains by XENMEM_claim_pages. */
  claimedFrames: u32,
  /** Frames given out to Xen itself: tables, shared pages. */
  xenFrames: atomic(i32),
  nodeCount: u32,
  nodes: array(NodeState, MAX_NODES),
  /** Machine address of the words of memory/frame-uses.ts. */
  frameUses: u32,
  /** Machine address of the latest TSC that a core was told (cpu/interpreter/time-stamp.ts). */
  tscTold: u32,
  /** Machine address of a word with which cores exclude one another (cpu/mmu/locked.ts). */
  pairLock: u32,

  domainCount: atomic(u32),
  nextDomid: u32,
  domainSerial: u32,
  /** Blocks of former domains and vcpus, used again only as such, so that a stale reference finds
   * a struct of the right kind with another serial. */
  freeDomains: u32,
  freeVcpus: u32,

  conringProduced: atomic(u32),
  conringConsumed: u32,

  /** Domains' `global` virqs go to Dom0 unless another handler is set. */
  virqHandlers: array(u32, 24),

  tscKhz: u32,
  /** What sysctl physinfo shows of the processor: CPUID 1 edx, ecx, and so on. */
  hwCap: array(u32, 8),
  bootWallClockMs: f64,
  /** SchedState (sched/state.ts). */
  schedAt: u32,

  heap: HeapState,
  cores: array(CoreState, MAX_CORES),
  commandLine: array(u8, 1024),

  /** The last notes on frames, of memory/frame-uses.ts. */
  notesLock: atomic(u32),
  noteCount: atomic(u32),
  notes: array(u32, NOTES),

  /** The core that has the bus, plus one. */
  busLock: atomic(u32),
})

export const HOST_MAGIC = 0x686f_7374
