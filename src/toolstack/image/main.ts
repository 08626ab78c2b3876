/**
 * xenolith-img: makes, inspects, converts and changes disk images.
 *
 * Options are called as qemu-img calls them where there are such. Exit codes: 0, 1 for an error;
 * `check` and `compare` have more.
 */
import { HostFileError } from '../../base/host-file.ts'
import { StorageError } from '../../storage/error.ts'
import { getopt } from '../cli/getopt.ts'
import { resizeCommand, snapshotCommand } from './change.ts'
import { compareCommand, convertCommand, mapCommand } from './content.ts'
import { createCommand } from './create.ts'
import { checkCommand, infoCommand } from './inspect.ts'
import type { ImageCommand, ImageWorld } from './world.ts'

const commands: readonly ImageCommand[] = [
  createCommand, infoCommand, convertCommand, resizeCommand, snapshotCommand, checkCommand,
  compareCommand, mapCommand,
]

const ERROR = 1
const COMPARE_ERROR = 2

/** Runs one command line; its exit code. */
export async function runImageTool(words: readonly string[], world: ImageWorld): Promise<number> {
  const [name, ...rest] = words
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    world.out(overview())
    return name === undefined ? ERROR : 0
  }
  const command = commands.find((one) => one.name === name)
  if (!command) {
    world.err(`xenolith-img: there is no command '${name}'; see xenolith-img help\n`)
    return ERROR
  }
  const usage = (problem: string): number => {
    world.err(`xenolith-img ${name}: ${problem}\nUsage: xenolith-img ${command.usage}\n`)
    return name === 'compare' ? COMPARE_ERROR : ERROR
  }
  const signed = command.signed && rest.length > 0 ? rest.splice(-1) : []
  const parsed = getopt(rest, command.options)
  if ('unknown' in parsed) {
    return usage(`unknown option '${parsed.unknown}', or one without its value`)
  }
  const operands = [...parsed.operands, ...signed]
  const [least, most] = command.operands
  if (operands.length < least) return usage('too few arguments')
  if (operands.length > most) return usage('too many arguments')
  try {
    return await command.run({ world, options: parsed.options, operands })
  } catch (error) {
    if (!(error instanceof StorageError || error instanceof HostFileError)) throw error
    world.err(`xenolith-img ${name}: ${error.message}\n`)
    return name === 'compare' ? COMPARE_ERROR : ERROR
  }
}

function overview(): string {
  const rows = commands.map((command) => `  ${command.usage}\n            ${command.summary}\n`)
  return `Usage: xenolith-img COMMAND ...\n\n${rows.join('')}\n` +
    'Formats are raw, qcow2 and vpc (or vhd). Sizes are bytes, or have K, M, G, T or P behind.\n'
}
