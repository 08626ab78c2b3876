/**
 * The scheduler's state as it lies in hypervisor memory, all of it under the sched lock.
 *
 * Sets of cores are words with one bit a core. Pools, cores and run queues are slots of three
 * tables at HostState.schedAt; a run queue has the slot of its first core. What is kept for a
 * domain or a vcpu is part of DomainState and VcpuState.
 */
import { f64, u32 } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'
import { MAX_CORES } from '../host/state.ts'

export const MAX_POOLS = 32
export const NEVER = Infinity

export const RunQueueState = struct('run queue', {
  /** The first of the waiting vcpus, by address, in the order in which they run; 0 is none. */
  head: u32,
  length: u32,
  /** The cores that it serves. */
  cores: u32,
  /** What a policy counts for the queue as a whole: see the policies. */
  epoch: f64,
  /** Running and waiting vcpus: a decaying average, and when it was last brought up to date. */
  load: f64,
  loadAt: f64,
  balancedAt: f64,
})

export const CoreSchedState = struct('core sched', {
  /** Number of its pool plus one; 0 while it is free. */
  pool: u32,
  /** The slot of its run queue. */
  queue: u32,
  socket: u32,
  node: u32,
  /** It was kicked to look for work, and has not looked yet. */
  tickled: u32,
  /** The vcpu that it has just made to stop, by address, until it picks. */
  left: u32,
  /** The vcpu that owns it, under the null policy. */
  owner: u32,
  pad: u32,
  /** When it must look again although nobody kicks it, while it idles. */
  wakeAt: f64,
})

export const PoolState = struct('cpupool', {
  exists: u32,
  /** XEN_SCHEDULER_*. */
  schedId: u32,
  cores: u32,
  domainCount: u32,
  ratelimitUs: u32,
  /** Of credit: length of a slice, and how long a vcpu counts as hot in its core's caches. */
  sliceMs: u32,
  migrationDelayUs: u32,
  /** Of credit: the vcpus that take part in the next accounting, and when the last one was. */
  activeHead: u32,
  accountedAt: f64,
})

export const SchedState = struct('sched', {
  pools: array(PoolState, MAX_POOLS),
  cores: array(CoreSchedState, MAX_CORES),
  queues: array(RunQueueState, MAX_CORES),
})

export const DomainSchedState = struct('domain sched', {
  weight: u32,
  /** Percent of one core; 0 is no limit. */
  cap: u32,
  /** Of credit2 with a cap: time left until `refillAt`. */
  budget: f64,
  refillAt: f64,
  /** Of credit: how many of its vcpus take part in the accounting. */
  active: u32,
  pad: u32,
})

/** Of credit. */
export const CreditVcpuState = struct('credit vcpu', {
  credit: f64, activeNext: u32, active: u32, boosted: u32, halted: u32,
})

export const VcpuSchedState = struct('vcpu sched', {
  /** The next in its run queue, and which queue that is: its slot plus one, 0 while it waits in
   * none. */
  next: u32,
  queued: u32,
  /** The slot plus one of the run queue that it belongs to, waiting or not. */
  home: u32,
  /** Core number plus one of its present or last run, and of the one before. */
  ranNow: u32,
  ranBefore: u32,
  /** It gave up its turn. */
  yielded: u32,
  /** Core number plus one of the idle core that was told of it, while it waits. */
  offered: u32,
  /** A policy has it: it was created, and not destroyed yet. */
  present: u32,
  pad: u32,
  /** Until when it may run. */
  sliceEnd: f64,
  /** Its run is charged up to here. */
  chargedAt: f64,
  policy: union({
    credit2: struct('credit2 vcpu', { credit: f64, epoch: f64 }),
    credit: CreditVcpuState,
    rtds: struct('rtds vcpu', {
      period: f64, budget: f64, deadline: f64, left: f64, extra: u32, level: u32,
    }),
    null: struct('null vcpu', { core: u32 }),
  }),
})
