/**
 * Whether what came over the socket is a device of a domain, field by field.
 */
import type { ChannelSpec } from '../config/channel.ts'
import {
  DISK_BACKENDS, DISK_FORMATS, DISK_SECTORS, DISK_SPECIFICATIONS, type DiskSpec,
} from '../config/disk.ts'
import type { VifSpec } from '../config/vif.ts'
import {
  type DeviceKind, type DeviceKinds, ERROR_INVAL, LibxlError,
} from '../domain/libxl.ts'
import { type Check, fields, flag, listOf, matching, oneOf, optional, text, within } from
  './check.ts'

/** Of one kind, for one domain. */
const MOST_DEVICES = 256
const MOST_FORWARDS = 64
const words = matching(/^[\x20-\x7e]{0,255}$/)

const vif: Readonly<Record<keyof VifSpec, Check>> = {
  devid: optional(within(0, 0xffff)),
  mac: optional(matching(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/)),
  bridge: optional(words),
  script: optional(words),
  ip: optional(words),
  vifname: optional(words),
  type: optional(oneOf(['vif', 'ioemu'])),
  model: optional(words),
  gatewaydev: optional(words),
  backend: optional(words),
  capture: optional(words),
  mtu: optional(within(68, 65535)),
  trusted: optional(flag),
  rate: optional(fields({ bytes: within(1, 0xffff_ffff), intervalUs: within(1, 0xffff_ffff) })),
  forwards: optional(listOf(matching(/^(tcp|udp):\d{1,5}:\d{1,5}$/), MOST_FORWARDS)),
}

const disk: Readonly<Record<keyof DiskSpec, Check>> = {
  path: optional(text),
  vdev: matching(/^[a-z0-9]{1,16}$/),
  format: oneOf(DISK_FORMATS),
  backend: optional(oneOf(DISK_BACKENDS)),
  backendDomain: optional(text),
  script: optional(text),
  writable: flag,
  removable: flag,
  isCdrom: flag,
  directIoSafe: flag,
  discard: optional(flag),
  specification: optional(oneOf(DISK_SPECIFICATIONS)),
  sectorBytes: optional(oneOf(DISK_SECTORS)),
}

const channel: Readonly<Record<keyof ChannelSpec, Check>> = {
  name: words,
  connection: oneOf(['pty', 'socket']),
  path: optional(text),
}

const devices: Readonly<Record<DeviceKind, Check>> = {
  disks: fields(disk), vifs: fields(vif), channels: fields(channel),
}

/** Lists of devices, as a domain's specification has them. */
export const deviceChecks: Readonly<Record<DeviceKind, Check>> = {
  disks: optional(listOf(devices.disks, MOST_DEVICES)),
  vifs: optional(listOf(devices.vifs, MOST_DEVICES)),
  channels: optional(listOf(devices.channels, MOST_DEVICES)),
}

export function checkDeviceKind(value: unknown): DeviceKind {
  if (Object.hasOwn(devices, String(value))) return value as DeviceKind
  throw new LibxlError(ERROR_INVAL, 'invalid kind of devices')
}

export function checkPath(value: unknown): string {
  if (typeof value === 'string' && text(value)) return value
  throw new LibxlError(ERROR_INVAL, 'invalid path')
}

export function checkOptionalPath(value: unknown): string | undefined {
  if (!optional(text)(value)) throw new LibxlError(ERROR_INVAL, 'invalid path')
  return (value as string | null | undefined) ?? undefined
}

export function checkDevice<K extends DeviceKind>(
  kind: K, value: unknown,
): DeviceKinds[K]['spec'] {
  if (devices[kind](value)) return value as DeviceKinds[K]['spec']
  throw new LibxlError(ERROR_INVAL, `invalid device: ${kind}`)
}
