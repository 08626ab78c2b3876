/**
 * Schedulers and cpupools over the socket: xl's side, and the host process's.
 */
import type { CpuControl } from '../domain/cpu-control.ts'
import {
  ERROR_INVAL, type Libxl, LibxlError, type PoolParameters, type SchedulerName,
  type SchedulerParameters, type VcpuReservation,
} from '../domain/libxl.ts'
import { type Check, fields, flag, listOf, oneOf, optional, within } from './check.ts'
import { checkDomid, checkName } from './check-spec.ts'

const MOST_CPU = 4095
const MOST_VCPUS = 128
const MOST = 2 ** 40
const number = within(-MOST, MOST)

const SCHEDULERS: readonly SchedulerName[] = ['credit', 'credit2', 'rtds', 'null', 'arinc653']
const isReservation = fields({
  vcpu: within(0, MOST_CPU), periodUs: within(0, 0xffff_ffff), budgetUs: within(0, 0xffff_ffff),
  extra: flag,
})

/** `value` if it passes, or LibxlError. */
function checked<T>(check: Check, value: unknown, what: string): T {
  if (check(value)) return value as T
  throw new LibxlError(ERROR_INVAL, `invalid ${what}`)
}

const schedulerIn = (value: unknown): SchedulerName =>
  checked(oneOf(SCHEDULERS), value, 'scheduler')
const poolIn = (value: unknown): number => checked(within(0, MOST_CPU), value, 'cpupool')
const cpuIn = (value: unknown): number => checked(within(0, MOST_CPU), value, 'CPU')
const cpusIn = (value: unknown): number[] =>
  checked(listOf(within(0, MOST_CPU), MOST_CPU + 1), value, 'CPUs')
const termsIn = (value: unknown): Partial<SchedulerParameters> =>
  checked(fields({ weight: optional(number), cap: optional(number) }), value, 'parameters')
const poolTermsIn = (value: unknown): Partial<PoolParameters> =>
  checked(fields({
    ratelimitUs: optional(number), sliceMs: optional(number), migrationDelayUs: optional(number),
  }), value, 'parameters')
const reservationsIn = (value: unknown): VcpuReservation[] =>
  checked(listOf(isReservation, MOST_VCPUS), value, 'reservations')

type Method = (libxl: Libxl, params: readonly unknown[]) => Promise<unknown>
type Name = `cpus.${keyof CpuControl}`

/** Requests by their names, as the host process answers them. */
export const cpuMethods: Readonly<Record<Name, Method>> = {
  'cpus.schedulerOf': ({ cpus }, [domid]) => cpus.schedulerOf(checkDomid(domid)),
  'cpus.terms': ({ cpus }, [domid]) => cpus.terms(checkDomid(domid)),
  'cpus.setTerms': ({ cpus }, [domid, scheduler, change]) =>
    cpus.setTerms(checkDomid(domid), schedulerIn(scheduler), termsIn(change)),
  'cpus.reservations': ({ cpus }, [domid]) => cpus.reservations(checkDomid(domid)),
  'cpus.setReservations': ({ cpus }, [domid, reservations]) =>
    cpus.setReservations(checkDomid(domid), reservationsIn(reservations)),
  'cpus.poolParameters': ({ cpus }, [pool, scheduler]) =>
    cpus.poolParameters(poolIn(pool), schedulerIn(scheduler)),
  'cpus.setPoolParameters': ({ cpus }, [pool, scheduler, change]) =>
    cpus.setPoolParameters(poolIn(pool), schedulerIn(scheduler), poolTermsIn(change)),
  'cpus.freeCpus': ({ cpus }) => cpus.freeCpus(),
  'cpus.createPool': ({ cpus }, [name, scheduler, list]) =>
    cpus.createPool(checkName(name), schedulerIn(scheduler), cpusIn(list)),
  'cpus.destroyPool': ({ cpus }, [pool]) => cpus.destroyPool(poolIn(pool)),
  'cpus.renamePool': ({ cpus }, [pool, name]) => cpus.renamePool(poolIn(pool), checkName(name)),
  'cpus.addCpu': ({ cpus }, [pool, cpu]) => cpus.addCpu(poolIn(pool), cpuIn(cpu)),
  'cpus.removeCpu': ({ cpus }, [pool, cpu]) => cpus.removeCpu(poolIn(pool), cpuIn(cpu)),
  'cpus.moveDomain': ({ cpus }, [domid, pool]) =>
    cpus.moveDomain(checkDomid(domid), poolIn(pool)),
}

/** The same as xl has it: each request goes over the socket. */
export function remoteCpuControl(
  call: <T>(method: Name, ...params: unknown[]) => Promise<T>,
): CpuControl {
  return {
    schedulerOf: (domid) => call('cpus.schedulerOf', domid),
    terms: (domid) => call('cpus.terms', domid),
    setTerms: (domid, scheduler, change) => call('cpus.setTerms', domid, scheduler, change),
    reservations: (domid) => call('cpus.reservations', domid),
    setReservations: (domid, list) => call('cpus.setReservations', domid, list),
    poolParameters: (pool, scheduler) => call('cpus.poolParameters', pool, scheduler),
    setPoolParameters: (pool, scheduler, change) =>
      call('cpus.setPoolParameters', pool, scheduler, change),
    freeCpus: () => call('cpus.freeCpus'),
    createPool: (name, scheduler, cpus) => call('cpus.createPool', name, scheduler, cpus),
    destroyPool: (pool) => call('cpus.destroyPool', pool),
    renamePool: (pool, name) => call('cpus.renamePool', pool, name),
    addCpu: (pool, cpu) => call('cpus.addCpu', pool, cpu),
    removeCpu: (pool, cpu) => call('cpus.removeCpu', pool, cpu),
    moveDomain: (domid, pool) => call('cpus.moveDomain', domid, pool),
  }
}
