/**
 * Channels of domains: their nodes in the store, as libxl writes them, and their other ends, which
 * are at `xl console -n` and a pseudo-terminal, or at a Unix socket.
 *
 * A socket takes one connection at a time, as QEMU's do. A channel's number is that of its console:
 * the first console of a domain is 0.
 */
import { Channel, type ChannelHost } from '../../backends/channel.ts'
import { CONSOLE_LIMIT } from '../../backends/console.ts'
import { BackendBus } from '../../backends/xenbus.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import type { ChannelSpec } from '../config/channel.ts'
import { join, putAtPty } from './console-streams.ts'
import {
  type DeviceContents, type DevicePaths, devicePaths, numberIn, removeDevice, writeDevice,
} from './device-nodes.ts'
import type { DeviceClass } from './devices.ts'
import { type ChannelSummary, ERROR_FAIL, LibxlError } from './libxl.ts'
import { readyAll, type ReadyDevices } from './ready-devices.ts'
import type { Listener, ToolstackHost } from './toolstack-host.ts'

/** Number of the first channel. */
const FIRST = 1

interface OwnChannel {
  readonly spec: ChannelSpec
  listener: Listener | undefined
  paths: DevicePaths | undefined
  /** Once the back-end has looked at it. */
  channel: Channel | undefined
}

export class Channels implements DeviceClass<'channels'> {
  readonly type = 'console'
  readonly guestMayKeep = false
  readonly #store: XenstoreClient
  readonly #host: ToolstackHost
  /** By domain and number. */
  readonly #channels = new Map<number, Map<number, OwnChannel>>()

  constructor(store: XenstoreClient, deviceHost: ChannelHost, host: ToolstackHost) {
    this.#store = store
    this.#host = host
    new BackendBus(store, 'console', (nodes) => {
      const channel = new Channel(nodes, deviceHost)
      const own = this.#channels.get(nodes.domid)?.get(nodes.devid)
      if (own) {
        own.channel = channel
        if (own.spec.connection === 'pty') putAtPty(channel, host, store, nodes.frontend)
      }
      return channel
    }, host.log, FIRST)
  }

  prepare(specs: readonly ChannelSpec[]): Promise<ReadyDevices> {
    return readyAll(specs, async (spec) => {
      const own: OwnChannel = { spec, listener: undefined, paths: undefined, channel: undefined }
      await this.#listen(own)
      return {
        connect: (domid) => this.#connect(domid, own),
        drop: async () => own.listener?.close(),
      }
    })
  }

  /** Listens for the other end; a second one is turned away while there is one. */
  async #listen(own: OwnChannel): Promise<void> {
    const { path } = own.spec
    if (path === undefined) return
    let isTaken = false
    try {
      own.listener = await this.#host.listen(path, (stream) => {
        if (isTaken || !own.channel) return stream.end()
        isTaken = true
        join(own.channel, stream, () => { isTaken = false })
      })
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause)
      throw new LibxlError(ERROR_FAIL, `cannot make the channel's socket ${path}: ${why}`,
        { cause })
    }
  }

  #connect(domid: number, own: OwnChannel): void {
    let channels = this.#channels.get(domid)
    if (!channels) this.#channels.set(domid, channels = new Map())
    const devid = Math.max(FIRST - 1, ...channels.keys()) + 1
    own.paths = devicePaths(domid, devid, 'console')
    channels.set(devid, own)
    writeDevice(this.#store, own.paths, contentsOf(own.spec, devid))
  }

  list(domid: number): ChannelSummary[] {
    return [...this.#channels.get(domid) ?? []].map(([devid, { spec, paths }]) => {
      const front = paths?.front ?? ''
      const number = (name: string): number => numberIn(this.#store, `${front}/${name}`)
      return {
        devid, backendId: 0, state: number('state'), eventChannel: number('port'),
        ring: number('ring-ref'), connection: spec.connection,
        path: spec.path ?? this.#store.read(`${front}/tty`),
      }
    })
  }

  specs(domid: number): ReadonlyMap<number, ChannelSpec> {
    return new Map([...this.#channels.get(domid) ?? []].map(([devid, { spec }]) => [devid, spec]))
  }

  find(domid: number, name: string): number | undefined {
    return [...this.specs(domid)].find(([devid]) => `${devid}` === name)?.[0]
  }

  backOf(domid: number, devid: number): string {
    return this.#channels.get(domid)?.get(devid)?.paths?.back ?? ''
  }

  /** The channel that `xl console -n` leads to. */
  at(domid: number, devid: number): Channel | undefined {
    const own = this.#channels.get(domid)?.get(devid)
    return own?.spec.connection === 'pty' ? own.channel : undefined
  }

  async remove(domid: number, devid: number): Promise<void> {
    const channels = this.#channels.get(domid)
    const own = channels?.get(devid)
    if (!channels || !own) return
    channels.delete(devid)
    if (channels.size === 0) this.#channels.delete(domid)
    own.listener?.close()
    if (own.paths) removeDevice(this.#store, own.paths)
  }
}

function contentsOf({ name, connection, path }: ChannelSpec, devid: number): DeviceContents {
  const output = connection === 'pty' ? 'pty' : `chardev:libxl-channel${devid - FIRST}`
  return {
    front: [['protocol', 'vt100']],
    told: [
      ['name', name], ['limit', `${CONSOLE_LIMIT}`], ['type', 'ioemu'], ['output', output],
      ['tty', ''],
    ],
    both: [['protocol', 'vt100'], ['name', name], ['connection', connection], ['path', path]],
    back: [],
  }
}
