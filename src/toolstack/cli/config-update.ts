/**
 * `xl config-update`: what a domain is made from when it next comes again.
 *
 * As real xl does, it takes the domain before any option, exits with its own strange codes, and
 * shows nothing of the change in `xl list -l` until the domain has come again.
 */
import type { Command, Invocation } from './command.ts'
import { configOperands, parseDomain, readConfigText, specFor } from './config-file.ts'
import { updateJson } from './config-json.ts'
import { findDomain } from './world.ts'

const SUMMARY = 'Update a running domain\'s saved configuration, used when rebuilding the domain ' +
  'after reboot.'
const WARNING = 'WARNING: xl now has better capability to manage domain configuration, avoid ' +
  'using this command when possible'
/** ERROR_FAIL, as much of it as an exit code holds. */
const EXIT_UNREADABLE = 253

async function configUpdate(invocation: Invocation): Promise<number> {
  const { world, options, globals } = invocation
  const [name, ...rest] = invocation.operands
  if (name === undefined) {
    world.err('xl config-update requires a domain argument\n')
    return invocation.usage(1)
  }
  world.err(`${WARNING}\n`)
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  const operands = configOperands(rest, options.get('defconfig'))
  if (!operands) return invocation.usage(2)
  const { file, assignments } = operands
  if (file === undefined) {
    world.err('Config file not specified\n')
    return 1
  }
  const text = await readConfigText(world, file, EXIT_UNREADABLE)
  const config = await parseDomain(world, file, text, assignments)
  if (options.has('debug') || globals.dryRun) world.out(updateJson(config))
  if (globals.dryRun) return 0
  const spec = specFor(world, file, config)
  world.err(`setting dom${domid} configuration\n`)
  await libxl.setRestartSpec(domid, spec)
  return 0
}

export const configUpdateCommand: Command = {
  name: 'config-update', summary: `${SUMMARY}\n${WARNING}`,
  synopsis: '<Domain> <ConfigFile> [options] [vars]',
  optionsHelp: `-h                      Print this help.
-f FILE, --defconfig=FILE
                     Use the given configuration file.
-d                      Enable debug messages.
`,
  globals: 'vtTfN',
  options: [
    { key: 'defconfig', letter: 'f', name: 'defconfig', value: true },
    { key: 'debug', letter: 'd' },
  ],
  needs: 0, run: configUpdate,
}
