/**
 * What a row of a device's benchmark took, by system: the first time in its guest, and once it is
 * warm.
 */

/** How often a row is run before it counts: what each request executes once has been compiled then,
 * which it is after some thirty thousand times unless an earlier process has kept it. */
const RUNS_BEFORE = 10

export class RowTimes {
  /** Seconds of wall time the first time. */
  readonly first: Record<string, number[]> = {}
  readonly cpu: Record<string, number[]> = {}
  readonly wall: Record<string, number[]> = {}

  /** Runs a row on a system; what it said the last time. */
  async measure(
    system: string, run: () => Promise<string>, cpuSeconds: () => number,
  ): Promise<string> {
    for (let i = 0; i < RUNS_BEFORE; i++) {
      const start = performance.now()
      await run()
      if (i === 0) (this.first[system] ??= []).push(secondsSince(start))
    }
    const [cpu, start] = [cpuSeconds(), performance.now()]
    const said = await run()
    ;(this.wall[system] ??= []).push(secondsSince(start))
    ;(this.cpu[system] ??= []).push(cpuSeconds() - cpu)
    return said
  }
}

function secondsSince(start: number): number {
  return (performance.now() - start) / 1000
}
