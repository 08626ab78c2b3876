/**
 * A folder whose files guests may fetch: those below it, and none that a name or a link leads to
 * elsewhere.
 */
import { realpath } from 'node:fs/promises'
import { join, normalize, sep } from 'node:path'
import { readPlainFile } from './files.ts'

/** Reads a file by its name in `folder`; undefined when there is none, or it lies outside. */
export async function readBelow(folder: string, name: string): Promise<Uint8Array | undefined> {
  if (name.includes('\0')) return undefined
  try {
    const root = await realpath(folder)
    // A name from the root is meant from the folder.
    const path = await realpath(join(root, normalize(`${sep}${name}`)))
    return path.startsWith(`${root}${sep}`) ? await readPlainFile(path) : undefined
  } catch {
    return undefined
  }
}
