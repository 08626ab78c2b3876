/**
 * Whether what came over the socket is a domain's specification, field by field.
 */
import { featureWords } from '../../abi/x86/cpuid.ts'
import { FEATURE_VALUES } from '../config/cpuid.ts'
import { isCpuRange } from '../config/cpu-range.ts'
import type { ShutdownAction } from '../config/domain.ts'
import { MOST_VNODES } from '../config/vnuma.ts'
import {
  type AffinityChange, type CreateOptions, type DomainSpec, ERROR_INVAL, LibxlError,
} from '../domain/libxl.ts'
import {
  type Check, fields, flag, listOf, matching, oneOf, optional, text, within,
} from './check.ts'
import { deviceChecks } from './check-device.ts'
import { recordOf } from './protocol.ts'

const ACTIONS: readonly ShutdownAction[] = [
  'destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart',
  'soft-reset',
]
const MAX_VCPUS = 128
const MOST_CPU = 4095
const MOST_INT = 2 ** 31 - 1
/** What a configuration can ask for, and a time zone. */
const MOST_OFFSET_S = 2 ** 32
const MOST_WORDS = 256
const MOST_FEATURES = 1024
const MAX_MEMORY_KIB = 2 ** 31
const action = oneOf(ACTIONS)
const isRange: Check = (value) => typeof value === 'string' && isCpuRange(value)

const checks: Readonly<Record<keyof DomainSpec, Check>> = {
  name: matching(/^[^\0-\x1f/]{1,255}$/),
  uuid: optional(text),
  type: oneOf(['pvh']),
  kernel: optional(text),
  ramdisk: optional(text),
  pvshim: optional(fields({
    path: optional(text), cmdline: optional(text), extra: optional(text),
  })),
  bootloader: optional(text),
  bootloaderArgs: optional(listOf(text, MOST_WORDS)),
  commandLine: text,
  memoryKib: within(0, MAX_MEMORY_KIB),
  maxMemoryKib: within(0, MAX_MEMORY_KIB),
  vcpus: within(1, MAX_VCPUS),
  maxVcpus: within(1, MAX_VCPUS),
  vcpusGiven: optional(flag),
  pool: optional(text),
  hardAffinity: optional(listOf(isRange, MAX_VCPUS)),
  softAffinity: optional(listOf(isRange, MAX_VCPUS)),
  vnuma: optional(listOf(fields({
    pnode: within(0, MOST_CPU), memoryKib: within(0, MAX_MEMORY_KIB),
    vcpus: listOf(within(0, MOST_CPU), MOST_CPU + 1),
    distances: listOf(within(0, 0xffff_ffff), MOST_VNODES),
  }), MOST_VNODES)),
  cpuWeight: optional(within(1, 65535)),
  cap: optional(within(0, 65535)),
  maxGrantFrames: optional(within(0, MOST_INT)),
  maxMaptrackFrames: optional(within(0, MOST_INT)),
  maxGrantVersion: optional(within(0, MOST_INT)),
  maxEventChannels: optional(within(0, MOST_INT)),
  tscMode: within(0, 3),
  cpuFeatures: optional(listOf(fields({
    word: oneOf(featureWords), bit: within(0, 31), value: oneOf(FEATURE_VALUES),
  }), MOST_FEATURES)),
  timeOffsetSeconds: optional(within(-MOST_OFFSET_S, MOST_OFFSET_S)),
  onPoweroff: action,
  onReboot: action,
  onCrash: action,
  onWatchdog: action,
  onSoftReset: action,
  ...deviceChecks,
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

export function checkOptions(value: unknown): CreateOptions {
  const record = recordOf(value) ?? {}
  return { paused: record['paused'] === true, unattended: record['unattended'] === true }
}

/** CPUs that a machine may have. */
function checkCpus(value: unknown): readonly number[] | undefined {
  if (value === undefined || value === null) return undefined
  if (listOf(within(0, MOST_CPU), MOST_CPU + 1)(value)) return value as number[]
  throw new LibxlError(ERROR_INVAL, 'invalid CPUs')
}

export function checkAffinity(value: unknown): AffinityChange {
  const record = recordOf(value) ?? {}
  return { hard: checkCpus(record['hard']), soft: checkCpus(record['soft']) }
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
