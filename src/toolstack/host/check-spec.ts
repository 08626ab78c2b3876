/**
 * Whether what came over the socket is a domain's specification, field by field.
 */
import type { ShutdownAction } from '../config/domain.ts'
import type { VifSpec } from '../config/vif.ts'
import {
  type AffinityChange, type CreateOptions, type DomainSpec, ERROR_INVAL, LibxlError,
  type SchedulerParameters,
} from '../domain/libxl.ts'
import { recordOf } from './protocol.ts'

const ACTIONS: readonly ShutdownAction[] = [
  'destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart',
  'soft-reset',
]
const MAX_VCPUS = 128
const MAX_VIFS = 64
const MOST_CPU = 4095
const MAX_MEMORY_KIB = 2 ** 31
const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/
const FORWARD = /^(tcp|udp):\d{1,5}:\d{1,5}$/

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string' && !value.includes('\0')
const optionalText: Check = (value) => value === undefined || value === null || text(value)
const action: Check = (value) => ACTIONS.includes(value as ShutdownAction)
const within = (low: number, high: number): Check => (value) =>
  Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high

const optional = (check: Check): Check => (value) =>
  value === undefined || value === null || check(value)
const words: Check = (value) => typeof value === 'string' && /^[\x20-\x7e]{0,255}$/.test(value)

const vifChecks: Readonly<Record<keyof VifSpec, Check>> = {
  devid: optional(within(0, 0xffff)),
  mac: optional((value) => typeof value === 'string' && MAC.test(value)),
  bridge: optional(words),
  script: optional(words),
  ip: optional(words),
  vifname: optional(words),
  type: optional((value) => value === 'vif' || value === 'ioemu'),
  model: optional(words),
  gatewaydev: optional(words),
  backend: optional(words),
  mtu: optional(within(68, 65535)),
  trusted: optional((value) => typeof value === 'boolean'),
  rate: optional((value) => {
    const rate = recordOf(value)
    const isCount = within(1, 0xffff_ffff)
    return isCount(rate?.['bytes']) && isCount(rate?.['intervalUs'])
  }),
  forwards: optional((value) => Array.isArray(value) && value.length <= MAX_VIFS &&
    value.every((forward) => typeof forward === 'string' && FORWARD.test(forward))),
}

const isVif: Check = (value) => {
  const record = recordOf(value)
  return record !== undefined &&
    Object.entries(vifChecks).every(([name, check]) => check(record[name]))
}

const checks: Readonly<Record<keyof DomainSpec, Check>> = {
  name: (value) => typeof value === 'string' && /^[^\0-\x1f/]{1,255}$/.test(value),
  uuid: optionalText,
  type: (value) => value === 'pvh',
  kernel: text,
  ramdisk: optionalText,
  commandLine: text,
  memoryKib: within(0, MAX_MEMORY_KIB),
  maxMemoryKib: within(0, MAX_MEMORY_KIB),
  vcpus: within(1, MAX_VCPUS),
  maxVcpus: within(1, MAX_VCPUS),
  vcpusGiven: (value) => value === undefined || value === null || typeof value === 'boolean',
  cpuWeight: optional(within(1, 65535)),
  cap: optional(within(0, 65535)),
  tscMode: within(0, 3),
  vifs: optional((value) => Array.isArray(value) && value.length <= MAX_VIFS && value.every(isVif)),
  onPoweroff: action,
  onReboot: action,
  onCrash: action,
  onWatchdog: action,
  onSoftReset: action,
}

/** `value` as a specification, or LibxlError naming the first field that is wrong. */
export function checkSpec(value: unknown): DomainSpec {
  const record = recordOf(value)
  if (!record) throw new LibxlError(ERROR_INVAL, 'a domain specification is missing')
  for (const [name, check] of Object.entries(checks)) {
    if (!check(record[name])) throw new LibxlError(ERROR_INVAL, `invalid domain ${name}`)
  }
  return record as unknown as DomainSpec
}

export function checkVif(value: unknown): VifSpec {
  if (isVif(value)) return value as VifSpec
  throw new LibxlError(ERROR_INVAL, 'invalid network interface')
}

export function checkOptions(value: unknown): CreateOptions {
  const record = recordOf(value) ?? {}
  return { paused: record['paused'] === true, unattended: record['unattended'] === true }
}

/** CPUs that a machine may have. */
function checkCpus(value: unknown): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined
  if (Array.isArray(value) && value.every(within(0, MOST_CPU))) return value as number[]
  throw new LibxlError(ERROR_INVAL, 'invalid CPUs')
}

export function checkAffinity(value: unknown): AffinityChange {
  const record = recordOf(value) ?? {}
  return { hard: checkCpus(record['hard']), soft: checkCpus(record['soft']) }
}

export function checkScheduling(value: unknown): Partial<SchedulerParameters> {
  const { weight, cap } = recordOf(value) ?? {}
  return {
    ...weight === undefined ? {} : { weight: checkCount(weight) },
    ...cap === undefined ? {} : { cap: checkCount(cap) },
  }
}

/** `value` as a domid that may exist. */
export function checkDomid(value: unknown): number {
  if (within(0, 0x7fef)(value)) return value as number
  throw new LibxlError(ERROR_INVAL, 'invalid domid')
}

export function checkName(value: unknown): string {
  if (checks.name(value)) return value as string
  throw new LibxlError(ERROR_INVAL, 'invalid domain name')
}

/** A number that counts: of KiB, of VCPUs. */
export function checkCount(value: unknown): number {
  if (within(0, 2 ** 42)(value)) return value as number
  throw new LibxlError(ERROR_INVAL, 'invalid number')
}
