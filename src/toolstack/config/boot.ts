/**
 * What a domain boots, in an xl.cfg: its type, kernel, ramdisk and command line, or who finds or
 * runs them.
 */
import { ConfigError, type Value } from './parser.ts'
import type { Settings } from './settings.ts'

export type DomainType = 'pv' | 'pvh' | 'hvm'

/** What runs a PV kernel in a PVH domain; libxl's choice where nothing is said. */
export interface PvShim {
  readonly path?: string | undefined
  readonly cmdline?: string | undefined
  /** Follows `cmdline`. */
  readonly extra?: string | undefined
}

/** Paths are as the user wrote them. */
export interface BootConfig {
  readonly kernel: string | undefined
  readonly ramdisk: string | undefined
  /** Where there is one, it is what starts; `kernel` is for PV then. */
  readonly pvshim: PvShim | undefined
  /** Finds kernel and ramdisk on the first disk; `kernel` and `ramdisk` are then files there. */
  readonly bootloader: string | undefined
  readonly bootloaderArgs: readonly string[]
  readonly commandLine: string
}

/** Reads it for a domain of this type. Throws ConfigError. */
export function bootOf(settings: Settings, type: DomainType): BootConfig {
  const kernel = settings.string('kernel')
  const bootloader = settings.string('bootloader')
  const bootloaderArgs = bootloaderArgsOf(settings)
  const direct = kernel !== undefined || type === 'hvm'
  if (!direct && bootloader === undefined && !settings.has('firmware')) {
    throw new ConfigError([...settings.messages, 'Neither kernel nor bootloader specified'])
  }
  const commandLine = commandLineOf(settings)
  const ramdisk = settings.string('ramdisk')
  const pvshim = type === 'pvh' ? pvshimOf(settings) : undefined
  return { kernel, ramdisk, pvshim, bootloader, bootloaderArgs, commandLine }
}

/** A list, or words in one string, as xl splits it. */
function bootloaderArgsOf(settings: Settings): string[] {
  const { kind } = settings.valueOf('bootloader_args') ?? {}
  if (kind === 'atom') {
    settings.messages.push('WARNING: Specifying "bootloader_args" as a string is ' +
      'deprecated. Please use a list of arguments.')
    return (settings.string('bootloader_args') ?? '').split(/\s+/).filter((word) => word)
  }
  const items: readonly Value[] = settings.list('bootloader_args') ?? []
  return items.flatMap((item) => item.kind === 'atom' ? [item.text] : [])
}

function commandLineOf(settings: Settings): string {
  const whole = settings.string('cmdline')
  const root = settings.string('root')
  const extra = settings.string('extra')
  if (whole !== undefined) {
    if (root !== undefined || extra !== undefined) {
      settings.messages.push('Warning: ignoring root= and extra= in favour of cmdline=')
    }
    return whole
  }
  const parts = root === undefined ? [] : [`root=${root}`]
  if (extra !== undefined) parts.push(extra)
  return parts.join(' ')
}

function pvshimOf(settings: Settings): PvShim | undefined {
  const [path, cmdline, extra] = ['pvshim_path', 'pvshim_cmdline', 'pvshim_extra']
    .map((name) => settings.string(name))
  return settings.number('pvshim') ? { path, cmdline, extra } : undefined
}
