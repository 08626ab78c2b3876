/**
 * A domain's configuration as JSON, as `xl create -n` prints it.
 *
 * The names and their order are those of libxl_domain_config in libxl 4.17; what was not configured
 * is left out, and an empty object has an empty line in it, as yajl prints it.
 */
import { type DomainConfig, type LoadedConfig, type ShutdownAction, TSC_MODES } from './domain.ts'

export type Json = string | number | readonly Json[] | { readonly [name: string]: Json | undefined }

const ACTION_NAMES: Readonly<Record<ShutdownAction, string>> = {
  destroy: 'destroy', restart: 'restart', 'rename-restart': 'restart_rename',
  preserve: 'preserve', 'coredump-destroy': 'coredump_destroy',
  'coredump-restart': 'coredump_restart', 'soft-reset': 'soft_reset',
}
const INDENT = '    '

/** The text for `loaded`, as a domain with `uuid`. */
export function configJson(loaded: LoadedConfig, uuid: string): string {
  return `${printJson(configTree(loaded, uuid))}\n`
}

/** Prints as yajl's beautifier does, with libxl's four spaces. */
export function printJson(value: Json, indent = ''): string {
  if (typeof value !== 'object') return JSON.stringify(value)
  const inner = indent + INDENT
  const isList = Array.isArray(value)
  const parts = isList
    ? (value as readonly Json[]).map((item) => inner + printJson(item, inner))
    : Object.entries(value as Readonly<Record<string, Json | undefined>>)
      .flatMap(([name, item]) => item === undefined
        ? [] : [`${inner}${JSON.stringify(name)}: ${printJson(item, inner)}`])
  const [open, close] = isList ? ['[', ']'] : ['{', '}']
  return `${open}\n${parts.join(',\n')}\n${indent}${close}`
}

function configTree({ config, given }: LoadedConfig, uuid: string): Json {
  const action = (value: ShutdownAction) => value === 'destroy' ? undefined : ACTION_NAMES[value]
  return {
    c_info: {
      type: config.type, name: config.name, uuid, pool_name: config.pool,
      run_hotplug_scripts: 'True',
    },
    b_info: buildTree(config, given),
    on_poweroff: action(config.onPoweroff),
    on_reboot: action(config.onReboot),
    on_watchdog: action(config.onWatchdog),
    on_crash: action(config.onCrash),
    on_soft_reset: action(config.onSoftReset),
  }
}

function buildTree(config: DomainConfig, given: ReadonlySet<string>): Json {
  const counted = given.has('vcpus') || given.has('maxvcpus')
  const sized = given.has('memory') || given.has('maxmem')
  return {
    max_vcpus: counted ? config.maxVcpus : undefined,
    avail_vcpus: given.has('vcpus') ? [...new Array(config.vcpus).keys()] : undefined,
    tsc_mode: config.tscMode ? TSC_MODES[config.tscMode] : undefined,
    max_memkb: sized ? config.maxMemoryKib : undefined,
    target_memkb: given.has('memory') ? config.memoryKib : undefined,
    max_grant_frames: config.maxGrantFrames,
    max_maptrack_frames: config.maxMaptrackFrames,
    max_grant_version: config.maxGrantVersion,
    sched_params: { weight: config.cpuWeight, cap: config.cap },
    claim_mode: 'True',
    event_channels: config.maxEventChannels,
    kernel: config.kernel,
    cmdline: config.commandLine || undefined,
    ramdisk: config.ramdisk,
    [`type.${config.type}`]: config.type === 'hvm'
      ? { vga: {}, vnc: {}, sdl: {}, spice: {}, rdm: {} } : {},
    arch_arm: {},
    arch_x86: {},
  }
}
