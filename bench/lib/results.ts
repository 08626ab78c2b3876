/**
 * What a run of the benchmarks gives: JSON, with the machine and versions it holds for.
 */
import { execFileSync } from 'node:child_process'
import { cpus, loadavg, release, totalmem } from 'node:os'
import { basename } from 'node:path'
import type { GuestResults } from '../guests/measure.ts'
import type { KernelResult } from '../kernels/measure.ts'
import { root } from './guest.ts'

export interface Setting {
  readonly date: string
  readonly commit: string
  readonly cpu: string
  readonly cores: number
  readonly memoryGib: number
  /** Average load of the machine before and after: above 1, others were at work. */
  readonly load: readonly number[]
  readonly os: string
  readonly node: string
  readonly qemu?: string
  readonly gcc?: string
  readonly guestKernel?: string
}

export interface Results {
  readonly setting: Setting
  readonly kernels?: readonly KernelResult[]
  readonly guests?: GuestResults
}

/** The first line that a program prints, or nothing if there is none. */
export function firstLineOf(command: string, ...options: string[]): string | undefined {
  try {
    return execFileSync(command, options, {
      cwd: root, encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'],
    }).split('\n')[0]
  } catch {
    return undefined
  }
}

export function load(): number {
  return Math.round(loadavg()[0]! * 10) / 10
}

function commitOf(): string {
  const commit = firstLineOf('git', 'rev-parse', '--short', 'HEAD') ?? 'unknown'
  const changed = firstLineOf('git', 'status', '--porcelain', '--', 'src')
  return changed ? `${commit} with changes` : commit
}

export function settingOf(loads: readonly number[], kernel: string | undefined): Setting {
  const qemu = firstLineOf('qemu-system-x86_64', '--version')
  const gcc = firstLineOf('gcc', '--version')
  return {
    date: new Date().toISOString().slice(0, 10),
    commit: commitOf(),
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryGib: Math.round(totalmem() / 2 ** 30),
    load: loads,
    os: `Linux ${release()}`,
    node: process.version,
    ...qemu === undefined ? {} : { qemu },
    ...gcc === undefined ? {} : { gcc },
    ...kernel === undefined ? {} : { guestKernel: basename(kernel) },
  }
}
