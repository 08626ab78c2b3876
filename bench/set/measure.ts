/**
 * Runs rows of the set in booted guests and on the host, system after system within a row, and
 * compares their checksums.
 *
 * A row runs twice in a round: the first time also pays for what a system prepares, such as a
 * translation, and is kept apart.
 */
import { execFileSync, spawnSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { type RunningGuest } from '../guests/systems.ts'
import { commandOf, type Row } from './rows.ts'

const ROW_MS = 300_000
/** What the program prints where the CPU lacks AVX2. */
const NOT_THERE = 'none'

interface Run {
  readonly checksum: string
  readonly seconds: number
}

/** CPU seconds by system, then by round. */
export type Times = Record<string, number[]>

export interface RowResult {
  readonly name: string
  readonly group: string
  readonly what: string
  readonly first: Times
  readonly again: Times
}

/** Where rows run. */
export interface Place {
  readonly system: string
  run(row: Row): Promise<Run>
  /** Makes it fit for use after a row has failed, or throws. */
  recover(): Promise<void>
}

/** The host's CPU. */
export class NativePlace implements Place {
  readonly system = 'native'
  readonly #folder: string

  constructor(folder: string) {
    this.#folder = folder
  }

  async run(row: Row): Promise<Run> {
    const bin = join(this.#folder, 'bin')
    if (row.script !== undefined && !existsSync(join(bin, 'busybox'))) {
      return { checksum: NOT_THERE, seconds: 0 }
    }
    const { status, stdout, stderr } = spawnSync(
      join(bin, 'bench'), ['time', ...commandOf(row)],
      { cwd: this.#folder, env: { PATH: bin }, encoding: 'utf8', timeout: ROW_MS })
    if (status !== 0) throw new Error(`natively ${row.name} failed: ${stderr}`)
    return { checksum: stdout.trim(), seconds: Number(stderr.trim().split('\n').at(-1)) / 1e9 }
  }

  async recover(): Promise<void> {}
}

/** The guest of a system, which can be replaced by a fresh one. */
interface GuestSlot {
  guest(): RunningGuest
  replace(): Promise<void>
}

/** A guest at its shell; what its processes take is read by the program, to the nanosecond. */
export class GuestPlace implements Place {
  readonly system: string
  readonly #program: string
  readonly #slot: GuestSlot

  constructor(system: string, program: string, slot: GuestSlot) {
    this.system = system
    this.#program = program
    this.#slot = slot
  }

  #seconds(): number {
    return this.#slot.guest().pids.reduce((sum, pid) =>
      sum + Number(execFileSync(this.#program, ['cpu', String(pid)])) / 1e9, 0)
  }

  async run(row: Row): Promise<Run> {
    const before = this.#seconds()
    const said = await this.#slot.guest().shell.run(commandOf(row).join(' '), ROW_MS)
    return { seconds: this.#seconds() - before, checksum: said.trim().replaceAll('\r\n', '\n') }
  }

  recover(): Promise<void> {
    return this.#slot.replace()
  }
}

export class SetMeasurement {
  readonly results: RowResult[]
  /** What went wrong, in words. */
  readonly failures: string[] = []
  readonly #rows: readonly Row[]
  readonly #checksums = new Map<string, { checksum: string, system: string }>()
  readonly #say: (text: string) => void

  constructor(rows: readonly Row[], say: (text: string) => void) {
    this.#rows = rows
    this.#say = say
    this.results = rows.map(({ name, group, what }) =>
      ({ name, group, what, first: {}, again: {} }))
  }

  /** One round: each row in all places, whose order turns from row to row. */
  async round(places: readonly Place[]): Promise<void> {
    const lost = new Set<Place>()
    for (const [index, row] of this.#rows.entries()) {
      const said: string[] = []
      for (let i = 0; i < places.length; i++) {
        const place = places[(i + index) % places.length]!
        if (lost.has(place)) continue
        const outcome = await this.#measure(this.results[index]!, row, place)
        said.push(`${place.system} ${outcome ?? 'FAILED'}`)
        if (outcome === undefined && !await this.#recover(place)) lost.add(place)
      }
      this.#say(`  ${row.name}: ${said.sort().join(', ')}`)
    }
  }

  async #recover(place: Place): Promise<boolean> {
    try {
      await place.recover()
      return true
    } catch (error) {
      this.fail(`${place.system} did not come back: ${(error as Error).message}`)
      return false
    }
  }

  /** Gives what is to be said of it, or nothing if it failed. */
  async #measure(result: RowResult, row: Row, place: Place): Promise<string | undefined> {
    const { system } = place
    try {
      const [first, again] = [await place.run(row), await place.run(row)]
      if (first.checksum === NOT_THERE) return 'lacks it'
      this.#compare(row, system, first.checksum)
      this.#compare(row, system, again.checksum)
      const into = (times: Times): number[] => times[system] ??= []
      into(result.first).push(first.seconds)
      into(result.again).push(again.seconds)
      return again.seconds.toFixed(3)
    } catch (error) {
      this.fail(`${row.name} failed on ${system}: ${(error as Error).message}`)
      return undefined
    }
  }

  #compare(row: Row, system: string, checksum: string): void {
    const known = this.#checksums.get(row.name)
    if (!known) {
      this.#checksums.set(row.name, { checksum, system })
    } else if (known.checksum !== checksum) {
      this.fail(`${row.name} gave ${JSON.stringify(checksum)} on ${system}, but `
        + `${JSON.stringify(known.checksum)} on ${known.system}`)
    }
  }

  fail(what: string): void {
    this.failures.push(what)
    this.#say(`FAILURE: ${what}`)
  }
}
