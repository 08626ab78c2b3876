/**
 * How long it takes to wake a guest: by an event of another guest, and by a timer of its own.
 *
 * Events go to and fro between two guests that do nothing else (test/guests/ping-pong.ts). Timers
 * are those of a process that sleeps until one time after the other; the longer it sleeps, the less
 * of what it takes is in the host's caches when it wakes.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { type Domain, Host } from '../../src/bin/api.ts'
import { ping, pong } from '../../test/guests/ping-pong.ts'
import { startGuest, type System } from '../guests/systems.ts'
import { addProgram, type MeasuredFiles, scratchFolder } from '../lib/guest.ts'
import { threadSecondsOf } from '../lib/process.ts'

const ROW_MS = 300_000
const TRIPS = 30_000
/** For how long each process sleeps. */
const SLEEPING_MS = 6000
const WARM_UP_MS = 3000
/** How long a sleep is: far less than idle guests sleep by themselves. */
export const gapsMs = [1, 3, 20] as const
/** Numbers of the only domains of a machine. */
const [FIRST, SECOND] = [1, 2]

/** What was measured of processes that sleep, in all rounds, by gap. */
export interface Sleeper {
  readonly system: string
  /** Microseconds by which they woke too late. */
  readonly lateUs: readonly number[][]
  /** CPU microseconds of the host that a sleep and its end took. */
  readonly costUs: readonly number[][]
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

/** Where processes sleep. */
interface Place {
  readonly sleeper: Sleeper
  /** Runs `late`: what it says, and the CPU microseconds that each of its `count` sleeps took. */
  run(count: number, gapUs: number): Promise<{ readonly said: string, readonly costUs: number }>
  close(): Promise<void>
}

function nativePlace(sleeper: Sleeper, program: string): Place {
  return {
    sleeper,
    run: async (...numbers) => {
      const said = execFileSync(program, numbers.map(String), { encoding: 'utf8' })
      return { said, costUs: Number(said.trim().split('\n')[1]) }
    },
    close: async () => {},
  }
}

async function guestPlace(sleeper: Sleeper, system: System, files: MeasuredFiles): Promise<Place> {
  const guest = startGuest(system, files)
  await guest.shell.ready()
  const seconds = (): number => guest.pids.reduce((sum, pid) => sum + threadSecondsOf(pid), 0)
  return {
    sleeper,
    run: async (count, gapUs) => {
      const before = seconds()
      const said = await guest.shell.run(`late ${count} ${gapUs}`, ROW_MS)
      return { said, costUs: (seconds() - before) * 1e6 / count }
    },
    close: () => guest.close(),
  }
}

/** How late sleeping processes wake and what that takes, on all systems in turns. */
export async function measureSleepers(
  systems: readonly System[], plain: MeasuredFiles, rounds: number,
): Promise<Sleeper[]> {
  const folder = scratchFolder('wake-ups')
  const files = addProgram(plain, join(import.meta.dirname, 'guest/late.c'), folder)
  const places: Place[] = []
  try {
    for (const system of systems) {
      const [lateUs, costUs] = [gapsMs.map(() => []), gapsMs.map(() => [])]
      const sleeper: Sleeper = { system: system.name, lateUs, costUs }
      places.push(system.kind === 'native' ? nativePlace(sleeper, join(folder, 'late'))
        : await guestPlace(sleeper, system, files))
    }
    // In the first round it is not what it will be.
    for (let round = 0; round <= rounds; round++) {
      for (const [gap, gapMs] of gapsMs.entries()) {
        for (const { sleeper, run } of places) {
          // While others sleep, a guest of ours gives back what it has compiled.
          await run(WARM_UP_MS / gapMs, gapMs * 1000)
          const { said, costUs } = await run(SLEEPING_MS / gapMs, gapMs * 1000)
          if (round === 0) continue
          sleeper.costUs[gap]!.push(costUs)
          sleeper.lateUs[gap]!.push(...said.trim().split('\n')[0]!.trim().split(' ').map(Number))
        }
      }
    }
  } finally {
    for (const place of places) await place.close()
  }
  return places.map(({ sleeper }) => sleeper)
}
