/**
 * Open vSwitch as a bridge: what Xen's hotplug script vif-openvswitch does, with its names, VLANs
 * and external ids. Obeys ovs-vsctl(8) and ovs-vswitchd.conf.db(5).
 *
 * The script adds a network device that the kernel's netback made. Here the other end of a port is
 * this process: a stream to a device of type "dummy", where the switch offers that type and has the
 * bridge in user space, so that nobody needs a privilege; else a TAP device.
 */
import { type Capture, type CaptureWorld, startCapture } from './capture.ts'
import { outputOf } from './command.ts'
import {
  checkDevice, type DeviceHost, openDevice, refuseForwards, setUpDevice,
} from './device-wire.ts'
import { formatMac, type Frame } from './frame.ts'
import { NetworkError, type Station, type StationWish } from './station.ts'
import { Uplink, type Wire } from './uplink.ts'

const PATIENCE = '--timeout=30'
const CONNECT_MS = 10_000
const BRIDGE = /^([^.:]+)(?:\.(\d+))?(?::(\d+(?::\d+)*))?$/

/** A wire whose other end is found by a path, and is up once somebody connects there. */
export interface StreamWire extends Wire {
  readonly path: string
  readonly connected: Promise<void>
}

export interface OpenVswitchHost extends CaptureWorld, DeviceHost {
  /** Waits for a stream of frames. */
  listenForFrames(name: string, receive: (frame: Frame) => void): Promise<StreamWire>
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
    const place = parsePlace(wish.bridge)
    if (!place) throw new NetworkError('No valid bridge was specified')
    checkDevice(wish.device)
    refuseForwards(wish)
    const takesStreams = await this.#takesStreams(place.bridge)
    const capture = wish.capture === undefined ? undefined : startCapture(this.#host, wish.capture)
    return this.#connect(wish, place, takesStreams, capture)
  }

  async #connect(
    wish: StationWish, place: Place, takesStreams: boolean, capture: Capture | undefined,
  ): Promise<Station> {
    const { device } = wish
    const uplink = new Uplink(capture, () => void this.#inOrder(() => this.#remove(device)))
    try {
      if (takesStreams) await this.#connectStream(wish, place, uplink)
      else await this.#connectDevice(wish, place, uplink)
      return uplink
    } catch (error) {
      uplink.close()
      throw error
    }
  }

  async #connectStream(wish: StationWish, place: Place, uplink: Uplink): Promise<void> {
    const wire = await this.#host.listenForFrames(wish.device, (frame) => uplink.receive(frame))
    uplink.plug(wire)
    const stream = `options:stream=${JSON.stringify(`unix:${wire.path}`)}`
    await this.#vsctl(portCommand(wish, place, ['type=dummy', stream]))
    await this.#mustConnect(wire)
  }

  async #connectDevice(wish: StationWish, place: Place, uplink: Uplink): Promise<void> {
    uplink.plug(openDevice(this.#host, wish.device, (frame) => uplink.receive(frame)))
    await this.#vsctl(portCommand(wish, place, []))
    await setUpDevice(this.#host, wish.device, [])
  }

  /** Whether a bridge's ports may be streams; else they are devices of the host. */
  async #takesStreams(bridge: string): Promise<boolean> {
    const answer = await this.#vsctl([
      'get', 'bridge', bridge, 'datapath_type', '--', 'get', 'Open_vSwitch', '.', 'iface_types',
    ])
    const [datapath = '', types = ''] = answer.split('\n')
    return /^"?(dummy|netdev)"?$/.test(datapath) && /\bdummy\b/.test(types)
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

  #vsctl(words: readonly string[]): Promise<string> {
    return outputOf(this.#host, 'ovs-vsctl', [PATIENCE, ...words])
  }
}

/** The words that make a port anew; `type` says what its device is. */
function portCommand(wish: StationWish, place: Place, type: readonly string[]): string[] {
  const { device, mac, mtu, owner } = wish
  const set = (words: readonly string[]): string[] => ['--', 'set', 'interface', device, ...words]
  const ids = {
    'xen-vm-name': owner.name, 'xen-vm-uuid': owner.uuid, 'attached-mac': formatMac(mac),
  }
  return [
    '--', '--if-exists', 'del-port', device, '--', 'add-port', place.bridge, device,
    ...place.tag === undefined ? [] : [`tag=${place.tag}`],
    ...place.trunks.length === 0 ? [] : [`trunks=${place.trunks.join(',')}`],
    ...type.length === 0 ? [] : set(type),
    ...mtu === undefined ? [] : set([`mtu_request=${mtu}`]),
    ...Object.entries(ids).flatMap(([key, value]) =>
      set([`external-ids:${key}=${JSON.stringify(value)}`])),
  ]
}
