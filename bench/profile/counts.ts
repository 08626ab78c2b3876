/**
 * What a profile holds: counts by name, as JSON carries them.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { basename, dirname, join } from 'node:path'

export interface Tally {
  count: number
  /** Host time, where it is taken. */
  ms: number
}

export interface Counts {
  /** Guest instructions, as the processor counts them against its budget. */
  instructions: number
  /** Host CPU time of the core's thread. */
  cpuMs: number
  /** Host time spent in the processor's `run`. */
  runMs: number
  /** Samples by rip in hexadecimal, `user` for all of CPL 3. */
  samples: Record<string, number>
  exits: Record<string, Tally>
  services: Record<string, Tally>
  /** What the engine calls in TypeScript. */
  upcalls: Record<string, Tally>
  /** Calls of the engine's functions. */
  engine: Record<string, Tally>
  /** Executions of handlers that are not in the loop, by shape. */
  handlers: Record<string, Tally>
}

type Table = Record<string, Tally>

function tableSince(after: Table, before: Table): Table {
  const result: Table = {}
  for (const [name, { count, ms }] of Object.entries(after)) {
    const old = before[name] ?? { count: 0, ms: 0 }
    if (count > old.count) result[name] = { count: count - old.count, ms: ms - old.ms }
  }
  return result
}

/** What was counted between two moments. */
export function countsSince(after: Counts, before: Counts): Counts {
  const samples: Record<string, number> = {}
  for (const [rip, count] of Object.entries(after.samples)) {
    const more = count - (before.samples[rip] ?? 0)
    if (more > 0) samples[rip] = more
  }
  return {
    instructions: after.instructions - before.instructions,
    cpuMs: after.cpuMs - before.cpuMs,
    runMs: after.runMs - before.runMs,
    samples,
    exits: tableSince(after.exits, before.exits),
    services: tableSince(after.services, before.services),
    upcalls: tableSince(after.upcalls, before.upcalls),
    engine: tableSince(after.engine, before.engine),
    handlers: tableSince(after.handlers, before.handlers),
  }
}

function tablesTogether(tables: readonly Table[]): Table {
  const result: Table = {}
  for (const [name, { count, ms }] of tables.flatMap((table) => Object.entries(table))) {
    const sum = result[name] ??= { count: 0, ms: 0 }
    sum.count += count
    sum.ms += ms
  }
  return result
}

/** What several threads counted, as if one had. */
function countsTogether(all: readonly Counts[]): Counts {
  const sum = (of: (counts: Counts) => number): number =>
    all.reduce((total, counts) => total + of(counts), 0)
  const samples: Record<string, number> = {}
  for (const [rip, count] of all.flatMap((counts) => Object.entries(counts.samples))) {
    samples[rip] = (samples[rip] ?? 0) + count
  }
  return {
    instructions: sum(({ instructions }) => instructions),
    cpuMs: sum(({ cpuMs }) => cpuMs),
    runMs: sum(({ runMs }) => runMs),
    samples,
    exits: tablesTogether(all.map(({ exits }) => exits)),
    services: tablesTogether(all.map(({ services }) => services)),
    upcalls: tablesTogether(all.map(({ upcalls }) => upcalls)),
    engine: tablesTogether(all.map(({ engine }) => engine)),
    handlers: tablesTogether(all.map(({ handlers }) => handlers)),
  }
}

/** What the threads of all cores have counted, each in a file of its own beside `path`. */
export function countsIn(path: string): Counts {
  const threads = readdirSync(dirname(path)).filter((name) =>
    name.startsWith(`${basename(path)}.`) && !name.endsWith('.part'))
  return countsTogether(threads.map((name) =>
    JSON.parse(readFileSync(join(dirname(path), name), 'utf8')) as Counts))
}
