/**
 * What an xl.cfg asks for, as a domain's configuration.
 *
 * Obeys xl.cfg(5); the messages, their order and the defaults are those of real xl 4.17. It differs
 * where xl is silent to nobody's good: an unknown option is named in a warning, and negative sizes
 * and counts are refused.
 */
import { type BootConfig, bootOf, type DomainType } from './boot.ts'
import { ChannelError, type ChannelSpec, parseChannel } from './channel.ts'
import { cpuFeaturesOf, type FeatureChange } from './cpuid.ts'
import { type DiskSpec, DiskSpecError, parseDisk } from './disk.ts'
import { isCpuRange } from './cpu-range.ts'
import { ConfigError, type ParsedConfig, parseConfig, type Value } from './parser.ts'
import { DEVICE_LISTS, KNOWN_OPTIONS, SERVICES, withoutEffect } from './options.ts'
import { Settings } from './settings.ts'
import { parseVif, VifError, type VifSpec } from './vif.ts'
import { parseVnuma, type VnodeConfig, VnumaError } from './vnuma.ts'

export type ShutdownAction =
  | 'destroy' | 'restart' | 'rename-restart' | 'preserve'
  | 'coredump-destroy' | 'coredump-restart' | 'soft-reset'

/** A domain as configured. Paths are as the user wrote them. */
export interface DomainConfig extends BootConfig {
  readonly name: string
  readonly uuid: string | undefined
  readonly type: DomainType
  readonly pool: string | undefined
  /** What the domain shall have at the start: `maxMemoryKib`, if that is less. */
  readonly memoryKib: number
  readonly maxMemoryKib: number
  readonly vcpus: number
  readonly maxVcpus: number
  /** Whether `vcpus` and `maxVcpus` were asked for, or are defaults. */
  readonly vcpusGiven: boolean
  readonly maxVcpusGiven: boolean
  readonly onPoweroff: ShutdownAction
  readonly onReboot: ShutdownAction
  readonly onWatchdog: ShutdownAction
  readonly onCrash: ShutdownAction
  readonly onSoftReset: ShutdownAction
  /** XEN_DOMCTL_settscinfo's mode: an index into TSC_MODES. */
  readonly tscMode: number
  /** What its clock is ahead of UTC: so many seconds, and by the host's time zone. */
  readonly rtcTimeoffset: number | undefined
  readonly localtime: boolean
  readonly disableMigrate: boolean
  readonly cpuFeatures: readonly FeatureChange[]
  readonly vifs: readonly VifSpec[]
  readonly channels: readonly ChannelSpec[]
  /** Ranges of CPUs for each VCPU; undefined where no wish was made. */
  readonly hardAffinity: readonly string[] | undefined
  readonly softAffinity: readonly string[] | undefined
  /** Virtual NUMA nodes; none, unless asked for. */
  readonly vnuma: readonly VnodeConfig[]
  readonly cpuWeight: number | undefined
  readonly cap: number | undefined
  readonly maxGrantFrames: number | undefined
  readonly maxMaptrackFrames: number | undefined
  readonly maxGrantVersion: number | undefined
  readonly maxEventChannels: number | undefined
  readonly disks: readonly DiskSpec[]
  /** Options with a wish that is not fulfilled yet: the option, and the words for the wish. */
  readonly wishes: ReadonlyArray<{ readonly option: string, readonly what: string }>
}

export interface LoadedConfig {
  readonly config: DomainConfig
  /** Lines for standard error. */
  readonly messages: readonly string[]
}

export const TSC_MODES = ['default', 'always_emulate', 'native', 'native_paravirt'] as const

const ACTIONS: readonly ShutdownAction[] = [
  'destroy', 'restart', 'rename-restart', 'preserve', 'coredump-destroy', 'coredump-restart',
  'soft-reset',
]
const DEFAULT_MEMORY_KIB = 32 * 1024
const KIB_A_MIB = 1024
const MOST_VCPUS = 128
/** libxl keeps it in 32 bits. */
const MOST_OFFSET_S = 2 ** 31 - 1
const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i

/**
 * Reads an xl.cfg's `text`, which messages call `source`. `assignments` are those of the command
 * line; they come last and so override. Throws ConfigError.
 */
export function loadDomainConfig(
  source: string, text: string, assignments: readonly string[] = [],
): LoadedConfig {
  const extra = assignments.map((assignment) => `${assignment}\n`).join('')
  const whole = extra ? `${text}\n${extra}` : text
  return domainConfigOf(source, parseConfig(source, whole))
}

/** The same for settings that are parsed already. */
export function domainConfigOf(source: string, parsed: ParsedConfig): LoadedConfig {
  return new Reader(new Settings(source, parsed)).read()
}

/** Why a domain cannot be made as configured, although the configuration is sound. */
export function refusalOf(config: DomainConfig): string | undefined {
  if (config.type !== 'pvh') {
    const shim = config.type === 'pv' ? ', which runs PV kernels with pvshim=1' : ''
    return `type="${config.type}": only PVH domains are supported yet (type="pvh"${shim})`
  }
  const [wish] = config.wishes
  if (wish) return `${wish.option}: ${wish.what} are not supported yet`
  return undefined
}

class Reader {
  readonly #settings: Settings

  constructor(settings: Settings) {
    this.#settings = settings
  }

  read(): LoadedConfig {
    const settings = this.#settings
    const type = this.#type()
    const name = settings.string('name')
    if (name === undefined) this.#fail('Domain name must be specified.')
    const uuid = this.#uuid()
    const pool = settings.string('pool')
    const cpuWeight = settings.number('cpu_weight')
    const cap = settings.number('cap')
    const vnuma = this.#vnuma()
    const cpus = this.#vcpus(vnuma)
    const hardAffinity = this.#affinity('cpus', cpus.maxVcpus)
    const softAffinity = this.#affinity('cpus_soft', cpus.maxVcpus)
    const memory = this.#memory(vnuma)
    const actions = {
      onPoweroff: this.#action('on_poweroff', 'destroy'),
      onReboot: this.#action('on_reboot', 'restart'),
      onWatchdog: this.#action('on_watchdog', 'destroy'),
      onCrash: this.#action('on_crash', 'destroy'),
      onSoftReset: this.#action('on_soft_reset', 'soft-reset'),
    }
    const tscMode = this.#tscMode()
    const rtcTimeoffset = this.#timeoffset()
    const localtime = Boolean(settings.number('localtime'))
    const disableMigrate = Boolean(settings.number('nomigrate'))
    const cpuFeatures = cpuFeaturesOf(settings)
    const limits = {
      maxGrantFrames: this.#count('max_grant_frames'),
      maxMaptrackFrames: this.#count('max_maptrack_frames'),
      maxGrantVersion: this.#count('max_grant_version'),
      maxEventChannels: this.#count('max_event_channels'),
    }
    const boot = bootOf(settings, type)
    const vifs = this.#vifs()
    const disks = this.#disks()
    const channels = this.#channels()
    const wishes = this.#wishes()
    this.#ignored()
    return {
      config: {
        name, uuid, type, pool, ...boot, ...memory, ...cpus, ...actions, tscMode, rtcTimeoffset,
        localtime, disableMigrate, cpuFeatures, disks, vifs, channels,
        hardAffinity, softAffinity, vnuma, cpuWeight, cap, ...limits, wishes,
      },
      messages: settings.messages,
    }
  }

  #fail(line: string): never {
    throw new ConfigError([...this.#settings.messages, line])
  }

  #type(): DomainType {
    const type = this.#typeNamed(this.#settings.string('type'))
    const builder = this.#settings.string('builder')
    const built = this.#typeNamed(builder === 'generic' ? 'pv' : builder)
    if (type && built && type !== built) {
      this.#fail('Contradicting "builder" and "type" options specified.')
    }
    return type ?? built ?? 'pv'
  }

  #typeNamed(name: string | undefined): DomainType | undefined {
    if (name === undefined || name === 'pv' || name === 'pvh' || name === 'hvm') return name
    return this.#fail(`Invalid domain type ${name}.`)
  }

  #uuid(): string | undefined {
    const uuid = this.#settings.string('uuid')
    if (uuid !== undefined && !UUID.test(uuid)) this.#fail(`Failed to parse UUID: ${uuid}`)
    return uuid?.toLowerCase()
  }

  #vnuma(): VnodeConfig[] {
    const value = this.#settings.valueOf('vnuma')
    try {
      return value?.kind !== 'list' ? []
        : parseVnuma(value.items, () => this.#settings.warnNoList('vnuma'))
    } catch (error) {
      if (!(error instanceof VnumaError)) throw error
      return this.#fail(error.message)
    }
  }

  #vcpus(vnuma: readonly VnodeConfig[]): {
    vcpus: number, maxVcpus: number, vcpusGiven: boolean, maxVcpusGiven: boolean,
  } {
    const vcpus = this.#count('vcpus')
    const given = this.#count('maxvcpus')
    const inNodes = vnuma.reduce((sum, vnode) => sum + vnode.vcpus.length, 0)
    if (vnuma.length > 0 && given && given !== inNodes) {
      this.#fail('xl: vnuma vcpus and maxvcpus= mismatch')
    }
    const max = vnuma.length > 0 ? inNodes : given
    if (max !== undefined && vcpus !== undefined && max < vcpus) this.#fail('xl: maxvcpus < vcpus')
    const most = max ?? vcpus
    if (most !== undefined && most > MOST_VCPUS) {
      this.#fail(`xl: ${most} vcpus; a domain has at most ${MOST_VCPUS}`)
    }
    // Zero is as good as nothing to xl.
    const maxVcpus = max || vcpus || 1
    return {
      vcpus: vcpus || maxVcpus, maxVcpus, vcpusGiven: Boolean(vcpus),
      maxVcpusGiven: Boolean(given),
    }
  }

  #memory(vnuma: readonly VnodeConfig[]): { memoryKib: number, maxMemoryKib: number } {
    const memory = this.#count('memory')
    const max = this.#count('maxmem')
    const memoryKib = memory === undefined ? undefined : memory * KIB_A_MIB
    const inNodes = vnuma.reduce((sum, vnode) => sum + vnode.memoryKib, 0)
    if (vnuma.length > 0 && max !== undefined && max * KIB_A_MIB !== inNodes) {
      this.#fail('xl: maxmem and vnuma memory size mismatch')
    }
    const maxMemoryKib = vnuma.length > 0 ? inNodes
      : max === undefined ? memoryKib ?? DEFAULT_MEMORY_KIB : max * KIB_A_MIB
    const most = vnuma.length > 0 ? inNodes : Infinity
    return { memoryKib: Math.min(memoryKib ?? maxMemoryKib, most), maxMemoryKib }
  }

  /** A number that cannot be below zero. */
  #count(name: string): number | undefined {
    const value = this.#settings.number(name)
    if (value === undefined) return undefined
    if (value < 0 || value > Number.MAX_SAFE_INTEGER / KIB_A_MIB) {
      this.#fail(`ERROR: invalid value ${value} for "${name}"`)
    }
    return value
  }

  #action(name: string, fallback: ShutdownAction): ShutdownAction {
    const text = this.#settings.string(name)
    if (text === undefined) return fallback
    const action = ACTIONS.find((known) => known === text)
    return action ?? this.#fail(`Unknown ${name} action "${text}" specified`)
  }

  #tscMode(): number {
    const text = this.#settings.string('tsc_mode')
    if (text === undefined) return 0
    const { messages } = this.#settings
    if (/^[0-9]/.test(text)) {
      const mode = this.#settings.number('tsc_mode') ?? 0
      const name = TSC_MODES[mode]
      const example = name ? `e.g. tsc_mode="${name}"` : ''
      messages.push('WARNING: specifying "tsc_mode" as an integer is deprecated. ' +
        `Please use the named parameter variant. ${example}`)
      return name ? mode : this.#fail(`ERROR: invalid value ${mode} for "tsc_mode"`)
    }
    messages.push(`got a tsc mode string: "${text}"`)
    const mode = TSC_MODES.findIndex((name) => name === text)
    return mode >= 0 ? mode : this.#fail(`ERROR: invalid value "${text}" for "tsc_mode"`)
  }

  #disks(): DiskSpec[] {
    const disks: DiskSpec[] = []
    for (const item of this.#settings.list('disk') ?? []) {
      // Like xl, which asks for the text of each item and goes on to the first that has none.
      if (item.kind !== 'atom') break
      try {
        disks.push(parseDisk(item.text))
      } catch (error) {
        if (!(error instanceof DiskSpecError)) throw error
        this.#fail(`${this.#settings.source}: ${error.message}`)
      }
    }
    return disks
  }

  /** A string is for all VCPUs, a list has one range for each of the first. */
  #affinity(name: string, vcpus: number): string[] | undefined {
    const value = this.#settings.valueOf(name)
    if (!value) return undefined
    const items = value.kind === 'list' ? value.items : new Array<Value>(vcpus).fill(value)
    return items.slice(0, vcpus).map((item) => {
      if (item.kind !== 'atom') return this.#fail(`Invalid pcpu range: ${name}.`)
      return isCpuRange(item.text) ? item.text : this.#fail(`Invalid pcpu range: ${item.text}.`)
    })
  }

  #wishes(): Array<{ option: string, what: string }> {
    const wishes: Array<{ option: string, what: string }> = []
    for (const [option, what] of DEVICE_LISTS) {
      const items: readonly Value[] = this.#settings.list(option) ?? []
      if (items.length > 0) wishes.push({ option, what })
    }
    for (const [option, what] of SERVICES) {
      if ((this.#settings.string(option) || '0') !== '0') wishes.push({ option, what })
    }
    return wishes
  }

  #vifs(): VifSpec[] {
    const items: readonly Value[] = this.#settings.list('vif') ?? []
    return items.map((item, devid) => {
      if (item.kind !== 'atom') return this.#fail('vif: an interface is a string')
      try {
        return { devid, ...parseVif(item.text, (line) => void this.#settings.messages.push(line)) }
      } catch (error) {
        if (!(error instanceof VifError)) throw error
        return this.#fail(error.lineFor(this.#settings.source))
      }
    })
  }

  #channels(): ChannelSpec[] {
    const items: readonly Value[] = this.#settings.list('channel') ?? []
    return items.map((item, devid) => {
      try {
        return parseChannel(item.kind === 'atom' ? item.text : '', devid,
          (line) => void this.#settings.messages.push(line))
      } catch (error) {
        if (!(error instanceof ChannelError)) throw error
        return this.#fail(error.message)
      }
    })
  }

  #timeoffset(): number | undefined {
    const value = this.#settings.number('rtc_timeoffset')
    if (value !== undefined && Math.abs(value) > MOST_OFFSET_S) {
      this.#fail(`ERROR: invalid value ${value} for "rtc_timeoffset"`)
    }
    return value
  }

  /** Names those settings that nothing comes of. */
  #ignored(): void {
    for (const setting of this.#settings.all()) {
      const { name, value } = setting
      const why = !KNOWN_OPTIONS.has(name) ? 'is ignored'
        : withoutEffect(name, value.kind === 'atom' ? value.text : undefined)
      const parameter = KNOWN_OPTIONS.has(name) ? 'parameter' : 'unknown parameter'
      if (why !== undefined) this.#settings.warn(setting, `${parameter} \`${name}' ${why}`)
    }
  }
}
