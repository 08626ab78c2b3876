/**
 * A domain's configuration as an object: the options of xl.cfg, by the same names.
 *
 * A file's slips are warnings, as xl's users expect; an object's are errors, as programs do.
 */
import { type DiskSpec, DiskSpecError, parseDisk } from '../config/disk.ts'
import { type DomainConfig, domainConfigOf } from '../config/domain.ts'
import { KNOWN_OPTIONS } from '../config/options.ts'
import { ConfigError, type Setting, type Value } from '../config/parser.ts'
import { parseVif, VifError, type VifSpec } from '../config/vif.ts'

export type SettingValue = string | number | boolean | readonly SettingValue[]

/** Options of xl.cfg(5). Those that are named here are the usual ones; any other may follow. */
export interface DomainSettings {
  readonly name: string
  /** 'pvh' unless it says otherwise. */
  readonly type?: 'pvh'
  /** Left out where `bootloader` ('pygrub') finds it on the first disk. */
  readonly kernel?: string | undefined
  readonly bootloader?: string | undefined
  readonly ramdisk?: string | undefined
  readonly cmdline?: string | undefined
  /** In MiB, as `maxmem`. */
  readonly memory?: number | undefined
  readonly maxmem?: number | undefined
  readonly vcpus?: number | undefined
  readonly maxvcpus?: number | undefined
  readonly uuid?: string | undefined
  readonly on_poweroff?: string | undefined
  readonly on_reboot?: string | undefined
  readonly on_crash?: string | undefined
  readonly [option: string]: SettingValue | undefined
}

/** Reads an object as an xl.cfg of the same options would be read. Throws ConfigError. */
export function configOfSettings(settings: DomainSettings): DomainConfig {
  const parsed = new Map<string, Setting>()
  for (const [name, value] of Object.entries({ type: 'pvh', ...settings })) {
    if (!KNOWN_OPTIONS.has(name)) throw new ConfigError([`no such option: ${name}`])
    if (value !== undefined) parsed.set(name, { name, value: valueOf(value), line: 0 })
  }
  const { config, messages } = domainConfigOf('domain', { settings: parsed, warnings: [] })
  const slips = messages.filter((message) => message.startsWith('domain:0: warning: '))
  if (slips.length > 0) {
    throw new ConfigError(slips.map((slip) => slip.replace('domain:0: warning: ', '')))
  }
  return config
}

/** Reads an item of `disk=`. Throws ConfigError. */
export function diskOfSetting(text: string): DiskSpec {
  return configured(() => parseDisk(text))
}

/** Reads an item of `vif=`. Throws ConfigError. */
export function vifOfSetting(text: string): VifSpec {
  const unknown: string[] = []
  const vif = configured(() => parseVif(text, (line) => void unknown.push(line)))
  if (unknown.length > 0) throw new ConfigError(unknown)
  return vif
}

function configured<T>(read: () => T): T {
  try {
    return read()
  } catch (error) {
    if (error instanceof DiskSpecError || error instanceof VifError) {
      throw new ConfigError([error.message])
    }
    throw error
  }
}

function valueOf(value: SettingValue): Value {
  if (typeof value === 'object') return { kind: 'list', items: value.map(valueOf) }
  return { kind: 'atom', text: typeof value === 'boolean' ? `${Number(value)}` : `${value}` }
}
