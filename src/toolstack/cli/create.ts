/**
 * `xl create`.
 */
import { cpusIn } from '../config/cpu-range.ts'
import type { DomainConfig } from '../config/domain.ts'
import { vnumaRefusal } from '../config/vnuma.ts'
import { type Libxl, LibxlError } from '../domain/libxl.ts'
import { HostGone } from '../host/client.ts'
import type { Command, Invocation } from './command.ts'
import { configOperands, parseDomain, readConfigText, specFor } from './config-file.ts'
import { createJson } from './config-json.ts'
import { type ConsoleEnd, runConsole } from './console-client.ts'
import { nodesOf } from './scheduling.ts'
import { warnUnreachable } from './soft-affinity.ts'
import { complain, Exit, type World } from './world.ts'

const EXIT_NO_CONFIG = 6
const EXIT_FAILED = 3

async function create(invocation: Invocation): Promise<number> {
  const { world, options, globals } = invocation
  const operands = configOperands(invocation.operands, options.get('defconfig'))
  if (!operands) return invocation.usage(2)
  const { file, assignments } = operands
  if (file === undefined) {
    world.err('Config file not specified and none in save file\n')
    return EXIT_NO_CONFIG
  }
  const text = await readConfigText(world, file, EXIT_FAILED)
  if (!options.has('quiet')) world.err(`Parsing config from ${file}\n`)
  const config = await parseDomain(world, file, text, assignments)
  if (options.has('dryrun') || globals.dryRun) {
    world.out(createJson(config))
    return 0
  }
  if (options.has('debug')) world.err(createJson(config))
  const spec = specFor(world, file, config)
  if (options.has('vnc')) world.err('xl: this domain has no VNC display\n')
  const own = options.has('foreground')
  const libxl = await (own ? world.ownMachine() : world.machine())
  await checkAgainstHost(world, libxl, config)
  const attach = options.has('console')
  const paused = options.has('paused')
  const console = attach ? earlyConsole(world, libxl) : undefined
  let domid: number
  try {
    // With a console the domain waits until somebody listens, so that no word is lost.
    domid = await libxl.create(spec, {
      paused: paused || attach, unattended: options.has('unattended'),
    }, console?.made)
  } catch (error) {
    await console?.gone()
    complain(world, error)
    return EXIT_FAILED
  }
  if (spec.softAffinity) await warnUnreachable(world, libxl, domid)
  if (console) {
    await console.attached
    if (!paused) await libxl.unpause(domid)
    const end = await console.ended()
    if (own) return await followConsole(world, libxl, domid, end)
    if (end === 'host gone') world.err('xl: host process ended\n')
    if (end === 'host gone' || !options.has('wait')) return end === 'host gone' ? 1 : 0
  }
  if (own || options.has('wait')) return await untilItEnds(world, libxl, spec.name, domid)
  return 0
}

/** Exit when the host has not what the configuration names of it. */
async function checkAgainstHost(world: World, libxl: Libxl, config: DomainConfig): Promise<void> {
  const { hardAffinity = [], vnuma } = config
  if (hardAffinity.length === 0 && vnuma.length === 0) return
  const { nrCpus, nrNodes } = await libxl.info()
  const nodes = await nodesOf(libxl)
  const refusal = vnumaRefusal(vnuma, { maxvcpus: config.maxVcpusGiven },
    { nodes: nrNodes, cpus: nrCpus })
    ?? (hardAffinity.some((range) => cpusIn(range, nodes)?.length === 0)
      ? 'vcpu hard affinity map is empty' : undefined)
  if (refusal === undefined) return
  world.err(`${refusal}\n`)
  throw new Exit(1)
}

/** The console of a domain that is yet to be made: attached before its boot loader runs. */
function earlyConsole(world: World, libxl: Libxl) {
  const attached = Promise.withResolvers<void>()
  attached.promise.catch(() => {})
  let ended: Promise<ConsoleEnd> | undefined
  return {
    made: (domid: number): void => {
      ended = runConsole(world, libxl, domid, attached.resolve)
      ended.catch(attached.reject)
    },
    attached: attached.promise,
    ended: async (): Promise<ConsoleEnd> => await ended ?? 'closed',
    /** Resolves once the terminal is left, however that came. */
    gone: async (): Promise<void> => void await ended?.catch(() => {}),
  }
}

/** Stays with a domain of this process, console and all, through its reboots. */
async function followConsole(
  world: World, libxl: Libxl, first: number, firstEnd: ConsoleEnd,
): Promise<number> {
  for (let domid = first, end = firstEnd; end === 'closed';) {
    const next = await libxl.successor(domid)
    if (next === undefined) break
    domid = next
    end = await runConsole(world, libxl, domid)
  }
  return 0
}

/** Stays until the domain is gone for good, as xl does in the foreground. */
async function untilItEnds(
  world: World, libxl: Libxl, name: string, first: number,
): Promise<number> {
  world.err(`Waiting for domain ${name} (domid ${first}) to die [pid ${world.pid}]\n`)
  for (let domid: number | undefined = first; domid !== undefined;) {
    try {
      const end = await libxl.waitForEnd(domid)
      world.err(end.how === 'shutdown'
        ? `Domain ${domid} has shut down, reason code ${end.reason}\n`
        : `Domain ${domid} has been destroyed.\n`)
    } catch (error) {
      // It may have ended before anybody could ask; a host that is gone is another matter.
      if (!(error instanceof LibxlError) || error instanceof HostGone) throw error
    }
    domid = await libxl.successor(domid)
  }
  world.err('Done. Exiting now\n')
  return 0
}

export const createCommand: Command = {
  name: 'create',
  summary: 'Create a domain from config file <filename>',
  synopsis: '<ConfigFile> [options] [vars]',
  optionsHelp: `-c                      Connect to the console after the domain is created.
-d                      Enable debug messages.
-e                      Do not wait in the background for the death of the domain.
-F                      Run in foreground until death of the domain.
-f FILE, --defconfig=FILE
                     Use the given configuration file.
-h                      Print this help.
-n, --dryrun            Dry run - prints the resulting configuration
                         (deprecated in favour of global -N option).
-p                      Leave the domain paused after it is created.
-q, --quiet             Quiet.
-V, --vncviewer         Connect to the VNC display after the domain is created.
-A, --vncviewer-autopass
                        Pass VNC password to viewer via stdin.
--ignore-global-affinity-masks Ignore global masks in xl.conf.
--foreground            Run the machine in this process, for this domain alone.`,
  globals: 'vtTfN',
  options: [
    { key: 'console', letter: 'c' }, { key: 'debug', letter: 'd' },
    { key: 'unattended', letter: 'e' }, { key: 'wait', letter: 'F' },
    { key: 'defconfig', letter: 'f', name: 'defconfig', value: true },
    { key: 'dryrun', letter: 'n', name: 'dryrun' }, { key: 'paused', letter: 'p' },
    { key: 'quiet', letter: 'q', name: 'quiet' }, { key: 'vnc', letter: 'V', name: 'vncviewer' },
    { key: 'vnc', letter: 'A', name: 'vncviewer-autopass' },
    { key: 'affinity', name: 'ignore-global-affinity-masks' },
    { key: 'foreground', name: 'foreground' },
  ],
  needs: 0,
  run: create,
}
