/**
 * xl: the command line of the toolstack, in real xl's words (4.17).
 */
import { LibxlError } from '../domain/libxl.ts'
import { absentCommands, reasonFor } from './absent.ts'
import { blockCommands } from './block.ts'
import { channelCommands } from './channels.ts'
import { type Command, type Globals, type Invocation, usageOf } from './command.ts'
import { controlCommands } from './control.ts'
import { completionCommand } from './completion.ts'
import { configUpdateCommand } from './config-update.ts'
import { cpupoolCommands } from './cpupools.ts'
import { createCommand } from './create.ts'
import { getopt, type Option } from './getopt.ts'
import { allNames } from './names.ts'
import { devdCommand } from './devd.ts'
import { networkCommands } from './network.ts'
import { queryCommands } from './queries.ts'
import { schedulingCommands } from './scheduling.ts'
import { topCommand } from './top.ts'
import { tuningCommands } from './tuning.ts'
import { Exit, type World } from './world.ts'

const commands: ReadonlyMap<string, Command> = new Map(
  [createCommand, configUpdateCommand, ...controlCommands, ...tuningCommands, ...queryCommands,
    ...blockCommands, ...networkCommands, ...channelCommands, ...schedulingCommands,
    ...cpupoolCommands, topCommand, ...absentCommands, devdCommand,
    completionCommand(() => commands.values())]
    .map((command) => [command.name, command]))

const globalOptions: readonly Option[] = [
  { key: 'verbose', letter: 'v' }, { key: 'force', letter: 'f' }, { key: 'cr', letter: 't' },
  { key: 'times', letter: 'T' }, { key: 'dryrun', letter: 'N' },
  { key: 'jit', name: 'jit', value: true },
]
const helpOption: Option = { key: 'help', letter: 'h', name: 'help' }

/** Runs one command line; its exit code. */
export async function runXl(words: readonly string[], world: World): Promise<number> {
  const parsed = getopt(words, globalOptions, true)
  if ('unknown' in parsed) {
    // There are no others that are long: to real xl, -- begins an option of that letter.
    const letter = parsed.unknown.startsWith('--') ? '-' : parsed.unknown
    world.err(`xl: invalid option -- '${letter}'\n`)
    world.err('unknown global option\n')
    return 1
  }
  const jit = parsed.options.get('jit')
  if (jit !== undefined) world.wishJit(jit)
  const [name, ...rest] = parsed.operands
  if (name === undefined) {
    world.out(overview())
    return 1
  }
  if (name === 'help') return help(rest, world)
  const known = findName(name)
  const command = commands.get(known ?? '')
  if (!command) {
    world.err(known === undefined ? 'command not implemented\n' : missing(known))
    return 1
  }
  const globals: Globals = {
    force: parsed.options.has('force'), dryRun: parsed.options.has('dryrun'),
  }
  if (globals.dryRun && !command.globals.includes('N')) {
    world.err('command does not implement -N (dryrun) option\n')
    return 1
  }
  return runCommand(command, rest, globals, world)
}

async function runCommand(
  command: Command, words: readonly string[], globals: Globals, world: World,
): Promise<number> {
  const usage = (code: number): number => {
    world.out(usageOf(command))
    return code
  }
  world.err(command.warning ?? '')
  const parsed = getopt(words, [...command.options, helpOption])
  if ('unknown' in parsed) {
    world.err(`option \`${parsed.unknown}' not supported.\n`)
    return 2
  }
  if (parsed.options.has('help')) return usage(0)
  if (parsed.operands.length < command.needs) {
    const plural = command.needs === 1 ? '' : 's'
    world.err(`'xl ${command.name}' requires at least ${command.needs} argument${plural}.\n\n`)
    return usage(2)
  }
  const invocation: Invocation = { world, globals, usage, ...parsed }
  try {
    return await command.run(invocation)
  } catch (error) {
    if (error instanceof Exit) return error.code
    if (!(error instanceof LibxlError)) throw error
    world.err(`xl: ${error.message}\n`)
    return 1
  }
}

/** A command's name, or that of which `name` is a beginning, if it fits only one of real xl's. */
function findName(name: string): string | undefined {
  if (commands.has(name)) return name
  const exact = allNames.filter(([known]) => known === name)
  const fitting = exact.length > 0 ? exact : allNames.filter(([known]) => known.startsWith(name))
  return fitting.length === 1 ? fitting[0]?.[0] : undefined
}

/** What is said of a command of real xl's that is not there. */
function missing(name: string): string {
  return `xl ${name} is not implemented in this version: ${reasonFor(name)}\n`
}

function help(words: readonly string[], world: World): number {
  const [name] = words
  if (name === undefined || name === 'help') {
    world.out(overview())
    return 0
  }
  const known = findName(name)
  const command = commands.get(known ?? '')
  world.out(command ? usageOf(command)
    : known === undefined ? `command "${name}" not implemented\n` : missing(known))
  return 0
}

function overview(): string {
  const rows = (implemented: boolean): string => allNames
    .filter(([name]) => commands.has(name) === implemented)
    .map(([name, summary]) => row(name, commands.get(name)?.summary ?? summary ?? ''))
    .join('')
  return 'Usage xl [-vfNtT] <subcommand> [args]\n\nxl full list of subcommands:\n\n' +
    `${rows(true)}\nNot implemented in this version:\n\n${rows(false)}`
}

function row(name: string, summary: string): string {
  const short = name.length < 20
  return short ? ` ${name.padEnd(19)} ${summary}\n` : ` ${name} \n${' '.repeat(21)}${summary}\n`
}
