/**
 * Where a user's configurations are: those that start with the host process, and xl.conf.
 */
import { readdir } from 'node:fs/promises'
import { homedir } from 'node:os'
import { join } from 'node:path'
import { readFileBytes } from './files.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** A run folder that was chosen has all of its own; else they are among this user's. */
function pathOf(environment: Environment, name: string): string {
  const { XENOLITH_RUN: run, XDG_CONFIG_HOME: config } = environment
  return run ? join(run, name) : join(config || join(homedir(), '.config'), 'xenolith', name)
}

/** The folder of those that start with the host process: $XENOLITH_AUTO, or `auto`. */
export function autoFolderPath(environment: Environment): string {
  return environment['XENOLITH_AUTO'] || pathOf(environment, 'auto')
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

/** xl.conf ($XENOLITH_XL_CONF, or among the others); empty when there is no such file. */
export async function readGlobalConfig(
  environment: Environment,
): Promise<{ readonly path: string, readonly text: string }> {
  const path = environment['XENOLITH_XL_CONF'] || pathOf(environment, 'xl.conf')
  try {
    return { path, text: new TextDecoder().decode(await readFileBytes(path)) }
  } catch (error) {
    const { cause, message } = error as Error
    if ((cause as NodeJS.ErrnoException).code === 'ENOENT') return { path, text: '' }
    throw new Error(`Failed to read config file: ${path}: ${message}`, { cause })
  }
}
