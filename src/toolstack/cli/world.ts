/**
 * What the command line needs of its process, given from outside, and the errors that end it.
 */
import { type CpupoolSummary, type Libxl, LibxlError } from '../domain/libxl.ts'
import type { Uname } from './info-text.ts'

/** Standard input and output as a console is attached to them. */
export interface ConsoleTerminal {
  readonly isTerminal: boolean
  size(): { readonly rows: number, readonly columns: number }
  write(bytes: Uint8Array): boolean
  onDrain(handler: () => void): void
  open(input: (bytes: Uint8Array) => void, ended: () => void): void
  pause(): void
  resume(): void
  close(): void
}

export interface World {
  out(text: string): void
  err(text: string): void
  readonly terminal: ConsoleTerminal
  /** Says of a machine that is started for this command whether and when it compiles, as
   * XENOLITH_JIT does. */
  wishJit(wish: string): void
  /** The machine in the host process, started when there is none. */
  machine(): Promise<Libxl>
  /** A machine in this process, for one domain. */
  ownMachine(): Promise<Libxl>
  /** A file's text, or Error with the system's words. */
  readText(path: string): Promise<string>
  /** xl.conf and its path; no text where there is none. */
  globalConfig(): Promise<{ readonly path: string, readonly text: string }>
  /** `path` as other processes can open it. */
  absolutePath(path: string): string
  now(): Date
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
  uname(): Uname
  readonly pid: number
}

/** Ends a command with an exit code; what there was to say has been said. */
export class Exit extends Error {
  override readonly name = 'Exit'
  readonly code: number

  constructor(code: number) {
    super(`exit code ${code}`)
    this.code = code
  }
}

/** Says what went wrong, as libxl logs it. */
export function complain(world: World, error: unknown): LibxlError {
  if (!(error instanceof LibxlError)) throw error
  for (const line of error.message.split('\n')) {
    world.err(line === '' ? '\n' : `libxl: error: ${line}\n`)
  }
  return error
}

/** The domid that `name` means: a number is taken as it is. Undefined when no domain has it. */
export async function domainNamed(libxl: Libxl, name: string): Promise<number | undefined> {
  if (/^\d+$/.test(name)) return Number(name)
  return (await libxl.list()).find((domain) => domain.name === name)?.domid
}

/** The same; Exit when it means none. */
export async function findDomain(world: World, libxl: Libxl, name: string): Promise<number> {
  const domid = await domainNamed(libxl, name)
  if (domid !== undefined) return domid
  world.err(`${name} is an invalid domain identifier (rc=-6)\n`)
  throw new Exit(1)
}

/** The pool that `name` means, by number or name; Exit when there is none. */
export async function findPool(
  world: World, libxl: Libxl, name: string,
): Promise<CpupoolSummary> {
  const isNumber = /^\d+$/.test(name)
  const pool = (await libxl.cpupools()).find((one) =>
    isNumber ? one.id === Number(name) : one.name === name)
  if (pool) return pool
  world.err(`unknown cpupool '${name}'\n`)
  throw new Exit(1)
}
