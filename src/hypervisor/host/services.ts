/**
 * What the hypervisor's parts ask of one another across folders: defined here by the one that asks,
 * fulfilled by events/, grants/, time/ and sched/, which are handed to the host at assembly.
 */
import type { Domain } from '../domain/domain.ts'
import type { Vcpu } from '../domain/vcpu.ts'

/** A part of the hypervisor with state of its own for each domain or vcpu. */
export interface Subsystem {
  readonly name: string
  /** 0, or a negative error: the domain is then not created. Called with the domctl lock held. */
  domainCreated?(domain: Domain): number
  /** Gives back everything; no vcpu of the domain runs any more. */
  domainDestroyed?(domain: Domain): void
  vcpuCreated?(vcpu: Vcpu): number
  vcpuDestroyed?(vcpu: Vcpu): void
}

export interface EventService {
  /** Raises a host-wide virq with the domain that handles it (Dom0 unless another was named). */
  sendGlobalVirq(virq: number): void
  sendVcpuVirq(vcpu: Vcpu, virq: number): void
  /** The guest mapped its shared_info or a vcpu_info at a new place: pending state carries over. */
  vcpuInfoMoved?(vcpu: Vcpu): void
  /** A callback was chosen by HVM_PARAM_CALLBACK_IRQ. */
  callbackChanged?(domain: Domain): void
}

export interface GrantService {
  /** The machine frame of part `index` of the domain's grant (or status) table, which grows to it;
   * a negative error otherwise. */
  tableFrame(domain: Domain, index: number, status: boolean): number
  /** How many frames the table has (or its status part). */
  tableFrameCount(domain: Domain, status: boolean): number
}

export interface SchedulerService {
  /** The vcpu may have become runnable: makes a core look at it. */
  wake(vcpu: Vcpu): void
  /** The vcpu must stop running; its core has been kicked already. */
  sleep(vcpu: Vcpu): void
  /** The vcpu whose exit is dealt with waits for another: it makes room, if one is runnable. */
  yield(vcpu: Vcpu): void
}

export interface TimeService {
  /** Writes wc_sec and its companions into the domain's shared_info. */
  updateWallClock(domain: Domain): void
  /** Writes the vcpu's time record where the guest reads it. */
  updateVcpuTime(vcpu: Vcpu): void
}

export interface Services {
  events: EventService
  grants: GrantService
  scheduler: SchedulerService
  time: TimeService
}
