/**
 * Builds the benchmark image and the native runner with the machine's gcc.
 */
import { execFileSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { scratchFolder } from '../lib/guest.ts'

const sources = fileURLToPath(new URL('guest', import.meta.url))
const BASE = 0x100000
const OPTIONS = [
  '-O2', '-march=x86-64', '-ffreestanding', '-fno-builtin', '-fno-pic', '-fcf-protection=none',
  '-fno-stack-protector', '-fno-asynchronous-unwind-tables', '-fno-tree-loop-distribute-patterns',
]

export interface Image {
  /** An ELF file with a PVH entry. */
  readonly elf: string
  /** The same bytes as they lie in memory, from 1 MiB. */
  readonly flat: string
  /** Bytes in memory, with those that are zero at start. */
  readonly size: number
  /** The program that runs it natively. */
  readonly native: string
  readonly digest: string
}

export function buildImage(): Image {
  const folder = scratchFolder('kernels')
  const at = (name: string): string => join(folder, name)
  const run = (command: string, ...options: string[]): string =>
    execFileSync(command, options, { cwd: sources, encoding: 'utf8' })
  const objects = ['start.S', 'kernels.c', 'main.c'].map((source) => {
    const object = at(source.replace(/\..$/, '.o'))
    run('gcc', ...OPTIONS, '-c', source, '-o', object)
    return object
  })
  const [elf, flat, native] = [at('image.elf'), at('image.bin'), at('native')]
  run('ld', '-n', '-static', '--build-id=none', '--no-warn-rwx-segments', '-T', 'image.ld',
    ...objects, '-o', elf)
  run('objcopy', '-O', 'binary', '-R', '.note.Xen', elf, flat)
  run('gcc', '-O2', '-fPIE', '-pie', 'native.c', '-o', native)
  const end = /^([0-9a-f]+) . image_end$/m.exec(run('nm', elf))
  return {
    elf, flat, native, size: Number.parseInt(end![1]!, 16) - BASE,
    digest: createHash('sha256').update(readFileSync(flat)).digest('hex').slice(0, 16),
  }
}
