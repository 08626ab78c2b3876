/**
 * What a domain is made from, out of its configuration.
 */
import type { DiskSpec } from '../config/disk.ts'
import { type DomainConfig, refusalOf } from '../config/domain.ts'
import type { DomainSpec } from './libxl.ts'

/** The same disk with a path as other processes can open it. */
export function absoluteDisk(disk: DiskSpec, absolutePath: (path: string) => string): DiskSpec {
  return disk.path ? { ...disk, path: absolutePath(disk.path) } : disk
}

function timeOffsetOf({ rtcTimeoffset, localtime }: DomainConfig): Partial<DomainSpec> {
  const zone = localtime ? new Date().getTimezoneOffset() * -60 : 0
  const timeOffsetSeconds = (rtcTimeoffset ?? 0) + zone
  return timeOffsetSeconds === 0 ? {} : { timeOffsetSeconds }
}

/** The specification, with paths as other processes can open them; or why there can be none. */
export function specOf(
  config: DomainConfig, absolutePath: (path: string) => string,
): DomainSpec | { readonly refusal: string } {
  const refusal = refusalOf(config)
  if (refusal !== undefined) return { refusal }
  const { bootloader, kernel, ramdisk, pvshim } = config
  if (kernel === undefined && bootloader === undefined) {
    return { refusal: 'a PVH domain needs a kernel' }
  }
  // With a boot loader these are files of the guest's.
  const pathOf = (path: string | undefined): string | undefined =>
    path === undefined || bootloader !== undefined ? path : absolutePath(path)
  return {
    name: config.name, uuid: config.uuid, type: 'pvh',
    kernel: pathOf(kernel), ramdisk: pathOf(ramdisk),
    ...pvshim && {
      pvshim: { ...pvshim, ...pvshim.path !== undefined && { path: absolutePath(pvshim.path) } },
    },
    ...bootloader === undefined ? {} : { bootloader, bootloaderArgs: config.bootloaderArgs },
    commandLine: config.commandLine,
    memoryKib: Math.min(config.memoryKib, config.maxMemoryKib),
    maxMemoryKib: config.maxMemoryKib, vcpus: config.vcpus, maxVcpus: config.maxVcpus,
    vcpusGiven: config.vcpusGiven,
    pool: config.pool, hardAffinity: config.hardAffinity, softAffinity: config.softAffinity,
    cpuWeight: config.cpuWeight, cap: config.cap, tscMode: config.tscMode,
    maxGrantFrames: config.maxGrantFrames, maxMaptrackFrames: config.maxMaptrackFrames,
    maxGrantVersion: config.maxGrantVersion, maxEventChannels: config.maxEventChannels,
    vifs: config.vifs,
    ...config.channels.length > 0 ? {
      channels: config.channels.map((one) =>
        one.path === undefined ? one : { ...one, path: absolutePath(one.path) }),
    } : {},
    ...timeOffsetOf(config),
    ...config.cpuFeatures.length > 0 ? { cpuFeatures: config.cpuFeatures } : {},
    ...config.vnuma.length > 0 ? { vnuma: config.vnuma } : {},
    onPoweroff: config.onPoweroff,
    onReboot: config.onReboot, onCrash: config.onCrash, onWatchdog: config.onWatchdog,
    onSoftReset: config.onSoftReset,
    disks: config.disks.map((disk) => absoluteDisk(disk, absolutePath)),
  }
}
