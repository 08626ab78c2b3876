/**
 * The subcommands for network interfaces: network-attach, network-list, network-detach.
 */
import { vifWithDefaults } from '../config/global.ts'
import { parseVif, VifError, type VifSpec } from '../config/vif.ts'
import type { Libxl, VifSummary } from '../domain/libxl.ts'
import { type Command, type Invocation, jsonHelp, jsonOption, Listing } from './command.ts'
import { readGlobalConfig } from './config-file.ts'
import { nicJson } from './config-json.ts'
import { complain, findDomain } from './world.ts'

async function attach({ world, operands, globals }: Invocation): Promise<number> {
  const [name = '', ...words] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  let vif: VifSpec
  try {
    const unknown: string[] = []
    vif = vifWithDefaults(parseVif(words.join(','), (line) => void unknown.push(line)),
      await readGlobalConfig(world))
    for (const line of unknown) world.err(`${line}\n`)
    if (unknown.length > 0) return 1
  } catch (error) {
    if (!(error instanceof VifError)) throw error
    world.err(`${error.lineFor('command line')}\n`)
    return 1
  }
  if (globals.dryRun) {
    world.out(`vif: ${nicJson(vif)}\n\n`)
    return 0
  }
  try {
    await libxl.attachDevice(domid, 'vifs', vif)
    return 0
  } catch (error) {
    complain(world, error)
    world.err('libxl_device_nic_add failed.\n')
    return 1
  }
}

const header = 'Idx BE Mac Addr.         handle state evt-ch   tx-/rx-ring-ref BE-path' +
  `${' '.repeat(23)}\n`

function row(vif: VifSummary): string {
  const right = (value: number, width: number): string => `${value}`.padStart(width)
  return `${`${vif.devid}`.padEnd(3)} ${`${vif.backendId}`.padEnd(2)} ${vif.mac} ` +
    `${right(vif.handle, 5)} ${right(vif.state, 5)} ${right(vif.eventChannel, 6)} ` +
    `${right(vif.transmitRing, 5)}/${`${vif.receiveRing}`.padEnd(11)} ` +
    `${vif.backend.padEnd(30)}\n`
}

async function list(invocation: Invocation): Promise<number> {
  const { world, operands } = invocation
  const libxl = await world.machine()
  // Before it looks whether there are such domains, as real xl does.
  const listing = new Listing(invocation, header)
  let status = 0
  for (const name of operands) {
    const domid = await domidOf(libxl, name)
    if (domid === undefined) {
      world.err(`${name} is an invalid domain identifier (rc=-6)\n`)
      status = 1
      continue
    }
    for (const vif of await vifsOf(libxl, domid)) {
      listing.add([{ domid, ...vif }], () => row(vif))
    }
  }
  listing.end()
  return status
}

async function domidOf(libxl: Libxl, name: string): Promise<number | undefined> {
  const domains = await libxl.list()
  return domains.find(({ domid, name: other }) => `${domid}` === name || other === name)?.domid
}

async function vifsOf(libxl: Libxl, domid: number): Promise<readonly VifSummary[]> {
  return domid === 0 ? [] : libxl.devices(domid, 'vifs')
}

async function detach({ world, operands }: Invocation): Promise<number> {
  const [name = '', device = ''] = operands
  const libxl = await world.machine()
  const domid = await findDomain(world, libxl, name)
  const devid = await libxl.detachDevice(domid, 'vifs', device, false)
  if (devid !== undefined) return 0
  if (/^\d+$/.test(device)) {
    world.err(`libxl: error: xenstore read failed: \`/libxl/${domid}/device/vif/${device}': ` +
      'No such file or directory\n')
  }
  world.err(`Unknown device ${device}.\n`)
  return 1
}

export const networkCommands: readonly Command[] = [
  {
    name: 'network-attach', summary: 'Create a new virtual network device',
    synopsis: '<Domain> [type=<type>] [mac=<mac>] [bridge=<bridge>] [ip=<ip>] ' +
      '[script=<script>] [backend=<BackDomain>] [vifname=<name>] [rate=<rate>] [model=<model>] ' +
      '[accel=<accel>] [mtu=<mtu>]',
    globals: 'vtTfN', options: [], needs: 1, run: attach,
  },
  {
    name: 'network-list', summary: 'List virtual network interfaces for a domain',
    synopsis: '<Domain(s)>', optionsHelp: jsonHelp, globals: 'vtT', options: [jsonOption], needs: 1,
    run: list,
  },
  {
    name: 'network-detach', summary: 'Destroy a domain\'s virtual network device',
    synopsis: '<Domain> <DevId|mac>', globals: 'vtTf', options: [], needs: 2, run: detach,
  },
]
