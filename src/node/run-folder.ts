/**
 * The folder in which the host process keeps its socket and log: its user's alone.
 */
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { openPrivateFolder } from './private-folder.ts'

/** Where it is, by the environment: $XENOLITH_RUN, or a folder of this user's own. */
export function runFolderPath(environment: Readonly<Record<string, string | undefined>>): string {
  const own = environment['XENOLITH_RUN']
  if (own) return own
  const base = environment['XDG_RUNTIME_DIR'] || '/tmp'
  return join(base, `xenolith-${process.getuid?.() ?? 0}`)
}

export const socketName = 'host.sock'
export const storeSocketName = 'xenstored.sock'
export const logName = 'host.log'
/** Locked by the host process that has the folder. */
export const lockName = 'host.lock'

/** A path for the dump of a domain with a name, in a folder `dump` that is made if need be. */
export function coreDumpPath(
  environment: Readonly<Record<string, string | undefined>>, name: string,
): string {
  const folder = openPrivateFolder(join(runFolderPath(environment), 'dump'))
  const time = new Date().toISOString().replaceAll(':', '')
  return join(folder, `${name.replaceAll('/', '_')}-${time}.core`)
}

/** Writes a log in a folder `log` that is made if need be; Error with the system's words. */
export async function writeLog(
  environment: Readonly<Record<string, string | undefined>>, name: string, bytes: Uint8Array,
): Promise<void> {
  const folder = openPrivateFolder(join(runFolderPath(environment), 'log'))
  await writeFile(join(folder, name), bytes, { mode: 0o600 })
}
