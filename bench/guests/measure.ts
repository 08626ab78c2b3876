/**
 * Whole guests under xl and QEMU: boot to the shell, memory there, the rows of the set in all of
 * them in turns, and memory after those.
 *
 * A cold boot begins without a host process of ours; a warm one follows it in the same process.
 * QEMU has a process for each guest, so it has cold boots only.
 */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as delay } from 'node:timers/promises'
import {
  bootGuest, type MeasuredFiles, root, scratchFolder, writeConfig,
} from '../lib/guest.ts'
import { cpuSecondsOf, type Memory } from '../lib/process.ts'
import { countsIn } from '../profile/counts.ts'
import { addToInitrd, buildProgram, nativeFolder } from '../set/files.ts'
import {
  GuestPlace, NativePlace, type Place, type RowResult, SetMeasurement,
} from '../set/measure.ts'
import type { Row } from '../set/rows.ts'
import {
  guestCpuSeconds, memoryWithoutGuests, type RunningGuest, startGuest, type System,
} from './systems.ts'

const SETTLE_MS = 700
/** After that long an idle host process has given back what it does not need. */
const IDLE_MS = 45_000

export interface GuestResult {
  readonly system: string
  /** By round. */
  readonly coldCpu: number[]
  readonly coldWall: number[]
  readonly warmCpu: number[]
  readonly warmWall: number[]
  /** At the shell after the cold boot, and after all rows. */
  readonly memory: Memory[]
  readonly memoryAfter: Memory[]
}

export interface GuestResults {
  readonly systems: readonly GuestResult[]
  readonly withoutGuests: readonly Memory[]
  /** Instructions of a boot, as our processor counts them. */
  readonly bootInstructions?: number
  readonly rows: readonly RowResult[]
  /** Boots and rows that failed, and checksums that differ, in words. */
  readonly failures: readonly string[]
}

export interface GuestOptions {
  readonly rounds: number
  readonly systems: readonly System[]
  /** Whether boots are measured. */
  readonly boot: boolean
  readonly rows: readonly Row[]
  readonly files: MeasuredFiles
}

function say(text: string): void {
  process.stderr.write(`${text}\n`)
}

function emptyResult({ name }: System): GuestResult {
  return {
    system: name, coldCpu: [], coldWall: [], warmCpu: [], warmWall: [], memory: [],
    memoryAfter: [],
  }
}

/** Waits for the shell, and gives CPU and wall-clock seconds until then. */
async function untilShell(
  guest: RunningGuest, start: number, cpuBefore = 0,
): Promise<{ cpu: number, wall: number }> {
  await guest.shell.ready()
  const wall = (performance.now() - start) / 1000
  return { wall, cpu: guestCpuSeconds(guest) - cpuBefore }
}

async function boot(system: System, files: MeasuredFiles): Promise<RunningGuest> {
  const guest = startGuest(system, files)
  try {
    await guest.shell.ready()
    return guest
  } catch (error) {
    await guest.close()
    throw error
  }
}

/** Memory of a guest that has had nothing to do for some time. */
async function idleMemory(guest: RunningGuest): Promise<Memory> {
  await delay(IDLE_MS)
  return guest.memory()
}

/** Boots with the clock running, cold and where there is such a thing warm. */
async function measureBoot(
  system: System, result: GuestResult, files: MeasuredFiles,
): Promise<RunningGuest> {
  const start = performance.now()
  const guest = startGuest(system, files)
  try {
    const cold = await untilShell(guest, start)
    result.coldCpu.push(cold.cpu)
    result.coldWall.push(cold.wall)
    await delay(SETTLE_MS)
    if (!guest.reuse) {
      result.memory.push(await idleMemory(guest))
      return guest
    }
    await guest.reuse.destroy()
    // The one that ended had a console's process, which is gone.
    const [restart, before] = [performance.now(), cpuSecondsOf(guest.reuse.host)]
    guest.reuse.create()
    const warm = await untilShell(guest, restart, before)
    result.warmCpu.push(warm.cpu)
    result.warmWall.push(warm.wall)
    result.memory.push(await idleMemory(guest))
    return guest
  } catch (error) {
    await guest.close()
    throw error
  }
}

/** Boots once with the profile's counters. */
async function countBoot(files: MeasuredFiles): Promise<number> {
  const folder = scratchFolder(`boot-${process.pid}`)
  const path = join(folder, 'counts')
  const guest = await bootGuest(writeConfig('count', files), {
    ...process.env, XENOLITH_PROFILE: path, XENOLITH_PROFILE_EVERY: '1000000',
    NODE_OPTIONS: `--import ${join(root, 'bench/profile/preload.ts')}`,
  })
  try {
    await delay(SETTLE_MS)
    return countsIn(path).instructions
  } finally {
    await guest.close()
    rmSync(folder, { recursive: true })
  }
}

class GuestRounds {
  readonly results: GuestResult[]
  readonly set: SetMeasurement
  readonly #options: GuestOptions
  readonly #guests: readonly System[]
  /** Where the set's program and files are, if rows are run. */
  readonly #program: string | undefined
  readonly #native: Place[] = []
  readonly #files: MeasuredFiles

  constructor(options: GuestOptions) {
    this.#options = options
    this.#guests = options.systems.filter(({ kind }) => kind !== 'native')
    this.results = this.#guests.map(emptyResult)
    this.set = new SetMeasurement(options.rows, say)
    this.#files = options.files
    if (options.rows.length === 0) return
    const folder = scratchFolder('set')
    this.#program = buildProgram(folder)
    this.#files = addToInitrd(options.files, this.#program, folder)
    if (this.#guests.length < options.systems.length) {
      this.#native.push(
        new NativePlace(nativeFolder(this.#program, options.files.busybox, folder)))
    }
  }

  async round(): Promise<void> {
    const open = new Map<System, RunningGuest>()
    try {
      for (const [index, system] of this.#guests.entries()) {
        try {
          open.set(system, this.#options.boot
            ? await measureBoot(system, this.results[index]!, this.#files)
            : await boot(system, this.#files))
        } catch (error) {
          this.set.fail(`${system.name} did not boot: ${(error as Error).message}`)
        }
      }
      await this.#runRows(open)
    } finally {
      for (const guest of open.values()) await guest.close()
    }
  }

  async #runRows(open: Map<System, RunningGuest>): Promise<void> {
    const program = this.#program
    if (program === undefined) return
    await this.set.round([
      ...this.#native,
      ...[...open.keys()].map((system) => new GuestPlace(system.name, program, {
        guest: () => open.get(system)!,
        replace: async () => {
          await open.get(system)!.close()
          open.delete(system)
          open.set(system, await boot(system, this.#files))
        },
      })),
    ])
    await delay(IDLE_MS)
    this.#guests.forEach((system, index) => {
      const guest = open.get(system)
      if (guest) this.results[index]!.memoryAfter.push(guest.memory())
    })
  }
}

export async function measureGuests(options: GuestOptions): Promise<GuestResults> {
  const rounds = new GuestRounds(options)
  const ours = options.systems.find(({ name }) => name === 'ours')
  const withoutGuests: Memory[] = []
  const counted = options.boot && ours
    ? { bootInstructions: await countBoot(options.files) } : {}
  for (let round = 0; round < options.rounds; round++) {
    say(`Guests, round ${round + 1} of ${options.rounds} ...`)
    if (options.boot && ours) withoutGuests.push(await memoryWithoutGuests(ours))
    await rounds.round()
  }
  return {
    systems: rounds.results, withoutGuests, ...counted, rows: rounds.set.results,
    failures: rounds.set.failures,
  }
}
