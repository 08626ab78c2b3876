/**
 * How long it takes to wake a guest: by an event of another guest, and by a timer of its own.
 *
 * Events go to and fro between two guests that do nothing else (test/guests/ping-pong.ts). Timers
 * are those of a process that sleeps until one time after the other.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Domain, Host } from '../../src/bin/api.ts'
import { ping, pong } from '../../test/guests/ping-pong.ts'
import { startGuest, type System } from '../guests/systems.ts'
import { addProgram, type MeasuredFiles, scratchFolder } from '../lib/guest.ts'

const ROW_MS = 300_000
const TRIPS = 30_000
const SLEEPS = 500
const GAP_US = 3000
/** Numbers of the only domains of a machine. */
const [FIRST, SECOND] = [1, 2]

export interface Lateness {
  readonly system: string
  /** Microseconds by which a process woke too late, of all rounds. */
  readonly us: number[]
}

/** How often an event goes to and fro in a second between a guest on core 0 and one on `core`. */
export async function tripsASecond(core: number): Promise<number> {
  const folder = scratchFolder('wake-ups')
  await using host = await Host.start({ memory: 128, cores: 2 })
  const create = (name: string, image: Uint8Array, cpu: number): Promise<Domain> => {
    const kernel = join(folder, name)
    writeFileSync(kernel, image)
    return host.create({
      name, kernel, memory: 16, cpus: `${cpu}`, on_poweroff: 'preserve', on_crash: 'preserve',
    })
  }
  const answering = await create('pong', pong(SECOND, TRIPS), 0)
  await using offer = await answering.console()
  const { groups } = await offer.expect(/port (\S{8})\n/)
  const port = parseInt(groups[0] ?? '', 16)
  const asking = await create('ping', ping(FIRST, port, TRIPS), core)
  await using console = await asking.console()
  await console.expect('begin')
  const began = performance.now()
  await console.expect('done')
  return TRIPS / (performance.now() - began) * 1000
}

/** Runs a command in one place, and says what it printed. */
interface Place {
  readonly late: Lateness
  run(command: string): Promise<string>
  close(): Promise<void>
}

async function startPlace(
  system: System, files: MeasuredFiles, program: string,
): Promise<Place> {
  const late = { system: system.name, us: [] }
  if (system.kind === 'native') {
    const run = async (words: string): Promise<string> =>
      execFileSync(program, words.split(' '), { encoding: 'utf8' })
    return { late, run, close: async () => {} }
  }
  const guest = startGuest(system, files)
  await guest.shell.ready()
  return {
    late, run: (words) => guest.shell.run(`late ${words}`, ROW_MS), close: () => guest.close(),
  }
}

/** How late sleeping processes wake, on all systems in turns. */
export async function measureLateness(
  systems: readonly System[], plain: MeasuredFiles, rounds: number,
): Promise<Lateness[]> {
  const folder = scratchFolder('wake-ups')
  const files = addProgram(plain, join(import.meta.dirname, 'guest/late.c'), folder)
  const places: Place[] = []
  try {
    for (const system of systems) places.push(await startPlace(system, files, join(folder, 'late')))
    for (let round = 0; round <= rounds; round++) {
      for (const { late, run } of places) {
        const us = (await run(`${SLEEPS} ${GAP_US}`)).trim().split(/\s+/).map(Number)
        // In the first round it is not what it will be.
        if (round > 0) late.us.push(...us)
      }
    }
  } finally {
    for (const place of places) await place.close()
  }
  return places.map(({ late }) => late)
}
