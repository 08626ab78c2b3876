/**
 * The files of the benchmark set: the program, built with the machine's gcc, and what the shell's
 * rows need; in an initramfs for guests, and in a folder for the host.
 */
import { execFileSync } from 'node:child_process'
import { copyFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { gzipSync } from 'node:zlib'
import { madeFolder, writeWhole } from '../../src/node/cache.ts'
import { type CpioEntry, writeCpio } from '../../src/toolstack/build/cpio.ts'
import type { MeasuredFiles } from '../lib/guest.ts'
import { rows } from './rows.ts'

const sources = fileURLToPath(new URL('guest', import.meta.url))
const SOURCES = ['main', 'integer', 'memory', 'float', 'system', 'code'].map((name) => `${name}.c`)
const OPTIONS = [
  '-O2', '-static', '-no-pie', '-pthread', '-Wall', '-Wextra', '-fcf-protection=none',
  // Loops over bytes are to stay loops.
  '-fno-tree-loop-distribute-patterns',
]
const WORDS_SIZE = 256 * 1024
const SYLLABLES = 'ba co du fe gi lo ma nu pe ra si to vu x'.split(' ')

/** Builds the program in `folder` and gives its path. */
export function buildProgram(folder: string): string {
  const path = join(folder, 'bench')
  execFileSync('gcc', [...OPTIONS, ...SOURCES, '../../kernels/guest/kernels.c', '-o', path],
    { cwd: sources })
  return path
}

/** Lines of words, always the same. */
function wordsText(): string {
  let seed = 1
  const next = (limit: number): number => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0
    return (seed >>> 8) % limit
  }
  const lines: string[] = []
  for (let size = 0; size < WORDS_SIZE; size += lines.at(-1)!.length + 1) {
    const word = (): string =>
      Array.from({ length: 1 + next(3) }, () => SYLLABLES[next(SYLLABLES.length)]).join('')
    lines.push([next(100_000), ...Array.from({ length: 3 + next(6) }, word)].join(' '))
  }
  return `${lines.join('\n')}\n`
}

/** What lies in the folder where rows are run. */
function dataFiles(): [string, Uint8Array][] {
  const words = Buffer.from(wordsText())
  return [
    ['words.txt', words], ['words.txt.gz', gzipSync(words)],
    ...rows.flatMap(({ name, script }): [string, Uint8Array][] =>
      script === undefined ? [] : [[`${name}.sh`, Buffer.from(`${script}\n`)]]),
  ]
}

/** An initramfs that also has the program and the data, in the shell's first folder. */
export function addToInitrd(
  files: MeasuredFiles, program: string, folder: string,
): MeasuredFiles {
  const entries: CpioEntry[] = [
    { kind: 'file', path: 'bin/bench', mode: 0o755, content: readFileSync(program) },
    ...dataFiles().map(([name, content]): CpioEntry =>
      ({ kind: 'file', path: `root/${name}`, content })),
  ]
  const initrd = join(folder, 'initrd')
  // Linux unpacks archives that follow one another.
  writeWhole(initrd, Buffer.concat([readFileSync(files.initrd), writeCpio(entries)]))
  return { ...files, initrd }
}

/** A folder with the data, and the program and busybox's applets in its `bin`. */
export function nativeFolder(
  program: string, busybox: Uint8Array | undefined, parent: string,
): string {
  const folder = join(parent, 'native')
  rmSync(folder, { recursive: true, force: true })
  const bin = madeFolder(folder, 'bin')
  for (const [name, content] of dataFiles()) writeWhole(join(folder, name), content)
  copyFileSync(program, join(bin, 'bench'))
  if (busybox) {
    const path = join(bin, 'busybox')
    writeFileSync(path, busybox, { mode: 0o755 })
    execFileSync(path, ['--install', '-s', bin])
  }
  return folder
}
