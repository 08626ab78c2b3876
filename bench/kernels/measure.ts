/**
 * Kernels, natively, under QEMU and on our processor, round by round.
 */
import { summaryOf } from '../lib/statistics.ts'
import {
  countInstructions, runInQemu, runNatively, runOurs, timeQemuStart,
} from './engines.ts'
import { buildImage } from './image.ts'
import { kernels } from './list.ts'

export interface KernelResult {
  readonly name: string
  readonly what: string
  readonly instructions: number
  /** CPU seconds by round. */
  readonly native: number[]
  readonly qemu: number[]
  readonly ours: number[]
}

export interface KernelOptions {
  readonly rounds: number
  readonly qemu: boolean
  /** Names, or none for all. */
  readonly only: readonly string[]
}

export function measureKernels(options: KernelOptions): KernelResult[] {
  const image = buildImage()
  const instructions = countInstructions(image)
  const numbers = kernels.map((_, number) => number)
    .filter((number) => options.only.length === 0 || options.only.includes(kernels[number]!.name))
  const results: KernelResult[] = kernels.map(({ name, what }, number) =>
    ({ name, what, instructions: instructions[number]!, native: [], qemu: [], ours: [] }))
  for (let round = 0; round < options.rounds; round++) {
    process.stderr.write(`Kernels, round ${round + 1} of ${options.rounds} ...\n`)
    const ours = runOurs(image, numbers)
    const start = options.qemu
      ? summaryOf([1, 2, 3].map(() => timeQemuStart(image))).median : 0
    numbers.forEach((number, position) => {
      const result = results[number]!
      const { rounds } = kernels[number]!
      const native = runNatively(image, number, rounds)
      const runs = [native, ours[position]!]
      result.native.push(native.seconds)
      result.ours.push(ours[position]!.seconds)
      if (options.qemu) {
        const run = runInQemu(image, number, rounds, start)
        result.qemu.push(run.seconds)
        runs.push(run)
      }
      const sums = new Set(runs.map(({ checksum }) => checksum))
      if (sums.size > 1) throw new Error(`kernel ${result.name} gave ${[...sums].join(', ')}`)
    })
  }
  return numbers.map((number) => results[number]!)
}
