/**
 * How many guests there is room for, and what they cost while they have nothing to do: CPU time,
 * and memory of the host process beyond the pages that they have touched.
 *
 * `sh tools/with-node.sh bench/density.ts [--machine MIB] [--guest MIB] [--publish]`; with
 * `--publish` the table goes into docs/benchmarks.md.
 */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import { parseArgs } from 'node:util'
import { OwnHost, startGuest, systems } from './guests/systems.ts'
import { publish } from './lib/document.ts'
import { ensureFiles, GuestShell, root, writeConfig } from './lib/guest.ts'
import { cpuSecondsOf } from './lib/process.ts'
import { load, settingOf } from './lib/results.ts'
import { settingText } from './lib/tables.ts'

/** By then what booting took has been given back. */
const SETTLE_MS = 15_000
/** What has just booted collects garbage and compiles for half a minute more, and has timers of its
 * own. */
const QUIET_MS = 60_000
const IDLE_MS = 30_000
const { values: options } = parseArgs({
  options: {
    machine: { type: 'string', default: '1100' },
    guest: { type: 'string', default: '96' },
    publish: { type: 'boolean' },
  },
})
const CORES = 2
const environment = { XENOLITH_MEMORY: options.machine, XENOLITH_CORES: String(CORES) }

interface Filled {
  /** MiB of the host process beyond the machine's touched memory, by how many guests there are. */
  readonly beyond: readonly number[]
  readonly guests: number
  readonly refusal: string
  readonly idleCpu: number
}

/** Boots guests, one after the other, until one is refused. */
async function fill(host: OwnHost): Promise<Filled> {
  const files = await ensureFiles()
  const shells: GuestShell[] = []
  const beyond: number[] = []
  const measure = async (): Promise<void> => {
    await delay(SETTLE_MS)
    const { rss, guest } = host.memory()
    beyond.push(rss - guest)
    console.error(`${shells.length} guests: ${beyond.at(-1)!.toFixed(1)} MiB`)
  }
  host.run('list')
  try {
    await measure()
    for (;;) {
      const config = writeConfig(`density-${shells.length}`, files, Number(options.guest))
      const shell = new GuestShell(host.create(config))
      const refused = await Promise.race([
        shell.ready().then(() => false), shell.console.ended.then(() => true),
      ])
      if (refused) {
        const refusal = refusalOf(host, config)
        return { beyond, guests: shells.length, refusal, idleCpu: await idle(host) }
      }
      shells.push(shell)
      await measure()
    }
  } finally {
    for (const shell of shells) await shell.close()
  }
}

/** What xl says to one guest more. */
function refusalOf(host: OwnHost, config: string): string {
  const { stderr } = spawnSync(join(root, 'xl'), ['create', '-q', config],
    { env: host.environment, encoding: 'utf8' })
  return stderr.trim()
}

/** CPU seconds a second of a process whose guests have just begun to idle. */
async function idle({ pid }: { readonly pid: number }): Promise<number> {
  await delay(QUIET_MS)
  const before = cpuSecondsOf(pid)
  await delay(IDLE_MS)
  return (cpuSecondsOf(pid) - before) / (IDLE_MS / 1000)
}

/** What one guest of the same kernel costs under QEMU. */
async function idleUnderQemu(): Promise<number> {
  const system = systems.find(({ kind }) => kind === 'qemu')!
  const guest = startGuest(system, await ensureFiles())
  try {
    await guest.shell.ready()
    await delay(SETTLE_MS)
    return await idle({ pid: guest.pids[0]! })
  } finally {
    await guest.close()
  }
}

async function main(): Promise<void> {
  const before = load()
  const underQemu = await idleUnderQemu()
  const host = new OwnHost({ name: 'ours', kind: 'xl', options: [], environment })
  try {
    const { beyond, guests, refusal, idleCpu } = await fill(host)
    // A core's thread starts with the first guest that it is wanted for.
    const atCores = beyond[CORES] ?? 0
    const more = ((beyond.at(-1) ?? 0) - atCores) / (guests - CORES)
    const lines = [
      `| ${options.guest} MiB guests in a machine of ${options.machine} MiB | |`, '| --- | ---: |',
      `| guests until one is refused | ${guests} |`,
      `| CPU time of all of them, idle | ${(idleCpu * 100).toFixed(2)} % of a core |`,
      `| CPU time of a guest of QEMU's, idle | ${(underQemu * 100).toFixed(2)} % of a core |`,
      `| host process without guests | ${(beyond[0] ?? 0).toFixed(0)} MiB |`,
      `| beyond touched pages, with the first guest | ${(beyond[1] ?? 0).toFixed(0)} MiB |`,
      `| with a guest for each of ${CORES} cores | ${atCores.toFixed(0)} MiB |`,
      `| for each guest more | ${more.toFixed(1)} MiB |`,
    ]
    console.log(lines.join('\n'))
    console.log(refusal)
    if (!options.publish) return
    const setting = settingText(settingOf([before, load()], undefined))
    publish('bench/density.ts', `${setting}.\n\n${lines.join('\n')}`)
  } finally {
    await host.end()
  }
}

await main()
