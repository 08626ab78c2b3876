/**
 * The folder of code that is kept from one process to the next, in the cache folder: of what Node
 * compiled of the sources, in `node/`.
 *
 * It is its user's alone, because whoever writes there decides what we run.
 */
import { join } from 'node:path'
import { cacheFolder } from './cache.ts'
import { openPrivateFolder } from './private-folder.ts'

type Environment = Readonly<Record<string, string | undefined>>

/** Where it is; undefined when nothing shall be kept. */
export function codeCachePath(environment: Environment): string | undefined {
  return environment['XENOLITH_CODE_CACHE'] === 'off' ? undefined
    : join(cacheFolder(environment), 'code')
}

/** What makes a Node keep what it compiles, as tools/with-node.sh does for those it starts. */
export function compileCacheOf(environment: Environment): { NODE_COMPILE_CACHE?: string } {
  const path = codeCachePath(environment)
  if (path === undefined) return {}
  try {
    return { NODE_COMPILE_CACHE: join(openPrivateFolder(path), 'node') }
  } catch {
    // Starting without it is slower, and nothing else.
    return {}
  }
}
