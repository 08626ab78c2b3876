/**
 * TCP of guests under xl and under QEMU with virtio-net, in turns: throughput and round trips,
 * between two guests, and between a guest and the host.
 *
 * `sh tools/with-node.sh bench/network.ts [--rounds N] [--variant 'NAME: WORD ...'] [--publish]`;
 * with `--publish` the table goes into docs/benchmarks.md. Variants are those of bench/main.ts.
 */
import { runDeviceBenchmark } from './lib/command.ts'
import { summaryOf } from './lib/statistics.ts'
import { measureNetworks, type NetworkResult } from './network/measure.ts'

function speedOf({ count, isBulk }: NetworkResult, seconds: readonly number[]): string {
  const { median } = summaryOf(seconds)
  return isBulk ? `${(count / 1e6 / median).toFixed(1)} MB/s`
    : `${(count / median).toFixed(0)} a second`
}

await runDeviceBenchmark({
  name: 'bench/network.ts', head: [''],
  measure: async (options) => (await measureNetworks(options)).map((result) => ({
    ...result, labels: [result.what], speed: (seconds) => speedOf(result, seconds),
  })),
})
