/**
 * A domain's configuration as JSON, in the shape of libxl's own (`xl list -l`, `xl create -n`).
 */
import { placeOf } from '../../abi/x86/cpuid.ts'
import type { FeatureChange } from '../config/cpuid.ts'
import type { PvShim } from '../config/boot.ts'
import type { ChannelSpec } from '../config/channel.ts'
import type { DiskSpec } from '../config/disk.ts'
import { type DomainConfig, TSC_MODES } from '../config/domain.ts'
import type { VifSpec } from '../config/vif.ts'
import type { VnodeConfig } from '../config/vnuma.ts'
import type { DomainSpec, DomainSummary } from '../domain/libxl.ts'

type Json = string | number | boolean | null | readonly Json[] | JsonObject
/** Fields that are undefined are left out, as libxl leaves out what has its type's first value. */
interface JsonObject {
  readonly [key: string]: Json | undefined
}

/** What both a configuration and a specification say. */
type Common = Pick<DomainConfig, 'type' | 'name' | 'commandLine' | 'memoryKib' |
  'maxMemoryKib' | 'vcpus' | 'maxVcpus' | 'tscMode' | 'onPoweroff' | 'onReboot' |
  'onWatchdog' | 'onCrash' | 'onSoftReset'> & {
    readonly kernel?: string | undefined
    readonly ramdisk?: string | undefined
    readonly pvshim?: PvShim | undefined
    readonly bootloader?: string | undefined
    readonly bootloaderArgs?: readonly string[] | undefined
    readonly vcpusGiven?: boolean | undefined
    readonly rtcTimeoffset?: number | undefined
    readonly timeOffsetSeconds?: number | undefined
    readonly localtime?: boolean | undefined
    readonly disableMigrate?: boolean | undefined
    readonly cpuFeatures?: readonly FeatureChange[] | undefined
    readonly maxGrantFrames?: number | undefined
    readonly maxMaptrackFrames?: number | undefined
    readonly maxGrantVersion?: number | undefined
    readonly maxEventChannels?: number | undefined
    readonly vifs?: readonly VifSpec[] | undefined
    readonly channels?: readonly ChannelSpec[] | undefined
    readonly disks?: readonly (DiskSpec & { readonly hasNoColo?: boolean })[] | undefined
    readonly vnuma?: readonly VnodeConfig[] | undefined
    readonly hardAffinity?: readonly string[] | undefined
  }

/** libxl's generator puts an empty line into empty objects. */
function pretty(value: Json, indent: string): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const inner = `${indent}    `
  if (Array.isArray(value)) {
    const items = value.map((item: Json) => `${inner}${pretty(item, inner)}`)
    return `[\n${items.join(',\n')}\n${indent}]`
  }
  const items = Object.entries(value as JsonObject)
    .filter((entry): entry is [string, Json] => entry[1] !== undefined)
    .map(([key, item]) => `${inner}${JSON.stringify(key)}: ${pretty(item, inner)}`)
  return `{\n${items.join(',\n')}\n${indent}}`
}

/** libxl's name of an action; "destroy" is the type's first. */
function actionName(action: string): string | undefined {
  return action === 'destroy' ? undefined : action.replaceAll('-', '_')
}

/** `creation` and `build` are what is known of one kind of source only. */
function configOf(common: Common, creation: JsonObject, build: JsonObject): Json {
  const offset = common.rtcTimeoffset ?? common.timeOffsetSeconds
  return {
    c_info: {
      type: common.type,
      name: common.name,
      ...creation,
      run_hotplug_scripts: 'True',
    },
    b_info: {
      max_vcpus: common.vcpusGiven || common.maxVcpus > 1 ? common.maxVcpus : undefined,
      avail_vcpus: common.vcpusGiven
        ? Array.from({ length: common.vcpus }, (_, vcpu) => vcpu) : undefined,
      numa_placement: common.vnuma?.length || common.hardAffinity ? 'False' : undefined,
      tsc_mode: common.tscMode === 0 ? undefined : TSC_MODES[common.tscMode],
      max_memkb: common.maxMemoryKib,
      target_memkb: common.memoryKib,
      vnuma_nodes: common.vnuma?.length ? common.vnuma.map(vnodeOf) : undefined,
      // Those of `build` have their places here, and their values below.
      video_memkb: undefined,
      rtc_timeoffset: offset && offset >>> 0,
      localtime: common.localtime ? 'True' : undefined,
      disable_migrate: common.disableMigrate ? 'True' : undefined,
      cpuid: common.cpuFeatures?.length
        ? { cpuid: leavesOf(common.cpuFeatures), msr: [] } : undefined,
      max_grant_frames: common.maxGrantFrames,
      max_maptrack_frames: common.maxMaptrackFrames,
      max_grant_version: common.maxGrantVersion,
      sched_params: {},
      claim_mode: 'True',
      event_channels: common.maxEventChannels,
      kernel: common.kernel,
      cmdline: common.commandLine === '' ? undefined : common.commandLine,
      ramdisk: common.ramdisk,
      bootloader: common.bootloader,
      bootloader_args: common.bootloaderArgs?.length ? common.bootloaderArgs : undefined,
      [`type.${common.type}`]: common.pvshim ? shimOf(common.pvshim) : {},
      arch_arm: {},
      arch_x86: {},
      ...build,
    },
    disks: common.disks?.length ? common.disks.map(diskOf) : undefined,
    nics: common.vifs?.length ? common.vifs.map(nicOf) : undefined,
    channels: common.channels?.length ? common.channels.map(channelOf) : undefined,
    on_poweroff: actionName(common.onPoweroff),
    on_reboot: actionName(common.onReboot),
    on_watchdog: actionName(common.onWatchdog),
    on_crash: actionName(common.onCrash),
    on_soft_reset: actionName(common.onSoftReset),
  }
}

/** What a PVH domain's shim is, in libxl's libxl_domain_build_info. */
function shimOf({ path, cmdline, extra }: PvShim): Json {
  return { pvshim: 'True', pvshim_path: path, pvshim_cmdline: cmdline, pvshim_extra: extra }
}

/** A virtual node as libxl's libxl_vnode_info. */
function vnodeOf({ distances, memoryKib, pnode, vcpus }: VnodeConfig): Json {
  return { memkb: memoryKib || undefined, distances, pnode: pnode || undefined, vcpus }
}

/** Changes of CPUID as libxl's libxl_cpuid_policy_list: of each register 32 signs, bit 31 first. */
function leavesOf(changes: readonly FeatureChange[]): Json[] {
  const leaves = new Map<string, { [key: string]: number | string | undefined }>()
  for (const { word, bit, value } of changes) {
    const { leaf, subleaf } = placeOf(word)
    const [name = '', register = ''] = word.split('.')
    const known = leaves.get(name) ?? {
      leaf, subleaf: leaf === 7 || leaf === 0xd ? subleaf : undefined,
      eax: undefined, ebx: undefined, ecx: undefined, edx: undefined,
    }
    const before = String(known[register] ?? 'x'.repeat(32))
    leaves.set(name, {
      ...known, [register]: before.slice(0, 31 - bit) + value + before.slice(32 - bit),
    })
  }
  return [...leaves.values()]
}

/** A channel as libxl's libxl_device_channel. */
function channelOf({ name, connection, path }: ChannelSpec, devid: number): Json {
  return {
    devid, name, [`connection.${connection}`]: path === undefined ? {} : { path },
  }
}

/** An interface as libxl's libxl_device_nic. */
function nicOf(vif: VifSpec): Json {
  const { type, rate, trusted } = vif
  return {
    backend_domname: vif.backend, devid: vif.devid, mtu: vif.mtu, model: vif.model, mac: vif.mac,
    ip: vif.ip, bridge: vif.bridge, ifname: vif.vifname, script: vif.script,
    nictype: type && (type === 'ioemu' ? 'vif_ioemu' : 'vif'),
    rate_bytes_per_interval: rate?.bytes, rate_interval_usecs: rate?.intervalUs,
    gatewaydev: vif.gatewaydev,
    trusted: trusted === undefined ? undefined : trusted ? 'True' : 'False',
  }
}

/** An interface alone, as `xl -N network-attach` prints it. */
export function nicJson(vif: VifSpec): string {
  return pretty(nicOf(vif), '')
}

/** A libxl_device_disk. */
function diskOf(disk: DiskSpec & { readonly hasNoColo?: boolean }): Json {
  const one = (value: boolean): number | undefined => value ? 1 : undefined
  return {
    backend_domname: disk.backendDomain,
    pdev_path: disk.path,
    vdev: disk.vdev,
    backend: disk.backend,
    format: disk.format,
    script: disk.script,
    removable: one(disk.removable),
    readwrite: one(disk.writable),
    is_cdrom: one(disk.isCdrom),
    direct_io_safe: disk.directIoSafe || undefined,
    discard_enable: disk.discard === undefined ? undefined : disk.discard ? 'True' : 'False',
    specification: disk.specification,
    colo_restore_enable: disk.hasNoColo ? 'False' : undefined,
  }
}

/** What `xl -N block-attach` prints. */
export function diskJson(disk: DiskSpec): string {
  return `${pretty(diskOf(disk), '')}\n`
}

function asked(config: DomainConfig): Json {
  const creation = { uuid: config.uuid, pool_name: config.pool }
  return configOf(config, creation, {
    sched_params: { weight: config.cpuWeight, cap: config.cap },
  })
}

/** With what libxl chooses when it makes a domain. */
function made(spec: DomainSpec, uuid: string): Json {
  const vifs = spec.vifs?.map((vif): VifSpec => ({ ...vif, type: vif.type ?? 'vif' }))
  const disks = spec.disks?.map((disk) => ({ ...disk, hasNoColo: true }))
  return configOf({ ...spec, vifs, disks }, { domid: 4294967295, uuid }, {
    video_memkb: 0,
    sched_params: { sched: 'credit2', weight: spec.cpuWeight ?? 256, cap: spec.cap ?? 0 },
    arch_x86: { msr_relaxed: 'False' },
  })
}

/** What `xl create -n` prints. */
export function createJson(config: DomainConfig): string {
  return `${pretty(asked(config), '')}\n`
}

/** What `xl config-update -d` prints. */
export function updateJson(config: DomainConfig): string {
  return `${pretty({ domid: null, config: asked(config) }, '')}\n`
}

/** What `xl list -l` prints; a domain without a specification is the control domain. */
export function listJson(
  domains: readonly { readonly summary: DomainSummary, readonly spec: DomainSpec | undefined }[],
): string {
  const items = domains.map(({ summary, spec }) => ({
    domid: summary.domid,
    config: spec ? made(spec, summary.uuid) : controlDomain(summary),
  }))
  return `${pretty(items, '')}\n\n`
}

function controlDomain(summary: DomainSummary): Json {
  return {
    c_info: { type: 'pv', name: summary.name ?? '' },
    b_info: {
      max_memkb: summary.memoryKib,
      target_memkb: summary.memoryKib,
      sched_params: { sched: 'credit2', weight: 256, cap: 0 },
      'type.pv': {},
      arch_arm: {},
      arch_x86: {},
    },
  }
}
