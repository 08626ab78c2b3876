/**
 * Where interpreting a guest and compiling it first differ, by the count of instructions:
 * `sh tools/with-node.sh test/deterministic/compare.ts KERNEL RAMDISK HEAT [TEXT]`.
 *
 * HEAT is how often code is jumped to before it is compiled; the guest runs until its console says
 * TEXT, a shell's prompt unless said otherwise.
 */
import { fileURLToPath } from 'node:url'
import { findDifference, type Way } from './difference.ts'

async function main(): Promise<void> {
  const [kernel, ramdisk, heat, text = ':~# '] = process.argv.slice(2)
  if (!kernel || !ramdisk || !(Number(heat) > 0)) {
    process.stderr.write('usage: compare.ts KERNEL RAMDISK HEAT [TEXT]\n')
    process.exitCode = 2
    return
  }
  const settings = { name: 'guest', kernel, ramdisk, cmdline: 'console=hvc0', memory: 192 }
  const way = (heatLimit: number): Way =>
    ({ seed: 'compare', heatLimit, memoryMib: 256, settings, text })
  const found = await findDifference(way(0), way(Number(heat)),
    (line) => process.stderr.write(`${line}\n`))
  process.stdout.write(found ? `${found}\n` : 'There is no difference.\n')
  if (found) process.exitCode = 1
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main()
