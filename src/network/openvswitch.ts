/**
 * Open vSwitch as a bridge: what Xen's hotplug script vif-openvswitch does, with its names, VLANs
 * and external ids. Obeys ovs-vsctl(8) and ovs-vswitchd.conf.db(5).
 *
 * The script adds a network device that the kernel's netback made. Here the other end of a port is
 * this process: a stream to a device of type "dummy", where the switch offers that type and has the
 * bridge in user space, so that nobody needs a privilege.
 */
import { type Capture, type CaptureWorld, startCapture } from './capture.ts'
import { formatMac } from './frame.ts'
import { NetworkError, type Station, type StationWish } from './station.ts'
import { Uplink, type Wire } from './uplink.ts'

const PROGRAM = 'ovs-vsctl'
const PATIENCE = '--timeout=30'
const CONNECT_MS = 10_000
const BRIDGE = /^([^.:]+)(?:\.(\d+))?(?::(\d+(?::\d+)*))?$/
/** What the kernel takes as a device's name, less what would look like an option. */
const DEVICE = /^\w[\w.-]{0,14}$/

/** What a program had to say. */
export interface CommandResult {
  readonly status: number | null
  readonly output: string
  /** The last lines of standard error. */
  readonly errors: string
}

/** A wire whose other end is found by a path, and is up once somebody connects there. */
export interface StreamWire extends Wire {
  readonly path: string
  readonly connected: Promise<void>
}

export interface OpenVswitchHost extends CaptureWorld {
  /** Runs a program to its end; undefined when there is no such program. */
  run(program: string, args: readonly string[]): Promise<CommandResult | undefined>
  /** Waits for a stream of frames. */
  listenForFrames(name: string, receive: (frame: Uint8Array) => void): Promise<StreamWire>
  /** Runs `work` after `ms`; the result cancels it. */
  delay(ms: number, work: () => void): () => void
  readonly log: { warn(message: string): void }
}

interface Place {
  readonly bridge: string
  readonly tag: string | undefined
  readonly trunks: readonly string[]
}

/** "ovsbr0.10:20:30" as the script reads it; undefined when it is not of that form. */
function parsePlace(text: string): Place | undefined {
  const [, bridge, tag, trunks] = BRIDGE.exec(text) ?? []
  return bridge === undefined ? undefined : { bridge, tag, trunks: trunks?.split(':') ?? [] }
}

export class OpenVswitch {
  readonly #host: OpenVswitchHost
  /** A device's name may come again, so that what is done first must be over first. */
  #last: Promise<unknown> = Promise.resolve()

  constructor(host: OpenVswitchHost) {
    this.#host = host
  }

  /** Adds a port for the interface; rejects with NetworkError, and leaves none, when it cannot. */
  station(wish: StationWish): Promise<Station> {
    return this.#inOrder(() => this.#plug(wish))
  }

  /** Resolves when all that was begun is over. */
  async settled(): Promise<void> {
    await this.#last
  }

  #inOrder<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work)
    this.#last = done.catch(() => {})
    return done
  }

  async #plug(wish: StationWish): Promise<Station> {
    const { device } = wish
    const place = parsePlace(wish.bridge)
    if (!place) throw new NetworkError('No valid bridge was specified')
    if (!DEVICE.test(device)) throw new NetworkError(`"${device}" cannot be a device's name`)
    if (wish.forwards.length > 0) {
      throw new NetworkError('ports are forwarded on the built-in bridge only')
    }
    await this.#mustTakeStreams(place.bridge)
    const capture = wish.capture === undefined ? undefined : startCapture(this.#host, wish.capture)
    return this.#connect(wish, place, capture)
  }

  async #connect(
    wish: StationWish, place: Place, capture: Capture | undefined,
  ): Promise<Station> {
    const { device } = wish
    const uplink = new Uplink(capture, () => void this.#inOrder(() => this.#remove(device)))
    try {
      const wire = await this.#host.listenForFrames(device, (frame) => uplink.receive(frame))
      uplink.plug(wire)
      await this.#vsctl(portCommand(wish, place, wire.path))
      await this.#mustConnect(wire)
      return uplink
    } catch (error) {
      uplink.close()
      throw error
    }
  }

  async #mustTakeStreams(bridge: string): Promise<void> {
    const answer = await this.#vsctl([
      'get', 'bridge', bridge, 'datapath_type', '--', 'get', 'Open_vSwitch', '.', 'iface_types',
    ])
    const [datapath = '', types = ''] = answer.split('\n')
    if (/^"?(dummy|netdev)"?$/.test(datapath) && /\bdummy\b/.test(types)) return
    throw new NetworkError(`Open vSwitch's bridge ${bridge} takes network devices of the kernel ` +
      'only; one with datapath_type=netdev or dummy, of ovs-vswitchd --enable-dummy, takes streams')
  }

  #mustConnect(wire: StreamWire): Promise<void> {
    return new Promise((resolve, reject) => {
      const cancel = this.#host.delay(CONNECT_MS, () =>
        reject(new NetworkError(`Open vSwitch does not connect to ${wire.path}`)))
      void wire.connected.then(() => {
        cancel()
        resolve()
      })
    })
  }

  async #remove(device: string): Promise<void> {
    try {
      await this.#vsctl(['--', '--if-exists', 'del-port', device])
    } catch (error) {
      this.#host.log.warn(`${device} stays in Open vSwitch: ${(error as Error).message}`)
    }
  }

  async #vsctl(words: readonly string[]): Promise<string> {
    const result = await this.#host.run(PROGRAM, [PATIENCE, ...words])
    if (!result) throw new NetworkError(`Unable to find ${PROGRAM} tool`)
    if (result.status === 0) return result.output
    throw new NetworkError(result.errors || `${PROGRAM} failed with status ${result.status}`)
  }
}

/** The words that make a port anew. */
function portCommand(wish: StationWish, place: Place, path: string): string[] {
  const { device, mac, mtu, owner } = wish
  const set = (words: readonly string[]): string[] => ['--', 'set', 'interface', device, ...words]
  const ids = {
    'xen-vm-name': owner.name, 'xen-vm-uuid': owner.uuid, 'attached-mac': formatMac(mac),
  }
  return [
    '--', '--if-exists', 'del-port', device, '--', 'add-port', place.bridge, device,
    ...place.tag === undefined ? [] : [`tag=${place.tag}`],
    ...place.trunks.length === 0 ? [] : [`trunks=${place.trunks.join(',')}`],
    ...set(['type=dummy', `options:stream=${JSON.stringify(`unix:${path}`)}`]),
    ...mtu === undefined ? [] : set([`mtu_request=${mtu}`]),
    ...Object.entries(ids).flatMap(([key, value]) =>
      set([`external-ids:${key}=${JSON.stringify(value)}`])),
  ]
}
