/**
 * TCP of guests under xl and under QEMU with virtio-net, in turns: throughput and round trips,
 * between two guests, and between a guest and the host.
 *
 * `sh tools/with-node.sh bench/network.ts [--rounds N] [--variant 'NAME: WORD ...'] [--publish]`;
 * with `--publish` the table goes into docs/benchmarks.md. Variants are those of bench/main.ts.
 */
import { parseArgs } from 'node:util'
import { systems, variantOf } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles } from './lib/guest.ts'
import { firstLineOf, load, settingOf } from './lib/results.ts'
import { summaryOf } from './lib/statistics.ts'
import { ratioTable, settingText } from './lib/tables.ts'
import { measureNetworks, type NetworkResult } from './network/measure.ts'

function speedOf({ count, isBulk }: NetworkResult, seconds: readonly number[]): string {
  const { median } = summaryOf(seconds)
  return isBulk ? `${(count / 1e6 / median).toFixed(1)} MB/s`
    : `${(count / median).toFixed(0)} a second`
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '3' }, publish: { type: 'boolean' },
      variant: { type: 'string', multiple: true, default: [] },
    },
  })
  if (!firstLineOf('qemu-system-x86_64', '--version')) throw new Error('there is no QEMU')
  const measured = [
    ...systems.filter(({ name }) => name === 'ours' || name === 'QEMU'),
    ...values.variant.map(variantOf),
  ]
  const before = load()
  const files = await ensureFiles({}, true)
  const results = await measureNetworks({ rounds: Number(values.rounds), systems: measured, files })
  const setting = settingText(settingOf([before, load()], files.kernel))
  const table = ratioTable(results.map((result) => ({
    ...result, labels: [result.what], speed: (seconds) => speedOf(result, seconds),
  })), [''], measured.map(({ name }) => name))
  const text = `${setting}\n\n${table}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/network.ts', text)
}

await main()
