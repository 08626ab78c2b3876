/**
 * The subcommands for block devices: block-attach, block-list, block-detach, cd-insert, cd-eject,
 * and block-resize, which real xl has not.
 */
import { diskNumber, DiskSpecError, type DiskSpec, parseDisk } from '../config/disk.ts'
import { absoluteDisk } from '../domain/spec.ts'
import { type Command, type Invocation, jsonHelp, jsonOption, Listing } from './command.ts'
import { diskJson } from './config-json.ts'
import { complain, domainNamed, findDomain, type World } from './world.ts'

/** What a command line says of a disk; undefined, and said why, when that is none. */
function diskOf(world: World, text: string): DiskSpec | undefined {
  try {
    return parseDisk(text)
  } catch (error) {
    if (!(error instanceof DiskSpecError)) throw error
    world.err(`command line: ${error.message}\n`)
    return undefined
  }
}

async function attach({ world, operands, globals }: Invocation): Promise<number> {
  const [name = '', ...words] = operands
  const libxl = globals.dryRun && /^\d+$/.test(name) ? undefined : await world.machine()
  const domid = libxl ? await domainNamed(libxl, name) : 0
  if (domid === undefined) {
    world.err(`${name} is an invalid domain identifier\n`)
    return 1
  }
  const disk = diskOf(world, words.join(','))
  if (!disk) return 1
  if (globals.dryRun || !libxl) {
    world.out(`disk: ${diskJson(disk)}\n`)
    return 0
  }
  try {
    await libxl.attachDevice(domid, 'disks', absoluteDisk(disk, world.absolutePath))
    return 0
  } catch (error) {
    complain(world, error)
    world.err('libxl_device_disk_add failed.\n')
    return 1
  }
}

function row(columns: readonly (string | number)[]): string {
  return columns.map((value, i) => String(value).padEnd([5, 3, 6, 5, 6, 8, 30][i]!)).join(' ') +
    '\n'
}

async function list(invocation: Invocation): Promise<number> {
  const { world, operands } = invocation
  const listing = new Listing(invocation,
    row(['Vdev', 'BE', 'handle', 'state', 'evt-ch', 'ring-ref', 'BE-path']))
  const libxl = await world.machine()
  const domains = await libxl.list()
  for (const name of operands) {
    const domid = await domainNamed(libxl, name)
    if (domid === undefined) {
      // Real xl goes on, and exits with 0.
      world.err(`${name} is an invalid domain identifier\n`)
      continue
    }
    // A number that is no domain's is not missed.
    if (!domains.some((domain) => domain.domid === domid)) continue
    for (const disk of await libxl.devices(domid, 'disks')) {
      listing.add([disk], () => row([disk.devid, disk.backendId, disk.domid, disk.state,
        disk.eventChannel, disk.ringRef, disk.backend]))
    }
  }
  listing.end()
  return 0
}

async function detach({ world, operands, options, globals }: Invocation): Promise<number> {
  const [name = '', vdev = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  try {
    const force = options.has('force') || globals.force
    const domains = await libxl.list()
    const exists = domains.some((domain) => domain.domid === domid)
    if (exists && await libxl.detachDevice(domid, 'disks', vdev, force) !== undefined) return 0
    const devid = diskNumber(vdev)
    if (devid !== undefined) {
      world.err(`libxl: error: disk /libxl/${domid}/device/vbd/${devid} does not exist ` +
        '(no backend path\n')
    }
    world.err(`Error: Device ${vdev} not connected.\n`)
    return 1
  } catch (error) {
    complain(world, error)
    world.err('libxl_device_disk_remove failed.\n')
    return 1
  }
}

const SHIFTS: Readonly<Record<string, number>> = { '': 0, k: 10, m: 20, g: 30, t: 40 }

async function resize({ world, operands }: Invocation): Promise<number> {
  const [name = '', vdev = '', text = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  const match = /^(\d+)([kmgt]?)$/i.exec(text)
  if (!match) {
    world.err(`invalid disk size: ${text}\n`)
    return 1
  }
  const bytes = Number(match[1]) * 2 ** SHIFTS[(match[2] ?? '').toLowerCase()]!
  try {
    await libxl.resizeDisk(domid, vdev, bytes)
    return 0
  } catch (error) {
    complain(world, error)
    return 1
  }
}

async function insert({ world, operands, globals }: Invocation): Promise<number> {
  const [name = '', vdev = '', path = ''] = operands
  return changeMedium(world, globals.dryRun, name, vdev, path)
}

async function eject({ world, operands, globals }: Invocation): Promise<number> {
  const [name = '', vdev = ''] = operands
  return changeMedium(world, globals.dryRun, name, vdev, '')
}

/** Without a path the drive is left empty. */
async function changeMedium(
  world: World, dryRun: boolean, name: string, vdev: string, path: string,
): Promise<number> {
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  const disk = diskOf(world, `vdev=${vdev},access=ro,devtype=cdrom,target=${path}`)
  if (!disk) return 1
  if (dryRun) {
    world.out(`disk: ${diskJson(disk)}\n`)
    return 0
  }
  try {
    await libxl.insertMedium(domid, vdev, path === '' ? undefined : world.absolutePath(path))
    return 0
  } catch (error) {
    complain(world, error)
    return 1
  }
}

export const blockCommands: readonly Command[] = [
  {
    name: 'cd-insert', summary: 'Insert a cdrom into a guest\'s cd drive',
    synopsis: '<Domain> <VirtualDevice> <path>', globals: 'vtTfN', options: [], needs: 3,
    run: insert,
  },
  {
    name: 'cd-eject', summary: 'Eject a cdrom from a guest\'s cd drive',
    synopsis: '<Domain> <VirtualDevice>', globals: 'vtTfN', options: [], needs: 2, run: eject,
  },
  {
    name: 'block-attach', summary: 'Create a new virtual block device',
    synopsis: '<Domain> <disk-spec-component(s)>...', globals: 'vtTfN', options: [], needs: 2,
    run: attach,
  },
  {
    name: 'block-list', summary: 'List virtual block devices for a domain',
    synopsis: '<Domain(s)>', optionsHelp: jsonHelp, globals: 'vtT', options: [jsonOption], needs: 1,
    run: list,
  },
  {
    name: 'block-detach', summary: 'Destroy a domain\'s virtual block device',
    synopsis: '[option] <Domain> <DevId>',
    optionsHelp: '-f, --force        do not wait for the domain to release the device',
    globals: 'vtTf', options: [{ key: 'force', letter: 'f', name: 'force' }], needs: 2,
    run: detach,
  },
  {
    name: 'block-resize', summary: 'Make a domain\'s virtual block device larger',
    synopsis: '<Domain> <DevId> <Size[\'k\'|\'m\'|\'g\'|\'t\']>', globals: 'vtTf', options: [],
    needs: 3, run: resize,
  },
]
