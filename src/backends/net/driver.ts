/**
 * The driver of PV network interfaces: what netback and the hotplug script of a bridge do together.
 *
 * An interface names its bridge in the store; VLANs may follow the name as they do for Open vSwitch
 * ("xenbr0.10", "xenbr0.10:20:30": the VLAN without tags, then those with).
 */
import { Bug } from '../../base/assert.ts'
import type { Log } from '../../base/log.ts'
import type { Bridge, Station } from '../../network/bridge.ts'
import { type Frame, parseMac } from '../../network/frame.ts'
import { parseIpv4 } from '../../network/nat/ipv4.ts'
import type { Forward } from '../../network/nat/nat.ts'
import type { PortOptions, SwitchPort } from '../../network/switch.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { type Backend, BackendBus, BackendError, type DeviceNodes, numberAt } from '../xenbus.ts'
import { NetDevice, type NetDeviceHost, publishFeatures } from './device.ts'

const BRIDGE = /^([^.]+)(?:\.(\d{1,4})?((?::\d{1,4})*))?$/
const VLAN_LIMIT = 4095

/** A bridge's name and the VLANs of a port on it; undefined when `text` is not of that form. */
function parseBridge(text: string): { name: string, options: PortOptions } | undefined {
  const match = BRIDGE.exec(text)
  const name = match?.[1]
  if (name === undefined) return undefined
  const trunks = (match?.[3] ?? '').split(':').slice(1).map(Number)
  const vlan = match?.[2] === undefined ? undefined : Number(match[2])
  const all = vlan === undefined ? trunks : [vlan, ...trunks]
  if (all.some((id) => id < 1 || id >= VLAN_LIMIT)) return undefined
  return { name, options: { ...vlan === undefined ? {} : { vlan }, trunks } }
}

/** "tcp:8080:80", several after one another, as the toolstack writes them. */
function parseForwards(text: string): Forward[] {
  return text.split(' ').flatMap((part) => {
    const match = /^(tcp|udp):(\d{1,5}):(\d{1,5})$/.exec(part)
    return match ? [{
      protocol: match[1] as Forward['protocol'], hostPort: Number(match[2]),
      guestPort: Number(match[3]),
    }] : []
  })
}

export class NetDriver {
  readonly #bus: BackendBus

  /** Serves all interfaces that the store has or will have, on `bridges` by their names. */
  constructor(
    store: XenstoreClient, host: NetDeviceHost, bridges: ReadonlyMap<string, Bridge>, log: Log,
  ) {
    this.#bus = new BackendBus(store, 'vif',
      (nodes, failed) => new Interface(nodes, host, bridges, failed), log)
  }

  close(): void {
    this.#bus.close()
  }
}

/** An interface with its place on a bridge. */
class Interface implements Backend {
  readonly #device: NetDevice
  readonly #station: Station | undefined

  constructor(
    nodes: DeviceNodes, host: NetDeviceHost, bridges: ReadonlyMap<string, Bridge>,
    failed: (why: string) => void,
  ) {
    const { store, backend, frontend } = nodes
    const read = (name: string): string => store.read(`${backend}/${name}`) ?? ''
    const place = parseBridge(read('bridge'))
    const bridge = place && bridges.get(place.name)
    const mac = parseMac(read('mac'))
    const mtu = numberAt(store, `${frontend}/mtu`)
    const options = { ...place?.options, ...mtu === undefined ? {} : { mtu } }
    this.#device = new NetDevice(nodes, host, (deliver) => this.#attach(options, deliver), failed)
    publishFeatures(store, backend)
    try {
      if (!bridge) throw new BackendError(`there is no bridge "${read('bridge')}"`)
      if (mac === undefined) throw new BackendError(`"${read('mac')}" is no Ethernet address`)
      this.#station = bridge.station({
        mac, address: parseIpv4(read('ip')), forwards: parseForwards(read('forward')),
        capture: read('capture') || undefined,
      })
      store.write(`${backend}/hotplug-status`, 'connected')
    } catch (error) {
      if (error instanceof Bug) throw error
      store.write(`${backend}/hotplug-error`, (error as Error).message)
      store.write(`${backend}/hotplug-status`, 'error')
    }
  }

  #attach(options: PortOptions, deliver: (frame: Frame) => void): SwitchPort {
    if (!this.#station) throw new BackendError('the interface is on no bridge')
    return this.#station.attach(options, deliver)
  }

  connect(): void {
    this.#device.connect()
  }

  disconnect(): void {
    this.#device.disconnect()
  }

  remove(): void {
    this.#device.disconnect()
    this.#station?.close()
  }
}
