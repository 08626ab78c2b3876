/**
 * The part of libxenctrl that concerns schedulers and cpupools.
 */
import type { Domid } from '../abi/numbers.ts'
import * as D from '../abi/xen/domctl.ts'
import * as S from '../abi/xen/sysctl.ts'
import { HotplugControl } from './hotplug-control.ts'
import type { PoolTerms, Reservation, SchedTerms } from './interfaces.ts'

export class SchedControl extends HotplugControl {
  #pool(call: string, op: number, pool: number, rest: {
    readonly schedId?: number, readonly cpu?: number, readonly domid?: number,
  } = {}): number {
    return this.client.scope(() =>
      this.client.sysctl(call, S.XEN_SYSCTL_cpupool_op, (sysctl) => {
        const request = sysctl.u.cpupool_op
        request.op = op
        request.cpupool_id = pool
        request.sched_id = rest.schedId ?? 0
        request.cpu = rest.cpu ?? 0
        request.domid = rest.domid ?? 0
      }).u.cpupool_op.cpupool_id)
  }

  createCpupool(schedId: number): number {
    return this.#pool('xc_cpupool_create', S.XEN_SYSCTL_CPUPOOL_OP_CREATE,
      S.XEN_SYSCTL_CPUPOOL_PAR_ANY, { schedId })
  }

  destroyCpupool(pool: number): void {
    this.#pool('xc_cpupool_destroy', S.XEN_SYSCTL_CPUPOOL_OP_DESTROY, pool)
  }

  addCpuToPool(pool: number, cpu: number): void {
    this.#pool('xc_cpupool_addcpu', S.XEN_SYSCTL_CPUPOOL_OP_ADDCPU, pool, { cpu })
  }

  removeCpuFromPool(pool: number, cpu: number): void {
    this.#pool('xc_cpupool_removecpu', S.XEN_SYSCTL_CPUPOOL_OP_RMCPU, pool, { cpu })
  }

  moveToPool(pool: number, domid: Domid): void {
    this.#pool('xc_cpupool_movedomain', S.XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, pool, { domid })
  }

  getPoolTerms(pool: number, schedId: number): PoolTerms {
    return this.#poolTerms(pool, schedId)
  }

  setPoolTerms(pool: number, schedId: number, terms: PoolTerms): void {
    this.#poolTerms(pool, schedId, terms)
  }

  #poolTerms(pool: number, schedId: number, terms?: PoolTerms): PoolTerms {
    return this.client.scope(() => {
      const { sched_credit, sched_credit2 } = this.client.sysctl(
        'xc_sched_params', S.XEN_SYSCTL_scheduler_op, (sysctl) => {
          const request = sysctl.u.scheduler_op
          request.cpupool_id = pool
          request.sched_id = schedId
          request.cmd = terms ? S.XEN_SYSCTL_SCHEDOP_putinfo : S.XEN_SYSCTL_SCHEDOP_getinfo
          if (terms && schedId === D.XEN_SCHEDULER_CREDIT2) {
            request.u.sched_credit2.ratelimit_us = terms.ratelimitUs
          } else if (terms) {
            request.u.sched_credit.ratelimit_us = terms.ratelimitUs
            request.u.sched_credit.tslice_ms = terms.sliceMs
            request.u.sched_credit.vcpu_migr_delay_us = terms.migrationDelayUs
          }
        }).u.scheduler_op.u
      if (schedId === D.XEN_SCHEDULER_CREDIT2) {
        return { ratelimitUs: sched_credit2.ratelimit_us, sliceMs: 0, migrationDelayUs: 0 }
      }
      return {
        ratelimitUs: sched_credit.ratelimit_us, sliceMs: sched_credit.tslice_ms,
        migrationDelayUs: sched_credit.vcpu_migr_delay_us,
      }
    })
  }

  getSchedTerms(domid: Domid, schedId: number): SchedTerms {
    return this.client.scope(() => {
      const { weight, cap } = this.client.domctl('xc_sched_domain_get',
        D.XEN_DOMCTL_scheduler_op, domid, (op) => {
          op.u.scheduler_op.sched_id = schedId
          op.u.scheduler_op.cmd = D.XEN_DOMCTL_SCHEDOP_getinfo
        }).u.scheduler_op.u.credit2
      return { weight, cap }
    })
  }

  setSchedTerms(domid: Domid, schedId: number, { weight, cap }: SchedTerms): void {
    this.client.scope(() => {
      this.client.domctl('xc_sched_domain_set', D.XEN_DOMCTL_scheduler_op, domid, (op) => {
        const request = op.u.scheduler_op
        request.sched_id = schedId
        request.cmd = D.XEN_DOMCTL_SCHEDOP_putinfo
        request.u.credit2.weight = weight
        request.u.credit2.cap = cap
      })
    })
  }

  getReservations(domid: Domid, vcpus: readonly number[]): Reservation[] {
    return this.#reservations(domid, vcpus.map((vcpu) =>
      ({ vcpu, periodUs: 0, budgetUs: 0, extra: false })), D.XEN_DOMCTL_SCHEDOP_getvcpuinfo)
  }

  setReservations(domid: Domid, reservations: readonly Reservation[]): void {
    this.#reservations(domid, reservations, D.XEN_DOMCTL_SCHEDOP_putvcpuinfo)
  }

  #reservations(domid: Domid, wanted: readonly Reservation[], cmd: number): Reservation[] {
    const { client } = this
    return client.scope(() => {
      const { size } = D.DomctlSchedparamVcpu
      const at = client.allocate(wanted.length * size)
      const entry = client.view(D.DomctlSchedparamVcpu, at)
      wanted.forEach(({ vcpu, periodUs, budgetUs, extra }, i) => {
        const { rtds } = entry.at(at + i * size).u
        entry.vcpuid = vcpu
        rtds.period = periodUs
        rtds.budget = budgetUs
        rtds.flags = extra ? D.XEN_DOMCTL_SCHEDRT_extra : 0
      })
      client.domctl('xc_sched_rtds_vcpu', D.XEN_DOMCTL_scheduler_op, domid, (op) => {
        const request = op.u.scheduler_op
        request.sched_id = D.XEN_SCHEDULER_RTDS
        request.cmd = cmd
        request.u.v.vcpus = at
        request.u.v.nr_vcpus = wanted.length
      })
      return wanted.map(({ vcpu }, i) => {
        const { rtds } = entry.at(at + i * size).u
        const extra = (rtds.flags & D.XEN_DOMCTL_SCHEDRT_extra) !== 0
        return { vcpu, periodUs: rtds.period, budgetUs: rtds.budget, extra }
      })
    })
  }
}
