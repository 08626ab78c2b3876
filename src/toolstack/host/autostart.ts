/**
 * Domains that start with the machine: one for each configuration in a folder, in the order of
 * their names, as xendomains does with /etc/xen/auto. One that cannot start keeps no other back,
 * nor does one whose boot loader waits.
 */
import { Bug } from '../../base/assert.ts'
import { loadDomainConfig } from '../config/domain.ts'
import { type GlobalConfig, loadGlobalConfig, NO_DEFAULTS, withDefaults } from '../config/global.ts'
import { ConfigError } from '../config/parser.ts'
import type { Libxl } from '../domain/libxl.ts'
import { specOf } from '../domain/spec.ts'

/** The folder, from outside. */
export interface AutostartFolder {
  /** The names of the configurations in it; none when there is no folder. */
  names(): Promise<readonly string[]>
  /** A configuration's text; Error with the system's words. */
  read(name: string): Promise<string>
  /** xl.conf and its path. */
  globalConfig(): Promise<{ readonly path: string, readonly text: string }>
  /** What a path in a configuration means: relative ones begin at the folder. */
  absolutePath(path: string): string
  log(message: string): void
}

/** Makes the domains; resolves when each was made or refused. */
export async function autostart(libxl: Libxl, folder: AutostartFolder): Promise<void> {
  let names: readonly string[] = []
  let global: GlobalConfig = NO_DEFAULTS
  await attempt(folder, 'the folder', async () => void (names = await folder.names()))
  await attempt(folder, 'xl.conf', async () => {
    const { path, text } = await folder.globalConfig()
    global = loadGlobalConfig(path, text).config
  })
  const started: Promise<void>[] = []
  for (const name of [...names].sort()) {
    const start = async (next: () => void): Promise<void> => {
      const { config, messages } = loadDomainConfig(name, await folder.read(name))
      for (const line of messages) folder.log(`autostart: ${line}`)
      const spec = specOf(withDefaults(config, global), (path) => folder.absolutePath(path))
      if ('refusal' in spec) throw new ConfigError([spec.refusal])
      const domid = await libxl.create(spec, {}, spec.bootloader === undefined ? undefined : next)
      folder.log(`autostart: ${name}: domain ${domid}`)
    }
    await new Promise<void>((next) => {
      started.push(attempt(folder, name, () => start(next)).finally(next))
    })
  }
  await Promise.all(started)
}

/** Does `work`; logs what fails, unless we are to blame for it. */
async function attempt(
  folder: AutostartFolder, what: string, work: () => Promise<void>,
): Promise<void> {
  try {
    await work()
  } catch (error) {
    if (error instanceof Bug || !(error instanceof Error)) throw error
    folder.log(`autostart: ${what}: ${error.message}`)
  }
}
