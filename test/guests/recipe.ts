/**
 * What a shell script makes through the machine's apt when it is first wanted, kept in the cache
 * folder under a key of the script.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, madeFolder } from '../../src/node/cache.ts'

export interface Recipe {
  /** A script beside this file, which is given the folder that it shall make. */
  readonly script: string
  /** What it is told besides. */
  readonly words?: readonly string[]
  /** Programs that it runs. */
  readonly tools: readonly string[]
  /** The file in the folder that it makes last. */
  readonly last: string
}

export interface Made {
  readonly folder: string
  /** Why it could not be made; for a test's `skip`. */
  readonly missing: string | false
}

const SEARCH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
const KEY_DIGITS = 16
const MOST_MS = 900_000

export function make({ script, words = [], tools, last }: Recipe): Made {
  const path = join(import.meta.dirname, script)
  const key = createHash('sha256').update(readFileSync(path)).update(words.join(' '))
    .digest('hex').slice(0, KEY_DIGITS)
  const folder = join(madeFolder(cacheFolder(), 'debian'), key)
  if (existsSync(join(folder, last))) return { folder, missing: false }
  const lacking = [...tools, 'mmdebstrap', 'flock'].filter((tool) =>
    !SEARCH.split(':').some((place) => place && existsSync(join(place, tool))))
  if (lacking.length > 0) return { folder, missing: `there is no ${lacking.join(', ')}` }
  // Another test may want it at the same time.
  const made = spawnSync('flock', [`${folder}.lock`, 'sh', path, folder, ...words],
    { encoding: 'utf8', timeout: MOST_MS })
  return { folder, missing: made.status === 0 ? false : `${script} failed:\n${made.stderr}` }
}
