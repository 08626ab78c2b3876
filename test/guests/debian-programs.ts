/**
 * Programs of Debian's for guests, as an archive that goes behind an initramfs.
 */
import { lstatSync, readdirSync, readFileSync, readlinkSync } from 'node:fs'
import { join } from 'node:path'
import { type CpioEntry, writeCpio } from '../../src/toolstack/build/cpio.ts'
import { make } from './recipe.ts'

export interface DebianPrograms {
  /** Of the programs and their libraries. */
  readonly archive: Uint8Array
  /** Why there is none; for a test's `skip`. */
  readonly missing: string | false
}

/** Programs of /usr/bin, and the packages that have them and their libraries. */
export function debianPrograms(
  packages: readonly string[], programs: readonly string[],
): DebianPrograms {
  const { folder, missing } = make({
    script: 'debian-programs.sh', words: [packages.join(','), ...programs], tools: ['tar'],
    last: 'tree',
  })
  if (missing) return { archive: new Uint8Array(), missing }
  const tree = join(folder, 'tree')
  const names = readdirSync(tree, { recursive: true, encoding: 'utf8' }).sort()
  return { archive: writeCpio(names.map((name) => entryOf(tree, name))), missing: false }
}

function entryOf(tree: string, path: string): CpioEntry {
  const file = join(tree, path)
  const stat = lstatSync(file)
  if (stat.isDirectory()) return { kind: 'directory', path }
  if (stat.isSymbolicLink()) return { kind: 'link', path, target: readlinkSync(file) }
  return { kind: 'file', path, mode: stat.mode & 0o777, content: readFileSync(file) }
}
