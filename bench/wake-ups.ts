/**
 * How fast guests wake: events of one guest for another, how late timers are, and what they take.
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
import { gapsMs, measureSleepers, type Sleeper, tripsASecond } from './wake-ups/measure.ts'

const LATE_GAP = gapsMs.indexOf(3)

function latenessTable(sleepers: readonly Sleeper[]): string {
  const parts = [['median', 0.5], ['99 of 100', 0.99], ['most', 1]] as const
  return table(
    [`a process that sleeps for ${gapsMs[LATE_GAP]} ms wakes too late by`,
      ...parts.map(([name]) => name)],
    sleepers.map(({ system, lateUs }) => {
      const sorted = lateUs[LATE_GAP]!.toSorted((a, b) => a - b)
      return [system, ...parts.map(([, part]) =>
        `${sorted[Math.min(Math.floor(part * sorted.length), sorted.length - 1)]} µs`)]
    }))
}

function costTable(sleepers: readonly Sleeper[]): string {
  return table(['CPU time of a sleep of', ...gapsMs.map((gap) => `${gap} ms`)],
    sleepers.map(({ system, costUs }) =>
      [system, ...costUs.map((values) => measured(values, ' µs'))]))
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
  const sleepers = await measureSleepers(compared, files, rounds)
  const text = [
    `${settingText(settingOf([before, load()], files.kernel))}.`, trips, latenessTable(sleepers),
    `${costTable(sleepers)}\n`,
  ].join('\n\n')
  process.stdout.write(text)
  if (values.publish) publish('bench/wake-ups.ts', text)
}

await main()
