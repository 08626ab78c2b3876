/**
 * The folder whose configurations start with the host process.
 */
import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'

/**
 * Where it is, by the environment: $XENOLITH_AUTO; `auto` in a run folder that was chosen, so that
 * such a host has only its own domains; or `auto` among this user's configurations.
 */
export function autoFolderPath(
  environment: Readonly<Record<string, string | undefined>>,
): string {
  const { XENOLITH_AUTO: own, XENOLITH_RUN: run, XDG_CONFIG_HOME: config } = environment
  if (own) return own
  return run ? join(run, 'auto') : join(config || join(homedir(), '.config'), 'xenolith', 'auto')
}

/** The names of the configurations in it; none when there is no such folder. */
export async function configNames(path: string): Promise<string[]> {
  try {
    const names = await readdir(path)
    return names.filter((name) => name.endsWith('.cfg') && !name.startsWith('.'))
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return []
    throw error
  }
}
