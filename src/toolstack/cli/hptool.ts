/**
 * xen-hptool: physical CPUs and memory taken out of use and back, in the words and with the exit
 * codes of Xen 4.17's. Frames are hexadecimal, and what is no number is 0, as there.
 *
 * mem-hotadd is our own: real Xen is told of new memory by its firmware. A frame that a guest has
 * stays pending until the guest gives it up; exchanging it is for PV guests, which there are none
 * of.
 */
import {
  PG_OFFLINE_ANONYMOUS, PG_OFFLINE_FAILED, PG_OFFLINE_OFFLINED, PG_OFFLINE_OWNED,
  PG_OFFLINE_OWNER_SHIFT, PG_OFFLINE_PENDING, PG_OFFLINE_STATUS_MASK, PG_OFFLINE_STATUS_OFFLINED,
  PG_OFFLINE_STATUS_OFFLINE_PENDING, PG_OFFLINE_XENPAGE, PG_ONLINE_ONLINED,
} from '../../abi/xen/sysctl.ts'
import { errorText } from '../domain/error-text.ts'
import type { Hotplug } from '../domain/hotplug.ts'
import type { Libxl } from '../domain/libxl.ts'

export interface HptoolWorld {
  out(text: string): void
  err(text: string): void
  machine(): Promise<Libxl>
}

interface Call {
  readonly world: HptoolWorld
  readonly hotplug: Hotplug
  readonly words: readonly string[]
}

interface HptoolCommand {
  readonly name: string
  /** What stands behind the name in the help. */
  readonly help: string
  /** How many words it takes, at least and at most. */
  readonly takes: readonly [number, number]
  run(call: Call): Promise<number>
}

/** The number that a word begins with, in the range of a C int or long; 0 if there is none. */
function leadingNumber(word: string | undefined, base: 10 | 16): number {
  const digits = base === 10 ? /^\s*[+-]?\d+/ : /^\s*(?:0x)?[\da-f]+/i
  return parseInt(digits.exec(word ?? '')?.[0] ?? '0', base) >>> 0
}

function cpu(online: boolean): HptoolCommand['run'] {
  const verb = online ? 'online' : 'offline'
  return async ({ world, hotplug, words: [word] }) => {
    const number = leadingNumber(word, 10)
    world.out(`Prepare to ${verb} CPU ${number | 0}\n`)
    const errno = await hotplug.setCpuOnline(number, online)
    if (errno === 0) world.out(`CPU ${number} ${verb}d successfully\n`)
    else world.err(`CPU ${number | 0} ${verb} failed (error ${errno}: ${errorText(errno)})\n`)
    return errno === 0 ? 0 : 1
  }
}

function smt(enabled: boolean): HptoolCommand['run'] {
  const verb = enabled ? 'enable' : 'disable'
  return async ({ world, hotplug }) => {
    const errno = await hotplug.setSmt(enabled)
    if (errno === 0) world.out(`${enabled ? 'Enabled' : 'Disabled'} SMT\n`)
    else world.err(`Unable to ${verb} SMT: errno ${errno}, ${errorText(errno)}\n`)
    return errno === 0 ? 0 : 1
  }
}

async function memOffline({ world, hotplug, words: [word] }: Call): Promise<number> {
  const mfn = leadingNumber(word, 16)
  const name = mfn.toString(16)
  world.out(`Prepare to offline MEMORY mfn ${name}\n`)
  const { errno, status } = await hotplug.markPageOffline(mfn)
  if (errno !== 0) {
    world.err(`Offlining page mfn ${name} failed, error ${errno.toString(16)}\n` +
      'XEN_PAGE is not permitted be offlined\n')
    return 1
  }
  const owner = status >>> PG_OFFLINE_OWNER_SHIFT
  switch (status & PG_OFFLINE_STATUS_MASK) {
    case PG_OFFLINE_OFFLINED:
      world.out(`Memory mfn ${name} offlined successfully, ` +
        'current state is [PG_OFFLINE_OFFLINED]\n')
      return 0
    case PG_OFFLINE_FAILED:
      world.out(`Memory mfn ${name} offline failed\n`)
      if (status & PG_OFFLINE_ANONYMOUS) world.out('the memory is an anonymous page!\n')
      return 1
    case PG_OFFLINE_PENDING:
      if (status & PG_OFFLINE_XENPAGE) {
        world.out(`Memory mfn ${name} offlined succssefully, this page is xen page, ` +
          'current state is [PG_OFFLINE_PENDING,PG_OFFLINE_XENPAGE]\n')
      } else if (status & PG_OFFLINE_OWNED) {
        world.err(`DOM${owner}: No suspend port, try live migration\n` +
          `Failed to suspend guest ${owner} for mfn ${name}\n`)
      }
      return 1
    default: return 0
  }
}

async function memOnline({ world, hotplug, words: [word] }: Call): Promise<number> {
  const mfn = leadingNumber(word, 16)
  const name = mfn.toString(16)
  world.out(`Prepare to online MEMORY mfn ${name}\n`)
  const { errno, status } = await hotplug.markPageOnline(mfn)
  if (errno !== 0) {
    world.err(`Onlining page mfn ${name} failed, error ${errno.toString(16)}`)
    return 1
  }
  world.out(status & PG_ONLINE_ONLINED
    ? `Memory mfn ${name} onlined successfully\n` : 'Memory is already onlined!\n')
  return 0
}

async function memStatus({ world, hotplug, words: [word] }: Call): Promise<number> {
  const mfn = leadingNumber(word, 16)
  const name = mfn.toString(16)
  world.out(`Querying MEMORY mfn ${name} status\n`)
  const { errno, status } = await hotplug.queryPageOffline(mfn)
  if (errno !== 0) {
    world.err(`Querying page mfn ${name} failed, error ${errno.toString(16)}`)
    return 1
  }
  const pending = status & PG_OFFLINE_STATUS_OFFLINE_PENDING ? ' PAGE_OFFLINE_PENDING ' : ''
  const state = status & PG_OFFLINE_STATUS_OFFLINED ? ' PAGE_OFFLINED ' : ' PAGE_ONLINED '
  world.out(`Memory Status ${status.toString(16)}: [${pending}${state}]\n`)
  return 0
}

async function memHotadd({ world, hotplug, words: [first, end, node] }: Call): Promise<number> {
  const [from, to] = [leadingNumber(first, 16), leadingNumber(end, 16)]
  const range = `mfn ${from.toString(16)}-${to.toString(16)}`
  world.out(`Prepare to add MEMORY ${range}\n`)
  const errno = await hotplug.addMemory(from, to, leadingNumber(node ?? '0', 10))
  if (errno === 0) world.out(`Memory ${range} added successfully\n`)
  else world.err(`Adding memory ${range} failed (error ${errno}: ${errorText(errno)})\n`)
  return errno === 0 ? 0 : 1
}

const commands: readonly HptoolCommand[] = [
  { name: 'cpu-online', help: '<cpuid>    online CPU <cpuid>', takes: [1, 1], run: cpu(true) },
  {
    name: 'cpu-offline', help: '<cpuid>    offline CPU <cpuid>', takes: [1, 1], run: cpu(false),
  },
  { name: 'mem-online', help: '<mfn>      online MEMORY <mfn>', takes: [1, 1], run: memOnline },
  {
    name: 'mem-offline', help: '<mfn>      offline MEMORY <mfn>', takes: [1, 1], run: memOffline,
  },
  {
    name: 'mem-status', help: '<mfn>      query Memory status<mfn>', takes: [1, 1],
    run: memStatus,
  },
  {
    name: 'mem-hotadd', takes: [2, 3], run: memHotadd,
    help: '<mfn> <mfn> [<node>]  add MEMORY from the first to before the second',
  },
  {
    name: 'smt-enable', help: '           onlines all SMT threads', takes: [0, 0],
    run: smt(true),
  },
  {
    name: 'smt-disable', help: '           offlines all SMT threads', takes: [0, 0],
    run: smt(false),
  },
]

function helpText(): string {
  return 'xen-hptool: Xen CPU/memory hotplug tool\nUsage: xen-hptool <command> [args]\n' +
    'Commands:\n  help                     display this help\n' +
    commands.map(({ name, help }) => `  ${name.padEnd(14)}${help}\n`).join('')
}

/** Runs one command line; its exit code. */
export async function runHptool(words: readonly string[], world: HptoolWorld): Promise<number> {
  const [name = 'help', ...rest] = words
  if (name === 'help') {
    world.out(helpText())
    return 0
  }
  const command = commands.find((known) => known.name === name)
  if (!command) {
    world.err(`Unrecognised command '${name}' -- try 'xen-hptool help'\n`)
    return 1
  }
  const [least, most] = command.takes
  if (rest.length < least || rest.length > most) {
    world.err(helpText())
    return 1
  }
  const { hotplug } = await world.machine()
  return command.run({ world, hotplug, words: rest })
}
