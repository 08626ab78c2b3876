/**
 * Whether what came over the socket is a domain's specification, field by field.
 */
import { DISK_BACKENDS, DISK_FORMATS, type DiskSpec } from '../config/disk.ts'
import type { ShutdownAction } from '../config/domain.ts'
import { type CreateOptions, type DomainSpec, ERROR_INVAL, LibxlError } from '../domain/libxl.ts'
import { recordOf } from './protocol.ts'

const ACTIONS: readonly ShutdownAction[] = [
  'destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart',
  'soft-reset',
]
const MAX_VCPUS = 128
const MAX_DISKS = 256
const MAX_MEMORY_KIB = 2 ** 31

type Check = (value: unknown) => boolean

const text: Check = (value) => typeof value === 'string' && !value.includes('\0')
const optionalText: Check = (value) => value === undefined || value === null || text(value)
const action: Check = (value) => ACTIONS.includes(value as ShutdownAction)
const within = (low: number, high: number): Check => (value) =>
  Number.isSafeInteger(value) && (value as number) >= low && (value as number) <= high

const optionalNumber = (check: Check): Check => (value) =>
  value === undefined || value === null || check(value)

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
  cpuWeight: optionalNumber(within(1, 65535)),
  cap: optionalNumber(within(0, 65535)),
  tscMode: within(0, 3),
  onPoweroff: action,
  onReboot: action,
  onCrash: action,
  onWatchdog: action,
  onSoftReset: action,
  disks: (value) => value === undefined || value === null ||
    Array.isArray(value) && value.length <= MAX_DISKS && value.every(isDisk),
}

const flag: Check = (value) => typeof value === 'boolean'
const optionalFlag: Check = (value) => value === undefined || flag(value)

const diskChecks: Readonly<Record<keyof DiskSpec, Check>> = {
  path: optionalText,
  vdev: (value) => typeof value === 'string' && /^[a-z0-9]{1,16}$/.test(value),
  format: (value) => DISK_FORMATS.some((known) => known === value),
  backend: (value) => value === undefined || DISK_BACKENDS.some((known) => known === value),
  backendDomain: optionalText,
  script: optionalText,
  writable: flag,
  removable: flag,
  isCdrom: flag,
  directIoSafe: flag,
  discard: optionalFlag,
}

function isDisk(value: unknown): boolean {
  const record = recordOf(value)
  return record !== undefined &&
    Object.entries(diskChecks).every(([name, check]) => check(record[name]))
}

/** `value` as a disk's specification. */
export function checkDisk(value: unknown): DiskSpec {
  if (isDisk(value)) return value as DiskSpec
  throw new LibxlError(ERROR_INVAL, 'invalid disk')
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
