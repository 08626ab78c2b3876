/**
 * Runs a program on both machines and compares.
 */
import { assemble, type Mode } from './assemble.ts'
import { BareMachine } from './bare-machine.ts'
import type { Experiment } from './experiment.ts'
import { programs } from './programs.ts'
import { QemuError, runInQemu } from './qemu.ts'
import { describeRecords, differences, readRecords, type Record } from './records.ts'

export interface Outcome {
  readonly experiment: Experiment
  readonly problems: readonly string[]
  readonly ours: string
  readonly theirs: string
}

export interface Comparison {
  readonly outcomes: readonly Outcome[]
  readonly milliseconds: Readonly<{ [step: string]: number }>
}

function missing(experiment: Experiment, said: string): string[] {
  return (experiment.expected ?? []).filter((part) => !said.includes(part))
    .map((part) => `without ${part}: ${said}`)
}

function judge(
  experiment: Experiment, ours: readonly Record[] | undefined,
  theirs: readonly Record[] | undefined,
): Outcome {
  const differing = differences(ours, theirs)
  const said = describeRecords(ours)
  const problems = experiment.differs && differing.length > 0
    ? missing(experiment, said) : differing
  return { experiment, problems, ours: said, theirs: describeRecords(theirs) }
}

function judgeAlone(experiment: Experiment, ours: readonly Record[] | undefined): Outcome {
  const said = describeRecords(ours)
  return { experiment, problems: missing(experiment, said), ours: said, theirs: 'not asked' }
}

function askQemu(program: Uint8Array, experiments: readonly Experiment[]): Buffer {
  try {
    return runInQemu(program)
  } catch (error) {
    if (!(error instanceof QemuError)) throw error
    throw new Error(`at "${experiments[error.index]?.name}"`, { cause: error })
  }
}

/** The records of our processor in both its ways: with the common cases of system instructions, and
 * by their services alone. */
export function recordsInBothWays(mode: Mode): readonly (readonly string[])[] {
  const program = assemble(mode, programs[mode])
  return [{}, { preferServices: true }].map((options) => {
    const records = readRecords(new BareMachine(program, options).run())
    return programs[mode].map(({ name }, i) => `${name}: ${describeRecords(records.get(i))}`)
  })
}

/** Runs what can run on both, and the rest on ours. */
export function compare(mode: Mode, experiments: readonly Experiment[]): Comparison {
  const times: number[] = [performance.now()]
  const both = experiments.filter((each) => !each.alone)
  const rest = experiments.filter((each) => each.alone)
  const program = assemble(mode, both)
  times.push(performance.now())
  const theirs = readRecords(askQemu(program, both))
  times.push(performance.now())
  const ours = readRecords(new BareMachine(program).run())
  const outcomes = both.map((each, i) => judge(each, ours.get(i), theirs.get(i)))
  if (rest.length > 0) {
    const records = readRecords(new BareMachine(assemble(mode, rest)).run())
    outcomes.push(...rest.map((each, i) => judgeAlone(each, records.get(i))))
  }
  times.push(performance.now())
  const took = (step: number): number => Math.round(times[step]! - times[step - 1]!)
  return { outcomes, milliseconds: { assembling: took(1), qemu: took(2), ours: took(3) } }
}
