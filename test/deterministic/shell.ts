/**
 * Boots a Linux on a deterministic machine and asks it something: the same answer each time, but
 * for another seed. `sh tools/with-node.sh test/deterministic/shell.ts KERNEL RAMDISK`.
 *
 * An example of docs/guide/repeat-a-run.md.
 */
import { createHash } from 'node:crypto'
import { Host } from 'xenolith'

const [kernel = 'vmlinuz', ramdisk = 'initrd'] = process.argv.slice(2)

await using host = await Host.start({ memory: 256, seed: '1' })
await using guest = await host.create({
  name: 'repeated', kernel, ramdisk, cmdline: 'console=hvc0', memory: 192,
})

await using console = await guest.console()
await console.expect(':~# ')
const { output } = await console.exec('cat /proc/interrupts')
process.stdout.write(`${createHash('sha1').update(output).digest('hex')}\n`)
