/**
 * Runs a tiny kernel in this process: `sh tools/with-node.sh test/api/tiny.ts KERNEL`.
 *
 * An example of docs/guide/use-as-a-library.md.
 */
import { Host } from 'xenolith'

const [kernel = 'kernel'] = process.argv.slice(2)

await using host = await Host.start({ memory: 128 })
const domain = await host.create({ name: 'tiny', kernel, memory: 32 }, { paused: true })
const console = await domain.console()
await domain.unpause()

const { before } = await console.expect(/tick (\d+)\n/)
process.stdout.write(`It ticks${before === '' ? '' : `, after ${before}`}.\n`)

await domain.pause()
process.stdout.write(`paused: ${(await domain.summary())?.paused}\n`)
await domain.unpause()
await console.expect('tick ')

for (const one of await host.domains()) await one.destroy()
process.stdout.write(`ended: ${(await console.read()) ?? 'nothing more'}\n`)
