/**
 * Boots a Linux with a shell on its console, and has it run commands:
 * `sh tools/with-node.sh test/api/debian.ts KERNEL RAMDISK`.
 *
 * An example of docs/guide/use-as-a-library.md.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { Host } from 'xenolith'

const [kernel = 'vmlinuz', ramdisk = 'initrd'] = process.argv.slice(2)

await using host = await Host.start({ memory: 1024 })
await using guest = await host.create({
  name: 'debian', kernel, ramdisk, cmdline: 'console=hvc0', memory: 256,
})

await using console = await guest.console()
await console.expect(':~# ', { signal: AbortSignal.timeout(300_000) })

const { output } = await console.exec('cat /sys/hypervisor/type')
process.stdout.write(`runs on ${output}`)
const { status } = await console.exec("grep -c 'no such thing' /proc/cpuinfo")
process.stdout.write(`grep found nothing: ${status}\n`)

const folder = mkdtempSync(join(tmpdir(), 'xenolith-example-'))
const image = join(folder, 'disk.img')
writeFileSync(image, 'from the host\n'.padEnd(4096, '\0'))
await guest.attachDisk(`${image},raw,xvdb,r`)
const disk = await console.exec('until [ -b /dev/xvdb ]; do sleep 0.1; done; head -n 1 /dev/xvdb')
process.stdout.write(`on the disk: ${disk.output}`)
await guest.detachDisk('xvdb')
rmSync(folder, { recursive: true })

await using _watch = await host.store.watch(`/local/domain/${guest.domid}/data`, (path) => {
  process.stdout.write(`changed: ${path}\n`)
})
await guest.write('data/greeting', 'hello')
process.stdout.write(`greeting: ${await guest.read('data/greeting')}\n`)

const end = guest.ended()
await guest.shutdown()
process.stdout.write(`ended: ${(await end).how} for reason ${(await end).reason}\n`)
