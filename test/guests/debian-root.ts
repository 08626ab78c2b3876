/**
 * A Debian system that one can work in, for tests and benchmarks: made by debian-root.sh.
 */
import { join } from 'node:path'
import { make } from './recipe.ts'

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
  const { folder, missing } = make(
    { script: 'debian-root.sh', tools: ['mke2fs', 'ssh-keygen'], last: 'root.img' })
  const file = (base: string): string => join(folder, base)
  return {
    image: file('root.img'), kernel: file('vmlinuz'), ramdisk: file('initrd.img'),
    key: file('key'), missing,
  }
}
