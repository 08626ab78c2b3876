/**
 * Domains that start with the machine: one for each configuration in a folder, in the order of
 * their names, as xendomains does with /etc/xen/auto. One that cannot start keeps no other back.
 */
import { loadDomainConfig } from '../config/domain.ts'
import { ConfigError } from '../config/parser.ts'
import { type Libxl, LibxlError } from '../domain/libxl.ts'
import { specOf } from '../domain/spec.ts'

/** The folder, from outside. */
export interface AutostartFolder {
  /** The names of the configurations in it; none when there is no folder. */
  names(): Promise<readonly string[]>
  /** A configuration's text; Error with the system's words. */
  read(name: string): Promise<string>
  /** What a path in a configuration means: relative ones begin at the folder. */
  absolutePath(path: string): string
  log(message: string): void
}

/** Makes the domains; resolves when each was made or refused. */
export async function autostart(libxl: Libxl, folder: AutostartFolder): Promise<void> {
  for (const name of [...await folder.names()].sort()) {
    try {
      const { config, messages } = loadDomainConfig(name, await folder.read(name))
      for (const line of messages) folder.log(`autostart: ${line}`)
      const spec = specOf(config, (path) => folder.absolutePath(path))
      if ('refusal' in spec) throw new ConfigError([`${name}: ${spec.refusal}`])
      const domid = await libxl.create(spec, {})
      folder.log(`autostart: ${name}: domain ${domid}`)
    } catch (error) {
      if (!isOutside(error)) throw error
      folder.log(`autostart: ${name}: ${error.message}`)
    }
  }
}

/** Whether a file or what it asks for is at fault, and not we. */
function isOutside(error: unknown): error is Error {
  return error instanceof ConfigError || error instanceof LibxlError ||
    (error instanceof Error && error.name === 'FileError')
}
