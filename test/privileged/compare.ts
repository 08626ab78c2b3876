/**
 * Runs a program on both machines and compares.
 */
import { assemble, type Mode } from './assemble.ts'
import { BareMachine } from './bare-machine.ts'
import type { Experiment } from './experiment.ts'
import { runInQemu } from './qemu.ts'
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

function judge(
  experiment: Experiment, ours: readonly Record[] | undefined,
  theirs: readonly Record[] | undefined,
): Outcome {
  const differing = differences(ours, theirs)
  const said = describeRecords(ours)
  let problems = differing
  if (experiment.differs && differing.length > 0) {
    problems = (experiment.expected ?? []).filter((part) => !said.includes(part))
      .map((part) => `without ${part}: ${said}`)
  }
  return { experiment, problems, ours: said, theirs: describeRecords(theirs) }
}

export function compare(mode: Mode, experiments: readonly Experiment[]): Comparison {
  const times: number[] = [performance.now()]
  const program = assemble(mode, experiments)
  times.push(performance.now())
  const theirs = readRecords(runInQemu(program))
  times.push(performance.now())
  const ours = readRecords(new BareMachine(program).run())
  times.push(performance.now())
  const took = (step: number): number => Math.round(times[step]! - times[step - 1]!)
  return {
    outcomes: experiments.map((each, i) => judge(each, ours.get(i), theirs.get(i))),
    milliseconds: { assembling: took(1), qemu: took(2), ours: took(3) },
  }
}
