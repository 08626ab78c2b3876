/**
 * Where the interpreter's time goes: runs a guest with counters in the core's thread, and prints
 * what was executed, called and left for.
 *
 *   sh tools/with-node.sh bench/profile.ts [--run 'shell command' | --row ROW | --bench KERNEL]
 *     [--top 40] [--every 20000] [--memory 256] [--vcpus N] [--kernel FILE] [--initrd FILE]
 *     [--json FILE]
 *
 * By default the profile is that of a boot to the shell; with --run, that of the command alone,
 * which may use the program `bench` of `bench/set/`; with --row, that of a row of it; with --bench,
 * that of a kernel of `bench/kernels/` on the bare processor. With --vcpus, the guest has so many
 * and the machine as many cores; the counts are those of all together.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { ourCommand } from './kernels/engines.ts'
import { buildImage } from './kernels/image.ts'
import { kernels } from './kernels/list.ts'
import {
  bootGuest, BOOT_MS, ensureFiles, type MeasuredFiles, root, scratchFolder, writeConfig,
} from './lib/guest.ts'
import { type Counts, countsIn, countsSince } from './profile/counts.ts'
import { reportOf } from './profile/report.ts'
import { ensureSymbols, type Symbols, symbolsOfFile } from './profile/symbols.ts'
import { addToInitrd, buildProgram } from './set/files.ts'
import { commandOf, rows } from './set/rows.ts'

const SETTLE_MS = 700

interface Profile {
  readonly counts: Counts
  readonly symbols: Symbols
}

function readOptions() {
  return parseArgs({
    options: {
      run: { type: 'string' },
      row: { type: 'string' },
      bench: { type: 'string' },
      top: { type: 'string', default: '40' },
      memory: { type: 'string', default: '256' },
      vcpus: { type: 'string', default: '1' },
      every: { type: 'string', default: '20000' },
      kernel: { type: 'string' },
      initrd: { type: 'string' },
      json: { type: 'string' },
    },
  }).values
}

type Options = ReturnType<typeof readOptions>

function environmentOf(options: Options, path: string): NodeJS.ProcessEnv {
  return {
    ...process.env, XENOLITH_PROFILE: path, XENOLITH_PROFILE_EVERY: options.every,
    XENOLITH_CORES: options.vcpus,
    NODE_OPTIONS: `--import ${join(root, 'bench/profile/preload.ts')}`,
  }
}

/** The counts once an idle guest's core has written them. */
function snapshot(path: string): Promise<Counts> {
  return new Promise((resolve) => setTimeout(() => resolve(countsIn(path)), SETTLE_MS))
}

/** The guest's files, and what is run in it once it has booted. */
async function guestOf(options: Options): Promise<{ files: MeasuredFiles, command?: string }> {
  const { kernel, initrd } = options
  const files = await ensureFiles({
    ...kernel === undefined ? {} : { kernel }, ...initrd === undefined ? {} : { initrd },
  })
  if (options.row === undefined && options.run === undefined) return { files }
  const row = rows.find(({ name }) => name === options.row)
  const command = options.run ?? (row && commandOf(row).join(' '))
  if (command === undefined) throw new Error(`there are ${rows.map(({ name }) => name).join(', ')}`)
  const folder = scratchFolder('set')
  return { files: addToInitrd(files, buildProgram(folder), folder), command }
}

async function profileGuest(options: Options, path: string): Promise<Profile> {
  const { files, command } = await guestOf(options)
  const symbols = await ensureSymbols(files)
  const vcpus = Number(options.vcpus)
  const config = writeConfig('profile', files, Number(options.memory), { vcpus })
  const guest = await bootGuest(config, environmentOf(options, path))
  try {
    const boot = await snapshot(path)
    if (command === undefined) return { counts: boot, symbols }
    await guest.run(command, BOOT_MS)
    return { counts: countsSince(await snapshot(path), boot), symbols }
  } finally {
    await guest.close()
  }
}

function profileKernel(options: Options, path: string): Profile {
  const number = kernels.findIndex(({ name }) => name === options.bench)
  const kernel = kernels[number]
  if (!kernel) throw new Error(`there are ${kernels.map(({ name }) => name).join(', ')}`)
  const image = buildImage()
  const [program, parameters] = ourCommand(image, `${number} ${kernel.rounds}`)
  execFileSync(program, parameters, {
    env: { ...environmentOf(options, path), XENOLITH_PROFILE_MAIN: '1' },
  })
  return { counts: countsIn(path), symbols: symbolsOfFile(image.elf) }
}

async function main(): Promise<void> {
  const options = readOptions()
  const path = join(scratchFolder(), `profile-${process.pid}.json`)
  const { counts, symbols } = options.bench === undefined
    ? await profileGuest(options, path) : profileKernel(options, path)
  process.stdout.write(reportOf(counts, symbols, Number(options.top)))
  if (options.json !== undefined) writeFileSync(options.json, JSON.stringify(counts))
}

await main()
