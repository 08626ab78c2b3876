/**
 * The subcommands that act on a domain: destroy, pause, unpause, shutdown, reboot, dump-core,
 * rename, console.
 */
import { EINVAL } from '../../abi/xen/errno.ts'
import { ERROR_DOMAIN_NOTFOUND, type Libxl, LibxlError } from '../domain/libxl.ts'
import type { Command, Invocation } from './command.ts'
import { runConsole } from './console-client.ts'
import { complain, findDomain, type World } from './world.ts'

const HELP_OPTION = '-h                      Print this help.'

async function destroy(invocation: Invocation): Promise<number> {
  const { world, options, globals } = invocation
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, invocation.operands[0] ?? '')
  if (domid === 0 && !options.has('force') && !globals.force) {
    world.err('Not destroying domain 0; use -f to force.\n')
    world.err('This can only be done when using a disaggregated hardware domain and toolstack.\n\n')
    return 1
  }
  try {
    await libxl.destroy(domid)
    return 0
  } catch (error) {
    const { rc } = complain(world, error)
    world.err(`destroy failed (rc=${rc})\n`)
    return 1
  }
}

/** Real xl says what went wrong with these two and still exits with 0. */
function tolerant(act: (libxl: Libxl, domid: number) => Promise<void>) {
  return async ({ world, operands }: Invocation): Promise<number> => {
    const libxl = await world.machine()
    const domid = await findDomain(world, libxl, operands[0] ?? '')
    try {
      await act(libxl, domid)
    } catch (error) {
      complain(world, error)
    }
    return 0
  }
}

interface Wish {
  readonly doing: string
  readonly name: string
  act(libxl: Libxl, domid: number): Promise<void>
}

async function ask(world: World, libxl: Libxl, wish: Wish, domid: number): Promise<boolean> {
  world.err(`${wish.doing} domain ${domid}\n`)
  try {
    await wish.act(libxl, domid)
    return true
  } catch (error) {
    const { rc } = complain(world, error)
    world.err(`${wish.name} failed (rc=${rc})\n`)
    return false
  }
}

/** shutdown and reboot, of one domain or of all guests. */
function asking(wish: Wish) {
  return async (invocation: Invocation): Promise<number> => {
    const { world, options, operands } = invocation
    const all = options.has('all')
    if (!all && operands.length === 0) {
      world.err('You must specify -a or a domain id.\n\n')
      return 1
    }
    const libxl = await world.machine()
    const domids = all
      ? (await libxl.list()).map((domain) => domain.domid).filter((domid) => domid !== 0)
      : [await findDomain(world, libxl, operands[0] ?? '')]
    // Begins to wait before it asks, so that no end is missed.
    const ends = options.has('wait') ? domids.map((domid) => settled(libxl, domid)) : []
    let failed = 0
    for (const domid of domids) {
      if (!await ask(world, libxl, wish, domid)) failed++
    }
    if (failed > 0 && !all) return 1
    if (options.has('wait')) {
      world.err(`Waiting for ${domids.length} domains\n`)
      for (const end of ends) world.err(await end)
    }
    return failed > 0 ? 1 : 0
  }
}

async function settled(libxl: Libxl, domid: number): Promise<string> {
  try {
    const end = await libxl.waitForEnd(domid)
    return end.how === 'shutdown'
      ? `Domain ${domid} has been shut down, reason code ${end.reason}\n`
      : `Domain ${domid} has been destroyed\n`
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error
    return ''
  }
}

async function rename({ world, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const [name = '', wanted = ''] = operands
  const domid = await findDomain(world, libxl, name)
  try {
    await libxl.rename(domid, wanted)
    return 0
  } catch (error) {
    if (!(error instanceof LibxlError)) throw error
    if (error.rc !== ERROR_DOMAIN_NOTFOUND) complain(world, error)
    world.err(`Can't rename domain '${name}'.\n`)
    return 1
  }
}

async function dumpCore({ world, operands }: Invocation): Promise<number> {
  const libxl = await world.machine()
  const [name = '', path = ''] = operands
  const domid = await findDomain(world, libxl, name)
  try {
    await libxl.dumpCore(domid, world.absolutePath(path))
    return 0
  } catch (error) {
    const { rc } = complain(world, error)
    world.err(`core dump failed (rc=${rc})\n`)
    return 1
  }
}

async function consoleCommand(invocation: Invocation): Promise<number> {
  const { world, options, operands } = invocation
  const type = options.get('type') ?? 'pv'
  if (!['pv', 'serial', 'vuart'].includes(type)) {
    world.err('console type supported are: pv, serial, vuart\n')
    return 1
  }
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, operands[0] ?? '')
  if (domid === 0) {
    world.err('Can\'t specify Domain-0\n')
    return EINVAL
  }
  const number = Number.parseInt(options.get('number') ?? '0', 10) || 0
  try {
    const isThere = number === 0 || (await libxl.devices(domid, 'channels'))
      .some(({ devid, connection }) => devid === number && connection === 'pty')
    if (type !== 'pv' || !isThere) {
      world.err(`xenconsole: domain ${domid} has no such console\n`)
      return 2
    }
    const end = await runConsole(world, libxl, domid, undefined, number)
    if (end !== 'host gone') return 0
    world.err('xl: host process ended\n')
  } catch (error) {
    complain(world, error)
    world.err('Unable to attach console\n')
  }
  return 1
}

const waitOptions = [
  { key: 'all', letter: 'a', name: 'all' }, { key: 'wait', letter: 'w', name: 'wait' },
  { key: 'fallback', letter: 'F' },
]

export const controlCommands: readonly Command[] = [
  {
    name: 'destroy', summary: 'Terminate a domain immediately', synopsis: '[options] <Domain>\n',
    optionsHelp: `-f                      Permit destroying domain 0, which will only succeed
                        when run from disaggregated toolstack domain with a
                        hardware domain distinct from domain 0.`,
    globals: 'vtTf', options: [{ key: 'force', letter: 'f' }], needs: 1, run: destroy,
  },
  {
    name: 'shutdown', summary: 'Issue a shutdown signal to a domain',
    synopsis: '[options] <-a|Domain>',
    optionsHelp: `-a, --all               Shutdown all guest domains.
${HELP_OPTION}
-F                      Fallback to ACPI power event for HVM guests with
                        no PV drivers.
-w, --wait              Wait for guest(s) to shutdown.
`,
    globals: 'vtTf', options: waitOptions, needs: 0,
    run: asking({
      doing: 'Shutting down', name: 'shutdown', act: (libxl, domid) => libxl.shutdown(domid),
    }),
  },
  {
    name: 'reboot', summary: 'Issue a reboot signal to a domain',
    synopsis: '[options] <-a|Domain>',
    optionsHelp: `-a, --all               Shutdown all guest domains.
${HELP_OPTION}
-F                      Fallback to ACPI reset event for HVM guests with
                        no PV drivers.
-w, --wait              Wait for guest(s) to reboot.
`,
    globals: 'vtTf', options: waitOptions, needs: 0,
    run: asking({
      doing: 'Rebooting', name: 'reboot', act: (libxl, domid) => libxl.reboot(domid),
    }),
  },
  {
    name: 'pause', summary: 'Pause execution of a domain', synopsis: '<Domain>',
    globals: 'vtTf', options: [], needs: 1,
    run: tolerant((libxl, domid) => libxl.pause(domid)),
  },
  {
    name: 'unpause', summary: 'Unpause a paused domain', synopsis: '<Domain>',
    globals: 'vtTf', options: [], needs: 1,
    run: tolerant((libxl, domid) => libxl.unpause(domid)),
  },
  {
    name: 'console', summary: 'Attach to domain\'s console',
    synopsis: '[options] <Domain>\n-t <type>       console type, pv , serial or vuart\n' +
      '-n <number>     console number',
    globals: 'vtT',
    options: [
      { key: 'type', letter: 't', value: true }, { key: 'number', letter: 'n', value: true },
    ],
    needs: 1, run: consoleCommand,
  },
  {
    name: 'dump-core', summary: 'Core dump a domain', synopsis: '<Domain> <filename>',
    globals: 'vtTf', options: [], needs: 2, run: dumpCore,
  },
  {
    name: 'rename', summary: 'Rename a domain', synopsis: '<Domain> <NewDomainName>',
    globals: 'vtTf', options: [], needs: 2, run: rename,
  },
]
