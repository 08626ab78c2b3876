/**
 * What a second core is good for: the same two programs at once in a guest with one VCPU on one
 * core, and in one with two VCPUs on two, in turns; and what guests cost that have nothing to do.
 *
 * Here wall-clock time counts, so the result says nothing on a machine that is busy otherwise.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { guestCpuSeconds, type RunningGuest, startGuest, type System } from '../guests/systems.ts'
import { type MeasuredFiles, scratchFolder } from '../lib/guest.ts'
import { addToInitrd, buildProgram } from '../set/files.ts'

const ROW_MS = 300_000
const SETTLE_MS = 3000
const IDLE_MS = 10_000

/** Programs of the set that are run twice at once. */
const programs = [
  ['user', 'SHA-256 compression', 'bench sha 8000'],
  ['fork', 'fork, exit, wait', 'bench fork 120'],
  ['faults', 'faults on fresh pages', 'bench faults 60'],
  ['pipe', 'ping-pong of two processes', 'bench pipe 1200'],
] as const

export const machines: readonly (System & { readonly vcpus: number })[] = [1, 2].map((count) => ({
  name: `${count} on ${count}`, kind: 'xl', options: [], vcpus: count,
  environment: { XENOLITH_CORES: `${count}` },
}))

/** Values by machine, in the order of `machines`, then by round. */
export type ByMachine = readonly (readonly number[])[]

interface CoresRow {
  readonly name: string
  readonly what: string
  /** Seconds until both programs had ended. */
  readonly wall: ByMachine
}

export interface CoresResults {
  readonly rows: readonly CoresRow[]
  /** CPU seconds in a second of a guest at its prompt. */
  readonly idle: ByMachine
}

export async function measureCores(
  rounds: number, plain: MeasuredFiles, say: (text: string) => void,
): Promise<CoresResults> {
  const folder = scratchFolder('set')
  const files = addToInitrd(plain, buildProgram(folder), folder)
  const idle: number[][] = machines.map(() => [])
  const rows = programs.map(([name, what]) =>
    ({ name, what, wall: machines.map((): number[] => []) }))
  const guests: RunningGuest[] = []
  try {
    for (const machine of machines) {
      const guest = startGuest(machine, files)
      guests.push(guest)
      await guest.shell.ready()
    }
    await delay(SETTLE_MS)
    for (let round = 0; round < rounds; round++) {
      say(`Cores, round ${round + 1} of ${rounds} ...`)
      for (const [index, [, , command]] of programs.entries()) {
        for (const [number, guest] of guests.entries()) {
          rows[index]!.wall[number]!.push(await wallOf(guest, `${command} & ${command} & wait`))
        }
      }
      for (const [number, guest] of guests.entries()) idle[number]!.push(await idleOf(guest))
    }
  } finally {
    for (const guest of guests) await guest.close()
  }
  return { rows, idle }
}

async function wallOf({ shell }: RunningGuest, command: string): Promise<number> {
  const start = performance.now()
  await shell.run(command, ROW_MS)
  return (performance.now() - start) / 1000
}

async function idleOf(guest: RunningGuest): Promise<number> {
  const before = guestCpuSeconds(guest)
  await delay(IDLE_MS)
  return (guestCpuSeconds(guest) - before) / (IDLE_MS / 1000)
}
