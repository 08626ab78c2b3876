/**
 * The folder in which the host process keeps its socket and log: its user's alone.
 */
import { lstatSync, mkdirSync } from 'node:fs'
import { join } from 'node:path'

/** The folder cannot be used safely. */
export class RunFolderError extends Error {
  override readonly name = 'RunFolderError'
}

/** Where it is, by the environment: $XENOLITH_RUN, or a folder of this user's own. */
export function runFolderPath(environment: Readonly<Record<string, string | undefined>>): string {
  const own = environment['XENOLITH_RUN']
  if (own) return own
  const base = environment['XDG_RUNTIME_DIR'] || '/tmp'
  return join(base, `xenolith-${process.getuid?.() ?? 0}`)
}

/** Creates the folder, mode 0700, or checks that the one there is ours and closed to others. */
export function openRunFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new RunFolderError(`cannot create ${path}: ${(cause as Error).message}`, { cause })
  }
  const stat = lstatSync(path)
  const uid = process.getuid?.() ?? stat.uid
  if (!stat.isDirectory()) throw new RunFolderError(`${path} is not a folder`)
  if (stat.uid !== uid) throw new RunFolderError(`${path} belongs to another user`)
  if ((stat.mode & 0o077) !== 0) {
    throw new RunFolderError(`${path} is open to other users (chmod 700 it)`)
  }
  return path
}

export const socketName = 'host.sock'
export const storeSocketName = 'xenstored.sock'
export const logName = 'host.log'
