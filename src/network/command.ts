/**
 * Programs of the host that networks are set up with.
 */
import { NetworkError } from './station.ts'

/** What a program had to say. */
export interface CommandResult {
  readonly status: number | null
  readonly output: string
  /** The last lines of standard error. */
  readonly errors: string
}

export interface CommandHost {
  /** Runs a program to its end; undefined when there is no such program. */
  run(program: string, args: readonly string[]): Promise<CommandResult | undefined>
}

/** What a program prints; NetworkError with its words when it fails, as Xen's scripts have it when
 * it is not there. */
export async function outputOf(
  host: CommandHost, program: string, args: readonly string[],
): Promise<string> {
  const result = await host.run(program, args)
  if (!result) throw new NetworkError(`Unable to find ${program} tool`)
  if (result.status === 0) return result.output
  throw new NetworkError(result.errors || `${program} failed with status ${result.status}`)
}
