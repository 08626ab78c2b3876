/**
 * Disks of guests under xl and under QEMU with virtio-blk, in turns: throughput of large requests
 * and rate of small ones, by the format of the image.
 *
 * `sh tools/with-node.sh bench/disks.ts [--rounds N] [--variant 'NAME: WORD ...'] [--publish]`;
 * with `--publish` the table goes into docs/benchmarks.md. Variants are those of bench/main.ts.
 */
import { parseArgs } from 'node:util'
import { type DiskResult, measureDisks, VIRTIO_DRIVERS } from './disks/measure.ts'
import { systems, variantOf } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles } from './lib/guest.ts'
import { firstLineOf, load, settingOf } from './lib/results.ts'
import { ratiosOf, summaryOf } from './lib/statistics.ts'
import { settingText } from './lib/tables.ts'

const MIB = 1 << 20

function speedOf({ bytes, requests }: DiskResult, seconds: readonly number[]): string {
  const { median } = summaryOf(seconds)
  return bytes / requests >= MIB
    ? `${(bytes / MIB / median).toFixed(0)} MiB/s` : `${(requests / median).toFixed(0)} a second`
}

function tableOf(results: readonly DiskResult[], names: readonly string[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ')} |`
  const others = names.filter((name) => name !== 'QEMU')
  const heads = ['', 'image', ...others.flatMap((name) =>
    [`${name} / QEMU, CPU time`, `${name} / QEMU, wall time`]),
  ...names, ...names.map((name) => `${name}, CPU s`)]
  const lines = results.map((result) => {
    const ratio = (name: string, times: DiskResult['cpu']): string => {
      const { median, least, most } = ratiosOf(times[name]!, times['QEMU']!)
      return `${median.toFixed(2)} (${least.toFixed(2)}–${most.toFixed(2)})`
    }
    return line([
      result.what, result.format,
      ...others.flatMap((name) => [ratio(name, result.cpu), ratio(name, result.wall)]),
      ...names.map((name) => speedOf(result, result.wall[name]!)),
      ...names.map((name) => summaryOf(result.cpu[name]!).median.toFixed(2)),
    ])
  })
  return [line(heads), line(heads.map((_, i) => i < 2 ? '---' : '---:')), ...lines].join('\n')
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
  const files = await ensureFiles({}, VIRTIO_DRIVERS)
  const results = await measureDisks({ rounds: Number(values.rounds), systems: measured, files })
  const setting = settingText(settingOf([before, load()], files.kernel))
  const text = `${setting}\n\n${tableOf(results, measured.map(({ name }) => name))}\n`
  process.stdout.write(text)
  if (values.publish) publish('bench/disks.ts', text)
}

await main()
