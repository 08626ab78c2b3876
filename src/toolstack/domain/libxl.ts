/**
 * The toolstack's interface to a machine: what libxl offers to xl.
 *
 * The command line and the host's socket are written against this. All values are plain data, so
 * that a call can travel as JSON. Failures are LibxlError, with libxl's numbers.
 */
import type { NetCounters } from '../../backends/net/device.ts'
import type { CpuPlace, NumaNode } from '../../dom0/interfaces.ts'
import type { FeatureChange } from '../config/cpuid.ts'
import type { DiskSpec } from '../config/disk.ts'
import type { PvShim } from '../config/boot.ts'
import type { ShutdownAction } from '../config/domain.ts'
import type { ChannelSpec } from '../config/channel.ts'
import type { VifSpec } from '../config/vif.ts'
import type { VnodeConfig } from '../config/vnuma.ts'
import type { CpuControl } from './cpu-control.ts'
import type { Hotplug } from './hotplug.ts'

// libxl's error numbers (libxl_types.idl).
export const ERROR_FAIL = -3
export const ERROR_INVAL = -6
export const ERROR_TIMEDOUT = -9
export const ERROR_DOMAIN_NOTFOUND = -21

/** A request that could not be done; `message` may have several lines. */
export class LibxlError extends Error {
  override readonly name = 'LibxlError'
  readonly rc: number

  constructor(rc: number, message: string, options?: ErrorOptions) {
    super(message, options)
    this.rc = rc
  }
}

/** The kinds of devices that have a back-end: how each is asked for, and how it is listed. */
export interface DeviceKinds {
  readonly disks: { readonly spec: DiskSpec, readonly summary: DiskSummary }
  readonly vifs: { readonly spec: VifSpec, readonly summary: VifSummary }
  readonly channels: { readonly spec: ChannelSpec, readonly summary: ChannelSummary }
}
export type DeviceKind = keyof DeviceKinds

/** The devices that a domain is to have. */
export type DeviceSpecs = {
  readonly [K in DeviceKind]?: readonly DeviceKinds[K]['spec'][] | undefined
}

/** What a domain is made from; kept for its restart. Paths are absolute. */
export interface DomainSpec extends DeviceSpecs {
  readonly name: string
  /** 8-4-4-4-12 hexadecimal digits; chosen when left out. */
  readonly uuid?: string | undefined
  readonly type: 'pvh'
  /** Missing only where a boot loader finds it; with one, this and `ramdisk` are on the disk. */
  readonly kernel?: string | undefined
  readonly ramdisk?: string | undefined
  /** Runs the kernel, if that is a PV kernel. */
  readonly pvshim?: PvShim | undefined
  readonly bootloader?: string | undefined
  readonly bootloaderArgs?: readonly string[] | undefined
  readonly commandLine: string
  readonly memoryKib: number
  readonly maxMemoryKib: number
  readonly vcpus: number
  readonly maxVcpus: number
  /** Whether `vcpus` was asked for; listings leave a default out. */
  readonly vcpusGiven?: boolean | undefined
  /** The name of its cpupool; Pool-0 when left out. */
  readonly pool?: string | undefined
  /** Ranges of CPUs that each VCPU may run on, and should. */
  readonly hardAffinity?: readonly string[] | undefined
  readonly softAffinity?: readonly string[] | undefined
  /** Virtual NUMA nodes, if it has any. */
  readonly vnuma?: readonly VnodeConfig[] | undefined
  /** The scheduler's parameters; its own defaults when left out. */
  readonly cpuWeight?: number | undefined
  readonly cap?: number | undefined
  /** Limits of the hypervisor's; its own defaults when left out. */
  readonly maxGrantFrames?: number | undefined
  readonly maxMaptrackFrames?: number | undefined
  readonly maxGrantVersion?: number | undefined
  readonly maxEventChannels?: number | undefined
  /** XEN_DOMCTL_settscinfo's mode. */
  readonly tscMode: number
  /** In the order in which they are made. */
  readonly cpuFeatures?: readonly FeatureChange[] | undefined
  /** What its clock is ahead of UTC. */
  readonly timeOffsetSeconds?: number | undefined
  readonly onPoweroff: ShutdownAction
  readonly onReboot: ShutdownAction
  readonly onCrash: ShutdownAction
  readonly onWatchdog: ShutdownAction
  readonly onSoftReset: ShutdownAction
}

export interface CreateOptions {
  /** Leave it paused. */
  readonly paused?: boolean
  /** Do not act on its death (xl create -e). */
  readonly unattended?: boolean
}

/** What went through a virtual disk of a domain. */
export interface DiskCounters {
  /** Its number: `device/vbd/NUMBER` in the store. */
  readonly device: number
  /** How often requests had to wait for room. */
  readonly outOfRequests: number
  readonly reads: number
  readonly writes: number
  readonly sectorsRead: number
  readonly sectorsWritten: number
}

export interface DomainSummary {
  readonly domid: number
  /** Missing for a domain that is being made or torn down. */
  readonly name?: string | undefined
  readonly uuid: string
  readonly memoryKib: number
  /** The most that the hypervisor lets it have. */
  readonly maxMemoryKib: number
  /** Of `memoryKib`, what is claimed and not there yet. */
  readonly claimedKib: number
  readonly onlineVcpus: number
  readonly ssidref: number
  readonly running: boolean
  readonly blocked: boolean
  readonly paused: boolean
  readonly shutdown: boolean
  readonly dying: boolean
  /** SHUTDOWN_*, when `shutdown`. */
  readonly shutdownReason: number
  readonly cpuTimeNs: number
  readonly poolName: string
  /** NUMA nodes that it has affinity to, or undefined for all. */
  readonly nodes?: readonly number[] | undefined
  readonly networks: readonly NetCounters[]
  readonly disks: readonly DiskCounters[]
  /** Seconds since 1970; missing when the store does not say. */
  readonly startTime?: number | undefined
}

export interface VcpuSummary {
  readonly vcpu: number
  readonly online: boolean
  readonly cpu: number
  readonly running: boolean
  readonly blocked: boolean
  readonly cpuTimeNs: number
  /** CPUs it may run on, or undefined for all. */
  readonly hard?: readonly number[] | undefined
  readonly soft?: readonly number[] | undefined
}

/** An interface as `xl network-list` shows it; -1 stands for what is not known. */
export interface VifSummary {
  readonly devid: number
  readonly backendId: number
  readonly mac: string
  readonly handle: number
  readonly state: number
  readonly eventChannel: number
  readonly transmitRing: number
  readonly receiveRing: number
  /** Path of the back-end's nodes. */
  readonly backend: string
}

/** A channel as `xl channel-list` shows it; numbers are -1 where the guest says nothing. */
export interface ChannelSummary {
  readonly devid: number
  readonly backendId: number
  readonly state: number
  readonly eventChannel: number
  readonly ring: number
  readonly connection: ChannelSpec['connection']
  readonly path?: string | undefined
}

/** A block device as `xl block-list` shows it; numbers are -1 where the guest says nothing. */
export interface DiskSummary {
  readonly devid: number
  readonly backendId: number
  readonly domid: number
  readonly state: number
  readonly eventChannel: number
  readonly ringRef: number
  readonly backend: string
}

/** What `xl info` prints, unformatted. */
export interface HostInfo {
  readonly nrCpus: number
  readonly maxCpuId: number
  readonly nrNodes: number
  /** Where each CPU is, and the nodes. */
  readonly cpus: readonly CpuPlace[]
  readonly nodes: readonly NumaNode[]
  readonly coresPerSocket: number
  readonly threadsPerCore: number
  readonly cpuKhz: number
  readonly hwCaps: readonly number[]
  /** XEN_SYSCTL_PHYSCAP_* bits. */
  readonly capabilities: number
  readonly totalPages: number
  readonly freePages: number
  readonly scrubPages: number
  readonly outstandingPages: number
  readonly freeCpus: number
  readonly xenMajor: number
  readonly xenMinor: number
  readonly xenExtra: string
  readonly xenCaps: string
  readonly scheduler: string
  readonly pageSize: number
  /** In hexadecimal, with 0x. */
  readonly virtStart: string
  readonly changeset: string
  readonly commandLine: string
  readonly compiler: string
  readonly compileBy: string
  readonly compileDomain: string
  readonly compileDate: string
  readonly buildId: string
}

/** On which CPUs a VCPU may run, and should; one that is left out stays as it is. */
export interface AffinityChange {
  readonly hard?: readonly number[] | undefined
  readonly soft?: readonly number[] | undefined
}

/** A scheduler's name. */
export type SchedulerName = 'credit' | 'credit2' | 'rtds' | 'null' | 'arinc653'

/** What credit or credit2 knows of a domain. */
export interface SchedulerParameters {
  readonly weight: number
  readonly cap: number
}

/** What rtds knows of a VCPU. */
export interface VcpuReservation {
  readonly vcpu: number
  readonly periodUs: number
  readonly budgetUs: number
  readonly extra: boolean
}

/** What credit or credit2 knows of a pool; the last two are credit's. */
export interface PoolParameters {
  readonly ratelimitUs: number
  readonly sliceMs: number
  readonly migrationDelayUs: number
}

export interface CpupoolSummary {
  readonly id: number
  readonly name: string
  readonly cpus: readonly number[]
  readonly scheduler: string
  readonly domainCount: number
}

/** How a wait for a domain ended. */
export interface DomainEnd {
  readonly how: 'destroyed' | 'shutdown'
  /** SHUTDOWN_*, for `shutdown`. */
  readonly reason: number
}

/** A console as one who is attached has it. */
export interface ConsoleSession {
  /** Types; false asks to wait until `whenRoom` calls back. */
  write(bytes: Uint8Array): boolean
  whenRoom(callback: () => void): void
  detach(): void
}

export interface ConsoleSink {
  output(bytes: Uint8Array): void
  /** The domain's console is gone. */
  closed(): void
}

export interface Libxl {
  info(): Promise<HostInfo>
  list(): Promise<DomainSummary[]>
  vcpus(domid: number): Promise<VcpuSummary[]>
  cpupools(): Promise<CpupoolSummary[]>
  /**
   * Resolves to the domain's number once it is whole. `made` hears that number as soon as there is
   * a console, where a boot loader may wait for somebody.
   */
  create(
    spec: DomainSpec, options: CreateOptions, made?: (domid: number) => void,
  ): Promise<number>
  /** What a domain was made from; undefined for the control domain. */
  spec(domid: number): Promise<DomainSpec | undefined>
  destroy(domid: number): Promise<void>
  pause(domid: number): Promise<void>
  unpause(domid: number): Promise<void>
  /** Asks the guest to power off; resolves once it acknowledged. */
  shutdown(domid: number): Promise<void>
  /** Asks the guest to reboot; resolves once it acknowledged. */
  reboot(domid: number): Promise<void>
  rename(domid: number, name: string): Promise<void>
  /** Sets what the domain is made from when it is next made again. */
  setRestartSpec(domid: number, spec: DomainSpec): Promise<void>
  /** Asks the guest to have so much memory, and no more. */
  setMemoryTarget(domid: number, kib: number): Promise<void>
  /** Sets the most that a memory target may be. */
  setMaxMemory(domid: number, kib: number): Promise<void>
  /** Asks the guest to have its first `count` VCPUs online and no others. */
  setOnlineVcpus(domid: number, count: number): Promise<void>
  devices<K extends DeviceKind>(domid: number, kind: K): Promise<DeviceKinds[K]['summary'][]>
  attachDevice<K extends DeviceKind>(
    domid: number, kind: K, spec: DeviceKinds[K]['spec'],
  ): Promise<void>
  /**
   * Takes away the device that `name` means, after its guest has let it go; `force` does not ask.
   * Resolves to the device's number, or undefined when there is none of that name.
   */
  detachDevice(
    domid: number, kind: DeviceKind, name: string, force: boolean,
  ): Promise<number | undefined>
  /** Makes a disk larger while the guest uses it. */
  resizeDisk(domid: number, vdev: string, sizeBytes: number): Promise<void>
  /** Puts the raw image at `path` into a CD-ROM drive; without one, takes out what is in it. */
  insertMedium(domid: number, vdev: string, path: string | undefined): Promise<void>
  /** Writes memory and registers of a domain into a file. */
  dumpCore(domid: number, path: string): Promise<void>
  sendSysrq(domid: number, key: string): Promise<void>
  /** Sends "nmi" or another trigger of XEN_DOMCTL_sendtrigger to a VCPU. */
  sendTrigger(domid: number, trigger: string, vcpu: number): Promise<void>
  setVcpuAffinity(domid: number, vcpu: number, change: AffinityChange): Promise<void>
  /** Schedulers and cpupools. */
  readonly cpus: CpuControl
  readonly hotplug: Hotplug
  /** Resolves when the domain shuts down or is gone. */
  waitForEnd(domid: number): Promise<DomainEnd>
  /** The domain made again in place of one that ended; undefined when there will be none. */
  successor(domid: number): Promise<number | undefined>
  /** The hypervisor's log. */
  readLog(clear: boolean): Promise<string>
  sendDebugKeys(keys: string): Promise<void>
  /** `number` is 0 for the first console, or a channel's. */
  attachConsole(domid: number, sink: ConsoleSink, number?: number): Promise<ConsoleSession>
}
