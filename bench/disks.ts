/**
 * Disks of guests under xl and under QEMU with virtio-blk, in turns: throughput of large requests
 * and rate of small ones, by the format of the image.
 *
 * `sh tools/with-node.sh bench/disks.ts [--rounds N] [--variant 'NAME: WORD ...'] [--publish]`;
 * with `--publish` the table goes into docs/benchmarks.md. Variants are those of bench/main.ts.
 */
import { type DiskResult, measureDisks } from './disks/measure.ts'
import { runDeviceBenchmark } from './lib/command.ts'
import { summaryOf } from './lib/statistics.ts'

const MIB = 1 << 20

function speedOf({ bytes, requests }: DiskResult, seconds: readonly number[]): string {
  const { median } = summaryOf(seconds)
  return bytes / requests >= MIB
    ? `${(bytes / MIB / median).toFixed(0)} MiB/s` : `${(requests / median).toFixed(0)} a second`
}

await runDeviceBenchmark({
  name: 'bench/disks.ts', head: ['', 'image'],
  measure: async (options) => (await measureDisks(options)).map((result) => ({
    ...result, labels: [result.what, result.format], speed: (seconds) => speedOf(result, seconds),
  })),
})
