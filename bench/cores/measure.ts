/**
 * What a second core is good for: the same two programs at once in a guest with one VCPU on one
 * core, and in one with two VCPUs on two, in turns; and what guests cost that have nothing to do.
 * A third guest has one VCPU where there are two cores, which tells what having several costs who
 * does not use them.
 *
 * On a machine that is busy otherwise wall-clock time says little. So the CPU time of the cores'
 * threads is taken, which says what two cores lose by being two: with nobody else there, programs
 * that take as much of it on two cores as on one are twice as fast. First rounds do not count: each
 * of two cores interprets code until it is as hot there as it would be on one, so that a guest with
 * both takes longer until all is compiled.
 */
import { setTimeout as delay } from 'node:timers/promises'
import { guestCpuSeconds, type RunningGuest, startGuest, type System } from '../guests/systems.ts'
import { type MeasuredFiles, scratchFolder } from '../lib/guest.ts'
import { threadSecondsOf } from '../lib/process.ts'
import { addToInitrd, buildProgram } from '../set/files.ts'

const ROW_MS = 300_000
const SETTLE_MS = 3000
const WARM_UP_ROUNDS = 5
const IDLE_MS = 10_000

/** Short processes, pipes and small files, as of a build. */
const BUILD = 'i=0; while [ $i -lt 100 ]; do'
  + ' echo "line $i" | sed s/line/object/ >/tmp/$i.o; cat /tmp/$i.o | md5sum >/dev/null;'
  + ' rm /tmp/$i.o; i=$((i+1)); done'

/** What is run twice at once, for seconds, so that what is compiled meanwhile matters little. */
const programs = [
  ['user', 'SHA-256 compression', 'bench sha 120000'],
  ['fork', 'fork, exit, wait', 'bench fork 900'],
  ['build', 'processes, pipes and files of a build', `sh -c '${BUILD}'`],
  ['faults', 'faults on fresh pages', 'bench faults 150'],
  ['pipe', 'ping-pong of two processes', 'bench pipe 6000'],
] as const

const machines: readonly (System & { readonly vcpus: number })[] = [[1, 1], [2, 2], [1, 2]]
  .map(([vcpus, cores]) => ({
    name: `${vcpus} on ${cores}`, kind: 'xl', options: [], vcpus: vcpus!,
    environment: { XENOLITH_CORES: `${cores}` },
  }))

/** Values by machine (VCPUs on cores: one on one, two on two, one on two), then by round. */
type ByMachine = readonly (readonly number[])[]

interface CoresRow {
  readonly name: string
  readonly what: string
  /** Seconds until both programs had ended. */
  readonly wall: ByMachine
  /** CPU seconds meanwhile: of the cores' threads, and of all others. */
  readonly cores: ByMachine
  readonly others: ByMachine
}

interface Times {
  readonly wall: number
  readonly cores: number
  readonly others: number
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
  const lists = (): number[][] => machines.map(() => [])
  const idle = lists()
  const rows = programs.map(([name, what]) =>
    ({ name, what, wall: lists(), cores: lists(), others: lists() }))
  const guests: RunningGuest[] = []
  try {
    for (const machine of machines) {
      const guest = startGuest(machine, files)
      guests.push(guest)
      await guest.shell.ready()
    }
    await delay(SETTLE_MS)
    for (let round = 1 - WARM_UP_ROUNDS; round <= rounds; round++) {
      say(`Cores, round ${round} of ${rounds} ...`)
      for (const [index, [, , command]] of programs.entries()) {
        for (const [number, guest] of guests.entries()) {
          const times = await timesOf(guest, `${command} & ${command} & wait`)
          if (round <= 0) continue
          const row = rows[index]!
          row.wall[number]!.push(times.wall)
          row.cores[number]!.push(times.cores)
          row.others[number]!.push(times.others)
        }
      }
      if (round <= 0) continue
      for (const [number, guest] of guests.entries()) idle[number]!.push(await idleOf(guest))
    }
  } finally {
    for (const guest of guests) await guest.close()
  }
  return { rows, idle }
}

async function timesOf(guest: RunningGuest, command: string): Promise<Times> {
  const cores = (): number => threadSecondsOf(guest.pids[0]!, 'core')
  const [start, all, own] = [performance.now(), guestCpuSeconds(guest), cores()]
  await guest.shell.run(command, ROW_MS)
  const wall = (performance.now() - start) / 1000
  const spent = cores() - own
  return { wall, cores: spent, others: Math.max(guestCpuSeconds(guest) - all - spent, 0) }
}

async function idleOf(guest: RunningGuest): Promise<number> {
  const before = guestCpuSeconds(guest)
  await delay(IDLE_MS)
  return (guestCpuSeconds(guest) - before) / (IDLE_MS / 1000)
}
