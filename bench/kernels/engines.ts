/**
 * The ways to run a kernel: on the host's CPU, under QEMU's TCG, and on our processor.
 */
import { execFileSync } from 'node:child_process'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { writeWhole } from '../../src/node/cache.ts'
import { HOST_OPTIONS } from '../../src/node/host-process.ts'
import { scratchFolder } from '../lib/guest.ts'
import type { Image } from './image.ts'
import { kernels } from './list.ts'

const bareCpu = fileURLToPath(new URL('bare-cpu.ts', import.meta.url))
/** QEMU says 1 when the guest wrote 0 to its exit port. */
const QEMU_GUEST_EXIT = 1
/** Native runs are so short that they are made longer. */
const NATIVE_FACTOR = 8
/** QEMU takes a tenth of a second to start, which varies. */
const QEMU_FACTOR = 4
const COUNTED_ROUNDS = [1, 2] as const

export interface Run {
  readonly checksum: string
  readonly seconds: number
}

/** Lines of a checksum and a number. */
function linesOf(output: string): Run[] {
  return output.trim().split('\n').map((line) => {
    const [checksum, seconds] = line.split(' ')
    return { checksum: checksum!, seconds: Number(seconds) }
  })
}

function native(image: Image, mode: 'time' | 'count', ...numbers: number[]): Run[] {
  return linesOf(execFileSync(image.native,
    [image.flat, String(image.size), mode, ...numbers.map(String)], { encoding: 'utf8' }))
}

export function runNatively(image: Image, kernel: number, rounds: number): Run {
  const [once, longer] = native(image, 'time', kernel, rounds, kernel, rounds * NATIVE_FACTOR)
  return { checksum: once!.checksum, seconds: longer!.seconds / NATIVE_FACTOR }
}

/** Instructions by kernel, counted by stepping natively through few rounds; kept in the cache. */
export function countInstructions(image: Image): number[] {
  const path = join(scratchFolder('kernels'), `instructions-${image.digest}.json`)
  if (existsSync(path)) return JSON.parse(readFileSync(path, 'utf8')) as number[]
  process.stderr.write('Counting instructions by stepping natively ...\n')
  const [few, more] = COUNTED_ROUNDS
  const counts = kernels.map((_, number) => {
    const [a, b] = [few, more].map((rounds) => native(image, 'count', number, rounds)[0]!.seconds)
    return { first: a!, each: (b! - a!) / (more - few) }
  }).map(({ first, each }, number) => Math.round(first + each * (kernels[number]!.rounds - few)))
  writeWhole(path, JSON.stringify(counts))
  return counts
}

/** The CPU time of the whole of QEMU, its start included. */
function timeQemu(image: Image, commandLine: string): { seconds: number, output: string } {
  const script = 'TIMEFORMAT="%U %S"; time qemu-system-x86_64 -accel tcg -m 64 -display none'
    + ' -nodefaults -no-user-config -net none -no-reboot -debugcon stdio'
    + ' -device isa-debug-exit,iobase=0xf4,iosize=1'
    + ` -kernel "$1" -append "$2" </dev/null; [ $? = ${QEMU_GUEST_EXIT} ]`
  const all = execFileSync('bash', ['-c', `{ ${script}; } 2>&1`, 'bash', image.elf, commandLine],
    { encoding: 'utf8' })
  const times = /([\d.]+) ([\d.]+)\n$/.exec(all)
  if (!times) throw new Error(`QEMU did not run: ${all}`)
  return { seconds: Number(times[1]) + Number(times[2]), output: all.slice(0, times.index) }
}

/** What QEMU takes to start and end. */
export function timeQemuStart(image: Image): number {
  return timeQemu(image, '').seconds
}

export function runInQemu(
  image: Image, kernel: number, rounds: number, startSeconds: number,
): Run {
  const longer = Array.from({ length: QEMU_FACTOR }, () => `${kernel} ${rounds}`).join(' ')
  const { seconds, output } = timeQemu(image, longer)
  const said = /BE([0-9a-f]{16})/.exec(output)
  return {
    checksum: said?.[1] ?? `none: ${output}`, seconds: (seconds - startSeconds) / QEMU_FACTOR,
  }
}

/** The command that runs kernels on our processor, as a program and its options. */
export function ourCommand(image: Image, commandLine: string): [string, string[]] {
  return [process.execPath, [...HOST_OPTIONS, bareCpu, image.elf, commandLine]]
}

/** Runs all kernels given on a fresh processor; the first is run for a while before. */
export function runOurs(image: Image, numbers: readonly number[]): Run[] {
  const command = numbers.map((number) => `${number} ${kernels[number]!.rounds}`)
  const warm = `${numbers[0]} ${Math.ceil(kernels[numbers[0]!]!.rounds / 4)}`
  const output = execFileSync(...ourCommand(image, [warm, ...command].join(' ')),
    { encoding: 'utf8' })
  return linesOf(output.replaceAll('BE', '')).slice(1)
}
