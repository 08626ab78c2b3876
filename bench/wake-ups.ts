/**
 * How fast guests wake: events of one guest for another, and how late timers are.
 *
 * `sh tools/with-node.sh bench/wake-ups.ts [--rounds N] [--publish]`; with `--publish` the tables
 * go into docs/benchmarks.md.
 */
import { parseArgs } from 'node:util'
import { systems } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles } from './lib/guest.ts'
import { load, settingOf } from './lib/results.ts'
import { measured, settingText, table } from './lib/tables.ts'
import { type Lateness, measureLateness, tripsASecond } from './wake-ups/measure.ts'

function latenessTable(results: readonly Lateness[]): string {
  const parts = [['median', 0.5], ['99 of 100', 0.99], ['most', 1]] as const
  return table(['a process that sleeps for 3 ms wakes too late by', ...parts.map(([name]) => name)],
    results.map(({ system, us }) => {
      const sorted = [...us].sort((a, b) => a - b)
      return [system, ...parts.map(([, part]) =>
        `${sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)]} µs`)]
    }))
}

async function tripsTable(rounds: number): Promise<string> {
  const rates: number[][] = [[], []]
  for (let round = 0; round < rounds; round++) {
    for (const [core, list] of rates.entries()) list.push(await tripsASecond(core))
  }
  return table(['events to and fro between two guests', 'a second', 'each'],
    ['on one core', 'on two cores'].map((where, i) => [
      where, measured(rates[i]!), measured(rates[i]!.map((rate) => 1e6 / rate), ' µs')]))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, publish: { type: 'boolean' } },
  })
  const before = load()
  const rounds = Number(values.rounds)
  const files = await ensureFiles()
  const trips = await tripsTable(rounds)
  const compared = systems.filter(({ name }) => ['native', 'QEMU', 'ours'].includes(name))
  const late = latenessTable(await measureLateness(compared, files, rounds))
  const text = `${settingText(settingOf([before, load()], files.kernel))}.\n\n${trips}\n\n${late}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/wake-ups.ts', text)
}

await main()
