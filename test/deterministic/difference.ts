/**
 * The first instruction after which two ways of running a guest differ.
 *
 * Both are run whole, and registers are compared where their runs end; between the last end at
 * which they are equal and the first at which they are not, the count is found by halving, each
 * time by running both from the beginning up to it. What once differs is taken to differ from then
 * on.
 */
import { crc32 } from 'node:zlib'
import { makeDecoder, MAX_LENGTH } from '../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { printInstruction } from '../../src/isa/print/print.ts'
import type { Cpu } from '../../src/cpu/cpu.ts'
import { CPU_CONTEXT_SIZE } from '../../src/cpu/state.ts'
import { type Outcome, Run, type RunOptions } from './run.ts'

/** As far as compiled code may have gone without looking at the budget: a trace and a region. */
const TRAIL = 464
const decode = makeDecoder(allInstructions)

export interface Way extends RunOptions {
  /** What the guest says at the end. */
  readonly text: string
}

/** Counts of instructions at which runs of the processor ended, and what the registers were. */
interface Trace {
  readonly counts: number[]
  readonly registers: number[]
  readonly outcome: Outcome
}

async function traceOf(way: Way): Promise<Trace> {
  const [counts, registers]: [number[], number[]] = [[], []]
  const context = new Uint8Array(CPU_CONTEXT_SIZE)
  await using run = await Run.start({
    ...way,
    observe: (cpu, machine) => {
      way.observe?.(cpu, machine)
      replaceRuns(cpu, (runs) => (budget, exactly) => {
        const kind = runs(budget, exactly)
        cpu.saveContext(context)
        counts.push(cpu.executed)
        registers.push(crc32(context))
        return kind
      })
    },
  })
  await run.expect(way.text)
  return { counts, registers, outcome: run.outcome }
}

type Runs = Cpu['run']

function replaceRuns(cpu: Cpu, replace: (runs: Runs) => Runs): void {
  cpu.run = replace(cpu.run.bind(cpu))
}

/** Runs a guest until it has executed `count` instructions, and looks at it. */
async function at<T>(way: RunOptions, count: number, look: (run: Run) => T): Promise<T> {
  let reached = (): void => {}
  const there = new Promise<void>((resolve) => { reached = resolve })
  await using run = await Run.start({
    ...way,
    observe: (cpu, machine) => {
      way.observe?.(cpu, machine)
      replaceRuns(cpu, (runs) => (budget, exactly) => {
        const left = count - cpu.executed
        if (left > 0) return runs(Math.min(budget, left), exactly)
        reached()
        return 'budget'
      })
    },
  })
  await there
  return look(run)
}

function isSame(a: Outcome, b: Outcome): boolean {
  return a.registers === b.registers && a.memory === b.memory
}

/** Between which counts two traces part; undefined when they do not. */
function partingOf(a: Trace, b: Trace): readonly [number, number] | undefined {
  const end = Math.min(a.counts.length, b.counts.length)
  for (let i = 0; i < end; i++) {
    if (a.counts[i] === b.counts[i] && a.registers[i] === b.registers[i]) continue
    return [a.counts[i - 1] ?? 0, Math.max(a.counts[i]!, b.counts[i]!)]
  }
  if (isSame(a.outcome, b.outcome)) return undefined
  return [0, Math.min(a.outcome.executed, b.outcome.executed)]
}

/** Says where two ways first differ; undefined if they come to the same. `say` is told how it
 * goes. */
export async function findDifference(
  one: Way, other: Way, say: (line: string) => void,
): Promise<string | undefined> {
  const parting = partingOf(await traceOf(one), await traceOf(other))
  if (!parting) return undefined
  let [same, differs] = parting
  while (differs - same > 1) {
    say(`they part between ${same} and ${differs} instructions`)
    const middle = Math.floor((same + differs) / 2)
    const [a, b] = [await at(one, middle, (run) => run.outcome),
      await at(other, middle, (run) => run.outcome)]
    if (isSame(a, b)) same = middle
    else differs = middle
  }
  const [a, b] = [await at(one, differs, registersOf), await at(other, differs, registersOf)]
  const changed = a.filter((line, i) => line !== b[i]).map((line) => `  ${line}`)
  const others = b.filter((line, i) => line !== a[i]).map((line) => `  ${line}`)
  return [
    `They differ after ${differs} instructions.`, 'Registers of the first:', ...changed,
    'and of the second:', ...others,
    'What the first executed before:', ...await trailOf(one, differs),
  ].join('\n')
}

function registersOf({ cpu }: Run): string[] {
  const { context } = cpu
  const lines = [`rip ${context.rip.toString(16)}`]
  for (let i = 0; i < 16; i++) lines.push(`gpr ${i}: ${context.gpr.get(i).toString(16)}`)
  for (let i = 0; i < 64; i++) lines.push(`vector word ${i}: ${context.vector.get(i).toString(16)}`)
  const rest = new Uint8Array(CPU_CONTEXT_SIZE)
  cpu.saveContext(rest)
  return [...lines, `all: ${crc32(rest).toString(16)}`]
}

/** The instructions that were executed up to a count. */
async function trailOf(way: RunOptions, count: number): Promise<string[]> {
  const lines: string[] = []
  await at({
    ...way,
    observe: (cpu, machine) => replaceRuns(cpu, (runs) => (budget, exactly) => {
      const ahead = count - TRAIL - cpu.executed
      if (ahead > 0) return runs(Math.min(budget, ahead), exactly)
      lines.push(nextOf(cpu, new Uint8Array(machine.buffer)))
      return runs(Math.min(budget, 1), exactly)
    }),
  }, count, () => {})
  return lines
}

function nextOf(cpu: Cpu, memory: Uint8Array): string {
  const { rip, cpl } = cpu.context
  const bytes = new Uint8Array(MAX_LENGTH)
  for (let i = 0; i < MAX_LENGTH; i++) {
    const machine = cpu.memory.reach(rip + BigInt(i), false, cpl === 3)
    if (machine < 0) break
    bytes[i] = memory[machine]!
  }
  const found = decode(bytes, { long: true, defaultSize32: true })
  const text = typeof found === 'string' ? found : printInstruction(found, rip)
  return `${cpu.executed} ${rip.toString(16)}: ${text}`
}
