/**
 * What libxl offers for schedulers and cpupools: the interface, and the duties of libxl_sched.c and
 * libxl_cpupool.c over the hypervisor and the store.
 *
 * Names of pools stand in the store, at /local/pool/<id>; the hypervisor knows numbers only.
 * Nothing keeps two pools from having one name but xl's own checks, as with real libxl.
 */
import { asDomid } from '../../abi/numbers.ts'
import * as S from '../../abi/xen/sysctl.ts'
import { XenError, type Xenctrl } from '../../dom0/interfaces.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { about, errorText } from './error-text.ts'
import { bitsOf, gatherCpupools, schedulerNames } from './host-info.ts'
import {
  ERROR_DOMAIN_NOTFOUND, ERROR_FAIL, ERROR_INVAL, LibxlError, type PoolParameters,
  type SchedulerName, type SchedulerParameters, type VcpuReservation,
} from './libxl.ts'
import { poolName } from './summary.ts'
import { randomUuid } from './uuid.ts'

/** All that concerns physical CPUs and who runs on them. */
export interface CpuControl {
  /** The scheduler that a domain's pool has. */
  schedulerOf(domid: number): Promise<SchedulerName>
  terms(domid: number): Promise<SchedulerParameters>
  setTerms(
    domid: number, scheduler: SchedulerName, change: Partial<SchedulerParameters>): Promise<void>
  reservations(domid: number): Promise<VcpuReservation[]>
  setReservations(domid: number, reservations: readonly VcpuReservation[]): Promise<void>
  poolParameters(pool: number, scheduler: SchedulerName): Promise<PoolParameters>
  setPoolParameters(
    pool: number, scheduler: SchedulerName, change: Partial<PoolParameters>): Promise<void>
  /** CPUs that belong to no pool. */
  freeCpus(): Promise<number[]>
  createPool(name: string, scheduler: SchedulerName, cpus: readonly number[]): Promise<number>
  destroyPool(pool: number): Promise<void>
  renamePool(pool: number, name: string): Promise<void>
  addCpu(pool: number, cpu: number): Promise<void>
  removeCpu(pool: number, cpu: number): Promise<void>
  moveDomain(domid: number, pool: number): Promise<void>
}

const MOST_WEIGHT = 65535
const titles: ReadonlyMap<string, string> = new Map([
  ['credit', 'Credit'], ['credit2', 'Credit2'], ['rtds', 'RTDS'],
])

/** What a refused hypercall becomes; with `why`, it is said what the hypervisor answered. */
function attempt<T>(what: string, work: () => T, why = true): T {
  try {
    return work()
  } catch (cause) {
    if (!(cause instanceof XenError)) throw cause
    const reason = why ? `: ${errorText(cause.errno)}` : ''
    throw new LibxlError(ERROR_FAIL, what + reason, { cause })
  }
}

function within(value: number, low: number, high: number, what: string): void {
  if (value >= low && value <= high) return
  throw new LibxlError(ERROR_INVAL,
    `${what} out of range, valid range is from ${low} to ${high}`)
}

function idOf(scheduler: SchedulerName): number {
  const found = Object.entries(schedulerNames).find(([, name]) => name === scheduler)
  return Number(found?.[0] ?? -1)
}

export class LocalCpuControl implements CpuControl {
  readonly #store: XenstoreClient
  readonly #xenctrl: Xenctrl
  readonly #random: (count: number) => Uint8Array

  constructor(
    store: XenstoreClient, xenctrl: Xenctrl, random: (count: number) => Uint8Array,
  ) {
    this.#store = store
    this.#xenctrl = xenctrl
    this.#random = random
  }

  /** The number of a pool by its name; Pool-0's without one. */
  poolNamed(name: string | undefined): number {
    const pools = gatherCpupools(this.#xenctrl, (id) => poolName(this.#store, id))
    const found = name === undefined ? pools[0] : pools.find((pool) => pool.name === name)
    if (!found) throw new LibxlError(ERROR_INVAL, `Illegal pool specified: ${name}`)
    return found.id
  }

  async schedulerOf(domid: number): Promise<SchedulerName> {
    const info = this.#xenctrl.getDomainInfo(asDomid(domid))
    if (!info) {
      throw new LibxlError(ERROR_DOMAIN_NOTFOUND,
        `getinfolist failed 0: No such file or directory\n${about(domid)}Unknown scheduler`)
    }
    const pool = this.#xenctrl.cpupoolInfo(info.cpupool)
    return schedulerNames[pool?.schedId ?? -1] ?? 'null'
  }

  async terms(domid: number): Promise<SchedulerParameters> {
    const scheduler = await this.schedulerOf(domid)
    return this.#xenctrl.getSchedTerms(asDomid(domid), idOf(scheduler))
  }

  async setTerms(
    domid: number, scheduler: SchedulerName, change: Partial<SchedulerParameters>,
  ): Promise<void> {
    const info = this.#xenctrl.getDomainInfo(asDomid(domid))
    if (!info) throw new LibxlError(ERROR_DOMAIN_NOTFOUND, '')
    const now = attempt(`${about(domid)}Getting domain sched ${scheduler}`, () =>
      this.#xenctrl.getSchedTerms(asDomid(domid), idOf(scheduler)))
    const weight = change.weight ?? now.weight
    if (weight < 1 || weight > MOST_WEIGHT) {
      throw new LibxlError(ERROR_INVAL, `${about(domid)}Cpu weight out of range, valid values ` +
        `are within range from 1 to ${MOST_WEIGHT}`)
    }
    // credit2 takes -1 for "as it is".
    const cap = change.cap === undefined || change.cap === -1 && scheduler === 'credit2'
      ? now.cap : change.cap
    const most = (info.maxVcpuId + 1) * 100
    if (cap < 0 || cap > most) {
      throw new LibxlError(ERROR_INVAL, `${about(domid)}Cpu cap out of range, valid range is ` +
        `from 0 to ${most} for specified number of vcpus`)
    }
    this.#xenctrl.setSchedTerms(asDomid(domid), idOf(scheduler), { weight, cap })
  }

  async reservations(domid: number): Promise<VcpuReservation[]> {
    await this.#onlyRtds(domid, 'getting')
    const last = this.#xenctrl.getDomainInfo(asDomid(domid))?.maxVcpuId ?? -1
    return this.#xenctrl.getReservations(asDomid(domid),
      Array.from({ length: last + 1 }, (_, vcpu) => vcpu))
  }

  async setReservations(
    domid: number, reservations: readonly VcpuReservation[],
  ): Promise<void> {
    await this.#onlyRtds(domid, 'setting')
    const last = this.#xenctrl.getDomainInfo(asDomid(domid))?.maxVcpuId ?? -1
    for (const { vcpu, budgetUs, periodUs } of reservations) {
      if (vcpu > last) {
        throw new LibxlError(ERROR_INVAL,
          `Invalid VCPU ${vcpu}: valid range is [0, ${last}]`)
      }
      if (periodUs < 1) {
        throw new LibxlError(ERROR_INVAL, `Invalid VCPU period of value: ${periodUs}`)
      }
      if (budgetUs < 1) {
        throw new LibxlError(ERROR_INVAL, `Invalid VCPU budget of value: ${budgetUs}`)
      }
    }
    attempt('setting vcpu sched rtds', () =>
      this.#xenctrl.setReservations(asDomid(domid), reservations))
  }

  async #onlyRtds(domid: number, what: string): Promise<void> {
    if (await this.schedulerOf(domid) === 'rtds') return
    throw new LibxlError(ERROR_INVAL,
      `${about(domid)}per-VCPU parameter ${what} not supported for this scheduler`)
  }

  async poolParameters(pool: number, scheduler: SchedulerName): Promise<PoolParameters> {
    return attempt(`getting ${titles.get(scheduler)} scheduler parameters`, () =>
      this.#xenctrl.getPoolTerms(pool, idOf(scheduler)))
  }

  async setPoolParameters(
    pool: number, scheduler: SchedulerName, change: Partial<PoolParameters>,
  ): Promise<void> {
    const terms = { ...await this.poolParameters(pool, scheduler), ...change }
    const { migrationDelayUs, ratelimitUs, sliceMs } = terms
    if (scheduler === 'credit') {
      within(sliceMs, S.XEN_SYSCTL_CSCHED_TSLICE_MIN, S.XEN_SYSCTL_CSCHED_TSLICE_MAX,
        'Time slice')
    }
    if (ratelimitUs !== 0) {
      within(ratelimitUs, S.XEN_SYSCTL_SCHED_RATELIMIT_MIN, S.XEN_SYSCTL_SCHED_RATELIMIT_MAX,
        'Ratelimit')
    }
    if (scheduler === 'credit' && ratelimitUs > sliceMs * 1000) {
      throw new LibxlError(ERROR_INVAL, 'Ratelimit cannot be greater than timeslice')
    }
    if (scheduler === 'credit' && migrationDelayUs > S.XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US) {
      throw new LibxlError(ERROR_INVAL, 'vcpu migration delay should be >= 0 and <= ' +
        `${S.XEN_SYSCTL_CSCHED_MGR_DLY_MAX_US}us`)
    }
    attempt(`setting ${titles.get(scheduler)} scheduler parameters`, () =>
      this.#xenctrl.setPoolTerms(pool, idOf(scheduler), terms))
  }

  async freeCpus(): Promise<number[]> {
    return bitsOf(this.#xenctrl.cpupoolFreeCpus())
  }

  async createPool(
    name: string, scheduler: SchedulerName, cpus: readonly number[],
  ): Promise<number> {
    const pool = attempt('Could not create cpupool', () =>
      this.#xenctrl.createCpupool(idOf(scheduler)), false)
    try {
      for (const cpu of cpus) {
        attempt('Error moving cpu to cpupool', () => this.#xenctrl.addCpuToPool(pool, cpu))
      }
    } catch (error) {
      await this.destroyPool(pool)
      throw error
    }
    this.#store.write(`/local/pool/${pool}/uuid`, randomUuid(this.#random(16)))
    this.#store.write(`/local/pool/${pool}/name`, name)
    return pool
  }

  /** Its CPUs become free first; a pool with domains keeps them. */
  async destroyPool(pool: number): Promise<void> {
    const info = this.#xenctrl.cpupoolInfo(pool)
    if (!info || info.id !== pool) throw new LibxlError(ERROR_INVAL, `no pool ${pool}`)
    if (pool === 0 || info.domainCount > 0) throw new LibxlError(ERROR_FAIL, '')
    for (const cpu of bitsOf(info.cpuMap)) {
      attempt('Error removing cpu from cpupool', () =>
        this.#xenctrl.removeCpuFromPool(pool, cpu), false)
    }
    attempt('Could not destroy cpupool', () => this.#xenctrl.destroyCpupool(pool), false)
    this.#store.remove(`/local/pool/${pool}`)
  }

  async renamePool(pool: number, name: string): Promise<void> {
    this.#store.write(`/local/pool/${pool}/name`, name)
  }

  async addCpu(pool: number, cpu: number): Promise<void> {
    attempt(`Error moving cpu ${cpu} to cpupool`, () => this.#xenctrl.addCpuToPool(pool, cpu))
  }

  async removeCpu(pool: number, cpu: number): Promise<void> {
    attempt(`Error removing cpu ${cpu} from cpupool`, () =>
      this.#xenctrl.removeCpuFromPool(pool, cpu))
  }

  async moveDomain(domid: number, pool: number): Promise<void> {
    attempt(`${about(domid)}Error moving domain to cpupool`, () =>
      this.#xenctrl.moveToPool(pool, asDomid(domid)), false)
  }
}
