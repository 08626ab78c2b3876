/**
 * What a core asks of the scheduler, and what a scheduling policy is: the part of a scheduler that
 * a cpupool chooses.
 *
 * The scheduler (scheduler.ts) knows which vcpus there are, which of them may run, and which runs
 * where; a policy decides who waits where, who runs next, and until when. All its methods are
 * called with the sched lock held, and for vcpus of pools that have this policy.
 */
import type { Vcpu } from '../domain/vcpu.ts'
import type { CoreView, PoolView } from './run-queues.ts'

/** What a core asks of the scheduler. */
export interface CoreScheduler {
  /** As SchedulerService.wake. The cores in `looking`, a bit each, are not kicked: they are about
   * to pick, or to ask until when their vcpu may run. */
  wake(vcpu: Vcpu, looking: number): void
  /** Takes the vcpu that `core` shall run now off its queue; undefined when there is none. */
  pick(core: number, now: number): Vcpu | undefined
  /** `core` has stopped running `vcpu`, and saved it. */
  stopped(vcpu: Vcpu, core: number, now: number): void
  /** Both at once: no other core gets a vcpu whose turn ended while nobody else wanted its core. */
  exchange(vcpu: Vcpu, core: number, now: number): Vcpu | undefined
  /** When the vcpu, which runs, must make room; a kick says that it became earlier. */
  sliceEnd(vcpu: Vcpu): number
  /** When a core that idles must pick again although nobody kicked it. */
  idleUntil(core: number): number
  /** Whether the run that `pick` began follows one on the same core. */
  ranHereLast(vcpu: Vcpu, core: number): boolean
}

export interface Policy {
  /** XEN_SCHEDULER_*, and what `sched=` and the tools call it. */
  readonly id: number
  readonly name: string
  /** What a new pool starts with. */
  preparePool?(pool: PoolView): void
  /** Whether two cores of a pool share a run queue. */
  sharesQueue(one: CoreView, other: CoreView): boolean
  /** A vcpu is new here: it was created or moved, and neither runs nor waits. */
  admit(vcpu: Vcpu, now: number): void
  /** It goes; it neither runs nor waits. */
  expel?(vcpu: Vcpu): void
  /** The vcpu waits from now on; `woken` says that it slept before. */
  enqueue(vcpu: Vcpu, now: number, woken: boolean): void
  /** Whether a vcpu that waits does so only for a core, not for its budget. */
  isReady(vcpu: Vcpu, now: number): boolean
  /** The cores that may take a vcpu from where it waits, if not all that it may run on. */
  placesFor?(vcpu: Vcpu): number
  /** A vcpu waits and no core idles for it: sets until when those who run may go on. */
  press(vcpu: Vcpu, now: number): void
  /**
   * Whom the core runs now: takes it from where it waits, and sets until when it may run; without
   * one, sets when the core must look again.
   */
  pick(core: number, now: number): Vcpu | undefined
  /** Charges a running vcpu for its time until now. */
  charge(vcpu: Vcpu, now: number): void
}
