/**
 * What two VCPUs on two cores are worth over one on one, what a second core costs a guest that does
 * not use it, and what idle guests cost.
 *
 * `sh tools/with-node.sh bench/cores.ts [--rounds N] [--publish]`; with `--publish` the table goes
 * into docs/benchmarks.md.
 */
import { parseArgs } from 'node:util'
import { type CoresResults, measureCores } from './cores/measure.ts'
import { publish } from './lib/document.ts'
import { ensureFiles } from './lib/guest.ts'
import { load, settingOf } from './lib/results.ts'
import { measured, NOTHING, ratio, settingText, table } from './lib/tables.ts'

function tableOf({ rows, idle }: CoresResults): string {
  const doubled = (values: readonly number[]): number[] => values.map((value) => 2 * value)
  return table([
    'two at once', "speed-up, cores' CPU time", 'speed-up, wall time', "one core's CPU, s",
    "two cores' CPU, s", 'other threads, one core, s', 'other threads, two cores, s',
    'one VCPU where there are two cores, of where there is one, CPU time',
  ], [
    ...rows.map(({ name, what, wall, cores, others }) => [
      `\`${name}\`: ${what}`, ratio(doubled(cores[0]!), cores[1]), ratio(wall[0], wall[1]),
      measured(cores[0]!), measured(cores[1]!), measured(others[0]!), measured(others[1]!),
      ratio(cores[2]!, cores[0]),
    ]),
    ['an idle guest, CPU s a second', NOTHING, NOTHING, measured(idle[0]!), measured(idle[1]!),
      NOTHING, NOTHING, ratio(idle[2]!, idle[0])],
  ])
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { rounds: { type: 'string', default: '3' }, publish: { type: 'boolean' } },
  })
  const before = load()
  const files = await ensureFiles()
  const results = await measureCores(Number(values.rounds), files, (text) => console.error(text))
  const setting = settingText(settingOf([before, load()], files.kernel))
  const text = `${setting}.\n\n${tableOf(results)}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/cores.ts', text)
}

await main()
