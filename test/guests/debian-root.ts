/**
 * A Debian system that one can work in, for tests and benchmarks: made by debian-root.sh when it is
 * first wanted, through the machine's apt, and kept in the cache folder under a key of its recipe.
 */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cacheFolder, madeFolder } from '../../src/node/cache.ts'

const recipe = join(import.meta.dirname, 'debian-root.sh')
const TOOLS = ['mmdebstrap', 'mke2fs', 'ssh-keygen', 'flock']
const SEARCH = `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin`
const KEY_DIGITS = 16
const MOST_MS = 900_000

/** The system's files. The image is not to be written to: others use it, too. */
export interface DebianRoot {
  readonly image: string
  readonly kernel: string
  readonly ramdisk: string
  /** The private key that may log in as root. */
  readonly key: string
  /** Why there are no such files; for a test's `skip`. */
  readonly missing: string | false
}

export function debianRoot(): DebianRoot {
  const name = createHash('sha256').update(readFileSync(recipe)).digest('hex').slice(0, KEY_DIGITS)
  const folder = join(madeFolder(cacheFolder(), 'debian'), name)
  const file = (base: string): string => join(folder, base)
  return {
    image: file('root.img'), kernel: file('vmlinuz'), ramdisk: file('initrd.img'),
    key: file('key'), missing: existsSync(file('root.img')) ? false : make(folder),
  }
}

/** Says why it could not be made. */
function make(folder: string): string | false {
  const missing = TOOLS.filter((tool) =>
    !SEARCH.split(':').some((place) => place && existsSync(join(place, tool))))
  if (missing.length > 0) return `there is no ${missing.join(', ')}`
  // Another test may want it at the same time.
  const made = spawnSync('flock', [`${folder}.lock`, 'sh', recipe, folder],
    { encoding: 'utf8', timeout: MOST_MS })
  return made.status === 0 ? false : `no Debian could be made:\n${made.stderr}`
}
