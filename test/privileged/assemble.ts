/**
 * Makes a bare program of a runtime and experiments, with gcc and ld.
 */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Experiment } from './experiment.ts'
import { symbols } from './layout.ts'

export type Mode = 'long' | 'protected' | 'real'

const RUNTIME = join(import.meta.dirname, 'runtime')

/** Each mode's experiments stand in the section and begin with the code size that it starts in. */
const beginnings: Readonly<Record<Mode, string>> = {
  long: '.text\n.code64', protected: '.text\n.code32', real: '.section .low, "ax"\n.code16',
}

function program(mode: Mode, experiments: readonly Experiment[]): string {
  const runtime = (name: string): string => readFileSync(join(RUNTIME, `${name}.S`), 'utf8')
  const bodies = experiments.map(({ name, code }, index) =>
    `# ${name}\n${beginnings[mode]}\n.balign 16\nexperiment_${index}:\n${code}\nFINISH\n`)
  const table = experiments.map((_, index) => `.quad experiment_${index}\n`).join('')
  return `${symbols()}${runtime('start')}${runtime(mode)}${bodies.join('')}
.text
.balign 8
.globl experiments
experiments:
${table}
.set experiment_count, ${experiments.length}
`
}

function tool(name: string, args: readonly string[], cwd: string): void {
  const { error, status, stderr } = spawnSync(name, args, { cwd, encoding: 'utf8' })
  if (error || status !== 0) throw new Error(`${name} says ${error?.message ?? stderr}`)
}

export function canAssemble(): boolean {
  try {
    tool('as', ['--version'], '/')
    tool('ld', ['--version'], '/')
    return true
  } catch {
    return false
  }
}

/** An ELF file that QEMU's -kernel and BareMachine start. */
export function assemble(mode: Mode, experiments: readonly Experiment[]): Buffer {
  const folder = mkdtempSync(join(tmpdir(), 'xenolith-privileged-'))
  try {
    writeFileSync(join(folder, 'program.S'), program(mode, experiments))
    tool('as', ['--64', '-o', 'program.o', 'program.S'], folder)
    tool('ld', ['-T', join(RUNTIME, 'link.ld'), '-o', 'program', 'program.o'], folder)
    return readFileSync(join(folder, 'program'))
  } finally {
    if (!process.env['KEEP_PROGRAM']) rmSync(folder, { recursive: true })
  }
}
