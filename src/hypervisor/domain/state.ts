/**
 * A domain and a vcpu as they lie in hypervisor memory.
 *
 * Fields named `…At` are addresses of blocks on the hypervisor's heap that belong to the part of
 * the hypervisor that the name says; 0 is none.
 */
import { as, atomic, f64, i32, u16, u32, u53, u64, u8 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'
import type { Domid } from '../../abi/numbers.ts'
import { HvmHwCpu, HvmHwLapic, HvmHwLapicRegs, HvmHwMtrr } from '../../abi/save/hvm.ts'
import { E820Entry } from '../../abi/xen/xen.ts'
import { HVM_NR_PARAMS } from '../../abi/xen/hvm/params.ts'
import { featureWords } from '../../abi/x86/cpuid.ts'
import { CPU_CONTEXT_SIZE } from '../../cpu/state.ts'
import { DomainSchedState, VcpuSchedState } from '../sched/state.ts'

export const MAX_VCPUS = 128
export const MAX_E820 = 128
export const AFFINITY_WORDS = 4

/** DomainState.life */
export const LIFE = { free: 0, alive: 1, dying: 2 } as const

/** DomainState.shutdown: bits. */
export const SHUTTING_DOWN = 1
export const SHUT_DOWN = 2

/** VcpuState.flags: why a vcpu does not run. */
export const VPF_blocked = 1
export const VPF_down = 2
export const VPF_polling = 4
/** What an event ends. */
export const VPF_waits = VPF_blocked | VPF_polling
/**
 * In place of VPF_blocked, and no reason: a core looks at its timers, and it is blocked again if
 * nothing came of them. In the same word, so that an event meanwhile takes it away for good.
 */
export const VPF_timers = 8

/** VcpuState.work: what the core must do before it enters the guest again. */
export const WORK_EVENTS = 2
export const WORK_NMI = 4
/** The register context was set from outside. */
export const WORK_CONTEXT = 8
/** The LAPIC's or MTRRs' state was set from outside. */
export const WORK_PLATFORM = 16
/** Nothing to do: the core is about to take what there is, and need not be told of more. */
export const WORK_IN_HAND = 1

export const NO_FRAME = 0xffff_ffff

export const DomainState = struct('domain', {
  serial: u32,
  life: atomic(u32),
  domid: as<Domid>(u16),
  privileged: u8,
  hvm: u8,
  control: u8,
  /** XEN_DOMCTL_CDF_*. */
  flags: u32,

  lock: atomic(u32),
  eventsLock: atomic(u32),
  grantsLock: atomic(u32),
  p2mLock: atomic(u32),
  timersLock: atomic(u32),

  handle: array(u8, 16),
  ssidref: u32,
  emulationFlags: u32,
  miscFlags: u32,
  cpupool: u32,
  /** NUMA nodes that its memory should be of, one bit each. */
  nodeAffinity: u32,
  target: u32,

  totPages: atomic(u32),
  maxPages: u32,
  /** Pages that it has claimed and not got yet. */
  claimedPages: u32,
  /** Pages that are populated on demand and were not yet, and how many it shall have in all. */
  podEntries: u32,
  podTarget: u32,
  /** Below which gfn pages of zeros are looked for next. */
  zeroSweep: u32,
  /** Machine frame of the p2m directory. */
  p2mDirectory: u32,
  p2mFrames: u32,
  /** Frames claimed for leaves that superpages will be split into. */
  p2mKept: u32,
  p2mFrameLimit: u32,
  maxGfn: atomic(u32),
  /** Counts changes that take something away: a core flushes its TLB when it sees another value. */
  p2mGeneration: atomic(u32),
  mempoolBytes: u53,

  /** Reasons to keep all vcpus from running. */
  pauseCount: atomic(i32),
  /** How many of them are the toolstack's (at most one at a time is counted there). */
  controllerPauses: i32,
  shutdown: atomic(u32),
  shutdownCode: u32,

  maxVcpus: u32,
  vcpus: array(u32, MAX_VCPUS),

  sharedInfoMfn: u32,
  /** 1 if it, vcpu_info and runstates have the shape for 32-bit code (domain/shared-info.ts). */
  sharedInfo32: u32,
  /** NO_FRAME until the guest maps it. */
  sharedInfoGfn: u32,
  hvmParams: array(u64, HVM_NR_PARAMS),
  e820Count: u32,
  e820: array(E820Entry, MAX_E820),
  vmAssist: u32,

  tscMode: u32,
  tscKhz: u32,
  tscIncarnation: u32,
  tscElapsedNs: u53,
  timeOffsetSeconds: f64,
  /** Host time at which the domain was created: system_time 0. */
  bornNs: f64,

  /** Of each feature word of CPUID (abi/x86/cpuid.ts) the bits that may be shown, and how often
   * they changed. */
  features: array(u32, featureWords.length),
  featuresSerial: u32,

  maxEvtchnPort: u32,
  maxGrantFrames: u32,
  maxMaptrackFrames: u32,
  maxGrantVersion: u32,

  /** The line that the guest writes to the emergency console. */
  consoleLine: array(u8, 256),
  consoleLength: u32,

  eventsAt: u32,
  grantsAt: u32,
  timeAt: u32,
  vnumaAt: u32,
  /** Its pool counts it. */
  inPool: u32,
  sched: DomainSchedState,
})

export const VcpuState = struct('vcpu', {
  serial: u32,
  domainAt: u32,
  domid: as<Domid>(u16),
  id: u16,
  initialised: u32,

  flags: atomic(u32),
  pauseCount: atomic(i32),
  /** Core number plus one while it runs there; a waiter sleeps on it. */
  running: atomic(u32),
  /** The core that it ran on last or is queued for. */
  core: u32,
  work: atomic(u32),
  pausedForShutdown: u8,

  cpuTimeNs: f64,
  runningSinceNs: f64,
  hardAffinity: array(u32, AFFINITY_WORDS),
  softAffinity: array(u32, AFFINITY_WORDS),

  /** Where its vcpu_info is: frame and offset in it; NO_FRAME for none. */
  vcpuInfoMfn: u32,
  vcpuInfoOffset: u32,
  /** HVMOP_set_evtchn_upcall_vector; 0 for none. */
  upcallVector: u32,
  apicId: u32,

  eventsAt: u32,
  timeAt: u32,
  platformAt: u32,
  sched: VcpuSchedState,

  lapic: HvmHwLapic,
  lapicRegs: HvmHwLapicRegs,
  mtrr: HvmHwMtrr,
  /** The last CPU record given from outside: what the context does not hold is kept from here. */
  cpuRecord: HvmHwCpu,
  /** CpuContext (cpu/state.ts) while the vcpu is not on a core. */
  context: array(u64, CPU_CONTEXT_SIZE / 8),
})
