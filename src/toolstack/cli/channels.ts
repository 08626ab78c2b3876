/**
 * The subcommand for channels: channel-list.
 */
import type { ChannelSummary } from '../domain/libxl.ts'
import { type Command, type Invocation, jsonHelp, jsonOption, Listing } from './command.ts'
import { findDomain } from './world.ts'

const header = `Idx BE state evt-ch ring-ref connection ${' '.repeat(30)}\n`

function row(channel: ChannelSummary): string {
  const left = (value: number | string, width: number): string => `${value}`.padEnd(width)
  return `${left(channel.devid, 3)} ${left(channel.backendId, 2)} ${left(channel.state, 5)} ` +
    `${left(channel.eventChannel, 6)} ${left(channel.ring, 8)} ${left(channel.connection, 10)} ` +
    `${left(channel.path ?? '', 30)} \n`
}

async function list(invocation: Invocation): Promise<number> {
  const { world, operands } = invocation
  const listing = new Listing(invocation, header)
  const libxl = await world.machine()
  for (const name of operands) {
    const domid = await findDomain(world, libxl, name)
    if (domid === 0) continue
    for (const channel of await libxl.devices(domid, 'channels')) {
      listing.add([{ domid, ...channel }], () => row(channel))
    }
  }
  listing.end()
  return 0
}

export const channelCommands: readonly Command[] = [
  {
    name: 'channel-list', summary: 'List virtual channel devices for a domain',
    synopsis: '<Domain(s)>', optionsHelp: jsonHelp, globals: 'vtT', options: [jsonOption], needs: 1,
    run: list,
  },
]
