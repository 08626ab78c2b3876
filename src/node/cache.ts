/**
 * The folder for what can be fetched again: packages, kernels, initramfs images.
 */
import { mkdirSync, renameSync, writeFileSync } from 'node:fs'
import { homedir } from 'node:os'
import { join } from 'node:path'

/** $XENOLITH_CACHE, else xenolith in the user's cache folder. */
export function cacheFolder(environment: NodeJS.ProcessEnv = process.env): string {
  const own = environment['XENOLITH_CACHE']
  if (own) return own
  return join(environment['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'xenolith')
}

/** Makes `folder`, with those above it, and gives its name back. */
export function madeFolder(...parts: string[]): string {
  const folder = join(...parts)
  mkdirSync(folder, { recursive: true })
  return folder
}

/** Writes a file so that others see all of it or none. */
export function writeWhole(path: string, content: Uint8Array | string): void {
  const temporary = `${path}.${process.pid}`
  writeFileSync(temporary, content)
  renameSync(temporary, path)
}
