/**
 * What the image tool has of the outside, and how its commands are described.
 */
import { StorageError } from '../../storage/error.ts'
import type { ImageFormat } from '../../storage/block-store.ts'
import type { ImageHost } from '../../storage/open.ts'
import type { Option } from '../cli/getopt.ts'

export interface ImageWorld {
  readonly host: ImageHost
  out(text: string): void
  err(text: string): void
  /** A line that the next one replaces; only there on a terminal. */
  readonly progress: ((line: string) => void) | undefined
  nowMs(): number
  randomBytes(count: number): Uint8Array
}

export interface Invocation {
  readonly world: ImageWorld
  readonly options: ReadonlyMap<string, string>
  readonly operands: readonly string[]
}

export interface ImageCommand {
  readonly name: string
  readonly usage: string
  readonly summary: string
  readonly options: readonly Option[]
  /** The least and the greatest number of operands. */
  readonly operands: readonly [number, number]
  /** The last operand may begin with a minus sign. */
  readonly signed?: boolean
  run(invocation: Invocation): Promise<number>
}

export function refuse(message: string): never {
  throw new StorageError('invalid', message)
}

export const sourceFormat: Option = { key: 'format', letter: 'f', value: true }
export const outputOption: Option = { key: 'output', name: 'output', value: true }
export const progressOption: Option = { key: 'progress', letter: 'p' }

/** The format of a name, `vhd` for `vpc` too. */
export function formatNamed(name: string | undefined): ImageFormat | undefined {
  switch (name) {
    case undefined: return undefined
    case 'raw': case 'qcow2': case 'vpc': return name
    case 'vhd': return 'vpc'
    default: return refuse(`unknown format '${name}': there are raw, qcow2 and vpc (vhd)`)
  }
}

/** Whether `--output` asks for JSON. */
export function wantsJson(options: ReadonlyMap<string, string>): boolean {
  const output = options.get('output') ?? 'human'
  if (output !== 'human' && output !== 'json') refuse(`--output is human or json, not '${output}'`)
  return output === 'json'
}

/** A progress bar on a terminal, when it is asked for. */
export function showProgress(invocation: Invocation, done: number, total: number): void {
  if (!invocation.options.has('progress')) return
  const part = total === 0 ? 1 : done / total
  const bar = '='.repeat(Math.floor(part * 40)).padEnd(40)
  invocation.world.progress?.(`[${bar}] ${(part * 100).toFixed(1).padStart(5)}%`)
}
