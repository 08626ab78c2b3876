/**
 * xl.conf: what holds for all domains that do not say otherwise.
 *
 * Obeys xl.conf(5) of Xen 4.17. Options about what is not here (the control domain's memory, locks,
 * hotplug scripts, Remus and COLO) may stand there and mean nothing; the masks of CPUs, random
 * numbers of domains and the output format "sxp" are missing, and named when they are asked for.
 */
import type { DomainConfig } from './domain.ts'
import { parseConfig } from './parser.ts'
import { Settings } from './settings.ts'
import type { VifSpec } from './vif.ts'

/** Defaults for the domains that xl makes. */
export interface GlobalConfig {
  readonly vif: Pick<VifSpec, 'bridge' | 'script' | 'gatewaydev' | 'backend'>
  readonly maxGrantFrames: number | undefined
  readonly maxMaptrackFrames: number | undefined
}

export const NO_DEFAULTS: GlobalConfig = {
  vif: {}, maxGrantFrames: undefined, maxMaptrackFrames: undefined,
}

const WITHOUT_EFFECT = [
  'autoballoon', 'lockfile', 'run_hotplug_scripts', 'blkdev_start', 'claim_mode',
  'remus.default.netbufscript', 'colo.default.proxyscript',
]
const READ = [
  'vif.default.bridge', 'vif.default.script', 'vif.default.gatewaydev', 'vif.default.backend',
  'max_grant_frames', 'max_maptrack_frames',
]
/** What asks for something that is missing, and what may be asked for. */
const FIXED: ReadonlyMap<string, string | undefined> = new Map([
  ['domid_policy', 'xen'], ['output_format', 'json'],
  ['vm.cpumask', undefined], ['vm.hvm.cpumask', undefined], ['vm.pv.cpumask', undefined],
])
const KNOWN: ReadonlySet<string> = new Set([...WITHOUT_EFFECT, ...READ, ...FIXED.keys()])

/** Reads the text, which messages call `source`. Throws ConfigError. */
export function loadGlobalConfig(
  source: string, text: string,
): { readonly config: GlobalConfig, readonly messages: readonly string[] } {
  const settings = new Settings(source, parseConfig(source, text))
  const vif = {
    bridge: settings.string('vif.default.bridge'),
    script: settings.string('vif.default.script'),
    gatewaydev: settings.string('vif.default.gatewaydev'),
    backend: settings.string('vif.default.backend'),
  }
  const config = {
    vif, maxGrantFrames: settings.number('max_grant_frames'),
    maxMaptrackFrames: settings.number('max_maptrack_frames'),
  }
  for (const setting of settings.all()) {
    if (KNOWN.has(setting.name) && !isMissing(settings, setting.name)) continue
    const what = KNOWN.has(setting.name) ? 'is not supported yet' : 'is unknown'
    settings.warn(setting, `parameter \`${setting.name}' ${what} and ignored`)
  }
  return { config, messages: settings.messages }
}

function isMissing(settings: Settings, name: string): boolean {
  return FIXED.has(name) && settings.has(name) && settings.string(name) !== FIXED.get(name)
}

/** An interface with what it does not say itself. */
export function vifWithDefaults(vif: VifSpec, { vif: defaults }: GlobalConfig): VifSpec {
  return { ...defined(defaults), ...defined(vif) }
}

/** A configuration with what it does not say itself. */
export function withDefaults(config: DomainConfig, global: GlobalConfig): DomainConfig {
  return {
    ...config,
    vifs: config.vifs.map((vif) => vifWithDefaults(vif, global)),
    maxGrantFrames: config.maxGrantFrames ?? global.maxGrantFrames,
    maxMaptrackFrames: config.maxMaptrackFrames ?? global.maxMaptrackFrames,
  }
}

function defined<T extends object>(from: T): T {
  return Object.fromEntries(
    Object.entries(from).filter(([, value]) => value !== undefined)) as T
}
