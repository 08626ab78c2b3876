/**
 * Disks of guests under xl and under QEMU with virtio-blk, in turns: throughput of large requests
 * and rate of small ones, by the format of the image.
 *
 * `sh tools/with-node.sh bench/disks.ts [--rounds N] [--variant 'NAME: WORD ...'] [--publish]`;
 * with `--publish` the table goes into docs/benchmarks.md. Variants are those of bench/main.ts.
 */
import { parseArgs } from 'node:util'
import { type DiskResult, measureDisks } from './disks/measure.ts'
import { systems, variantOf } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles } from './lib/guest.ts'
import { firstLineOf, load, settingOf } from './lib/results.ts'
import { summaryOf } from './lib/statistics.ts'
import { ratioTable, settingText } from './lib/tables.ts'

const MIB = 1 << 20

function speedOf({ bytes, requests }: DiskResult, seconds: readonly number[]): string {
  const { median } = summaryOf(seconds)
  return bytes / requests >= MIB
    ? `${(bytes / MIB / median).toFixed(0)} MiB/s` : `${(requests / median).toFixed(0)} a second`
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
  const results = await measureDisks({ rounds: Number(values.rounds), systems: measured, files })
  const setting = settingText(settingOf([before, load()], files.kernel))
  const table = ratioTable(results.map((result) => ({
    ...result, labels: [result.what, result.format], speed: (seconds) => speedOf(result, seconds),
  })), ['', 'image'], measured.map(({ name }) => name))
  const text = `${setting}\n\n${table}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/disks.ts', text)
}

await main()
