/**
 * What a subcommand of xl is: a row of the table in commands.ts.
 */
import type { Option } from './getopt.ts'
import type { World } from './world.ts'

/** Options before the subcommand. */
export interface Globals {
  readonly force: boolean
  readonly dryRun: boolean
}

/** A subcommand as it was called. */
export interface Invocation {
  readonly world: World
  readonly globals: Globals
  readonly options: ReadonlyMap<string, string>
  readonly operands: readonly string[]
  /** Prints the subcommand's help and gives back `code`. */
  usage(code: number): number
}

export interface Command {
  readonly name: string
  readonly summary: string
  /** What follows the name in its usage. */
  readonly synopsis: string
  /** The lines under "Options:". */
  readonly optionsHelp?: string
  /** The global options it understands, as its usage shows them. */
  readonly globals: string
  readonly options: readonly Option[]
  /** How many operands it needs at least. */
  readonly needs: number
  /** What it says before it looks at its words. */
  readonly warning?: string
  run(invocation: Invocation): Promise<number>
}

/** Has a listing print all that is known, in its own units and for programs; real xl has it not. */
export const jsonOption: Option = { key: 'json', name: 'json' }
export const jsonHelp = '--json                  Output all that is known as JSON'

export function jsonText(value: unknown): string {
  return `${JSON.stringify(value, undefined, 4)}\n`
}

/** What a listing prints: columns while it goes on, or with --json all that is known at its end. */
export class Listing {
  readonly #world: World
  readonly #known: object[] | undefined

  constructor({ world, options }: Invocation, header: string) {
    this.#world = world
    this.#known = options.has('json') ? [] : undefined
    if (!this.#known) world.out(header)
  }

  /** Lists some items, whose columns are `text`. */
  add(items: readonly object[], text: () => string): void {
    if (this.#known) this.#known.push(...items)
    else this.#world.out(text())
  }

  end(): void {
    if (this.#known) this.#world.out(jsonText(this.#known))
  }
}

/** The help of one subcommand, as `xl help NAME` prints it. */
export function usageOf(command: Command): string {
  const options = command.optionsHelp !== undefined ? `Options:\n\n${command.optionsHelp}\n` : ''
  return `Usage: xl [-${command.globals}] ${command.name} ${command.synopsis}\n\n` +
    `${command.summary}.\n\n${options}`
}
