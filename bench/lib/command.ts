/**
 * The command of a benchmark of devices: ours and QEMU's measured in turns, and a table of it.
 */
import { parseArgs } from 'node:util'
import { type System, systems, variantOf } from '../guests/systems.ts'
import { publish } from './document.ts'
import { ensureFiles, type MeasuredFiles } from './guest.ts'
import { firstLineOf, load, settingOf } from './results.ts'
import { ratioTable, settingText } from './tables.ts'

export interface DeviceOptions {
  readonly rounds: number
  readonly systems: readonly System[]
  readonly files: MeasuredFiles
}

export interface DeviceBenchmark {
  /** The command's file, whose table it is in docs/benchmarks.md. */
  readonly name: string
  /** What stands above the labels of rows. */
  readonly head: readonly string[]
  measure(options: DeviceOptions): Promise<Parameters<typeof ratioTable>[0]>
}

/** Does what the command line says. */
export async function runDeviceBenchmark(benchmark: DeviceBenchmark): Promise<void> {
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
  const rows = await benchmark.measure({ rounds: Number(values.rounds), systems: measured, files })
  const setting = settingText(settingOf([before, load()], files.kernel))
  const table = ratioTable(rows, [...benchmark.head], measured.map(({ name }) => name))
  const text = `${setting}\n\n${table}\n`
  process.stdout.write(text)
  if (values.publish) publish(benchmark.name, text)
}
