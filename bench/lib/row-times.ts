/**
 * What a row of a device's benchmark took, by system: the first time in its guest, and once it is
 * warm.
 */

/** How often a row is run before it counts: what each request executes once has been compiled then,
 * which it is after some thirty thousand times unless an earlier process has kept it. */
const RUNS_BEFORE = 10
/** How often it counts: by one run alone, formats of images seem to differ by half. */
const RUNS = 3

/** Seconds by system, in the order of turns. */
type Seconds = Record<string, number[]>

export class RowTimes {
  /** Wall time of the first time in a guest. */
  readonly first: Seconds = {}
  readonly cpu: Seconds = {}
  readonly wall: Seconds = {}
}

/** A row on one system. */
export interface RowTask {
  readonly times: RowTimes
  readonly system: string
  run(): Promise<string>
  /** What the system took up to now. */
  cpuSeconds(): number
}

/** Runs tasks in turns, so that the host is as busy for one as for the others; what each said the
 * last time. */
export async function measureInTurns(tasks: readonly RowTask[]): Promise<string[]> {
  const said: string[] = []
  for (let turn = 0; turn < RUNS_BEFORE + RUNS; turn++) {
    for (const [i, task] of tasks.entries()) {
      const { times, system } = task
      const [cpu, start] = [task.cpuSeconds(), performance.now()]
      said[i] = await task.run()
      const wall = (performance.now() - start) / 1000
      if (turn === 0) add(times.first, system, wall)
      if (turn < RUNS_BEFORE) continue
      add(times.wall, system, wall)
      add(times.cpu, system, task.cpuSeconds() - cpu)
    }
  }
  return said
}

function add(seconds: Seconds, system: string, value: number): void {
  (seconds[system] ??= []).push(value)
}
