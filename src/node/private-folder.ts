/**
 * Folders that are their user's alone: what lies there is trusted, or tells what others must not
 * know.
 */
import { lstatSync, mkdirSync } from 'node:fs'

/** The folder cannot be used safely. */
export class PrivateFolderError extends Error {
  override readonly name = 'PrivateFolderError'
}

/** Creates the folder, mode 0700, or checks that the one there is ours and closed to others. */
export function openPrivateFolder(path: string): string {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 })
  } catch (cause) {
    throw new PrivateFolderError(`cannot create ${path}: ${(cause as Error).message}`, { cause })
  }
  const stat = lstatSync(path)
  const uid = process.getuid?.() ?? stat.uid
  if (!stat.isDirectory()) throw new PrivateFolderError(`${path} is not a folder`)
  if (stat.uid !== uid) throw new PrivateFolderError(`${path} belongs to another user`)
  if ((stat.mode & 0o077) !== 0) {
    throw new PrivateFolderError(`${path} is open to other users (chmod 700 it)`)
  }
  return path
}
