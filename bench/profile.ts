/**
 * Where the interpreter's time goes: boots a guest with counters in the core's thread, and prints
 * what was executed, called and left for.
 *
 *   sh tools/with-node.sh bench/profile.ts [--run 'shell command'] [--top 40] [--json FILE]
 *
 * With --run the profile is that of the command at the guest's shell; without it, of the boot.
 */
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { createGuest, BOOT_MS, ensureFiles, PROMPT, root, scratchFolder, writeConfig }
  from './lib/guest.ts'
import { type Counts, countsSince } from './profile/counts.ts'
import { reportOf } from './profile/report.ts'
import { ensureSymbols } from './profile/symbols.ts'

const SETTLE_MS = 700

function snapshot(path: string): Promise<Counts> {
  return new Promise((resolve) => setTimeout(
    () => resolve(JSON.parse(readFileSync(path, 'utf8')) as Counts), SETTLE_MS))
}

async function main(): Promise<void> {
  const { values: options } = parseArgs({
    options: {
      run: { type: 'string' },
      top: { type: 'string', default: '40' },
      memory: { type: 'string', default: '256' },
      every: { type: 'string', default: '20000' },
      kernel: { type: 'string' },
      initrd: { type: 'string' },
      json: { type: 'string' },
    },
  })
  const { kernel, initrd } = options
  const files = await ensureFiles({
    ...kernel === undefined ? {} : { kernel }, ...initrd === undefined ? {} : { initrd },
  })
  const symbols = await ensureSymbols(files)
  const path = join(scratchFolder(), `profile-${process.pid}.json`)
  const guest = createGuest(writeConfig('profile', files, Number(options.memory)), {
    ...process.env, XENOLITH_PROFILE: path, XENOLITH_PROFILE_EVERY: options.every,
    NODE_OPTIONS: `--import ${join(root, 'bench/profile/preload.ts')}`,
  })
  try {
    await guest.expect(PROMPT, BOOT_MS)
    let counts = await snapshot(path)
    if (options.run !== undefined) {
      const before = counts
      guest.send(`${options.run}; echo "DO""NE"\n`)
      await guest.expect('DONE', BOOT_MS)
      counts = countsSince(await snapshot(path), before)
    }
    process.stdout.write(reportOf(counts, symbols, Number(options.top)))
    if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(counts))
  } finally {
    await guest.close()
  }
}

await main()
