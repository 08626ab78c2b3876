/**
 * The driver of PV network interfaces: what netback does, and libxl with a hotplug script. Where an
 * interface is plugged in is for the networks of the host to say.
 */
import { Bug } from '../../base/assert.ts'
import type { Log } from '../../base/log.ts'
import { type Frame, parseMac } from '../../network/frame.ts'
import { parseIpv4 } from '../../network/nat/ipv4.ts'
import type { Forward } from '../../network/nat/nat.ts'
import type { Networks, Station, StationWish } from '../../network/station.ts'
import type { PortOptions, SwitchPort } from '../../network/switch.ts'
import type { XenstoreClient } from '../../xenstore/client.ts'
import { domainPath } from '../../xenstore/path.ts'
import { type Backend, BackendBus, BackendError, type DeviceNodes, numberAt } from '../xenbus.ts'
import { type NetCounters, NetDevice, type NetDeviceHost, publishFeatures } from './device.ts'

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

/** What an interface's nodes ask for; throws BackendError when they make no sense. */
function wishOf({ store, backend, frontend, domid, devid }: DeviceNodes): StationWish {
  const read = (name: string): string => store.read(`${backend}/${name}`) ?? ''
  const mac = parseMac(read('mac'))
  if (mac === undefined) throw new BackendError(`"${read('mac')}" is no Ethernet address`)
  const vm = store.read(`${domainPath(domid)}/vm`) ?? ''
  return {
    script: read('script').split('/').at(-1) ?? '', bridge: read('bridge'),
    device: read('vifname') || `vif${domid}.${devid}`, mac,
    mtu: numberAt(store, `${frontend}/mtu`), address: parseIpv4(read('ip')),
    addresses: read('ip').split(/\s+/).filter((word) => word !== ''),
    gatewayDevice: read('gatewaydev') || undefined,
    forwards: parseForwards(read('forward')), capture: read('capture') || undefined,
    owner: { name: store.read(`${vm}/name`) ?? '', uuid: store.read(`${vm}/uuid`) ?? '' },
    domid, devid,
  }
}

export class NetDriver {
  readonly #bus: BackendBus
  readonly #interfaces = new Set<Interface>()

  /** Serves all interfaces that the store has or will have. */
  constructor(store: XenstoreClient, host: NetDeviceHost, networks: Networks, log: Log) {
    this.#bus = new BackendBus(store, 'vif',
      (nodes, failed) => this.#probe(nodes, host, networks, failed), log)
  }

  #probe(
    nodes: DeviceNodes, host: NetDeviceHost, networks: Networks, failed: (why: string) => void,
  ): Backend {
    const made: Interface = new Interface(nodes, host, networks, failed,
      () => this.#interfaces.delete(made))
    this.#interfaces.add(made)
    return made
  }

  /** What went through a domain's interfaces, in the order of their numbers. */
  counters(domid: number): NetCounters[] {
    return [...this.#interfaces].filter(({ nodes }) => nodes.domid as number === domid)
      .sort((a, b) => a.nodes.devid - b.nodes.devid).map(({ counters }) => counters)
  }

  close(): void {
    this.#bus.close()
  }
}

/** An interface with its place on a network. */
class Interface implements Backend {
  readonly nodes: DeviceNodes
  readonly #device: NetDevice
  #station: Station | undefined
  #isRemoved = false
  readonly #removed: () => void

  constructor(
    nodes: DeviceNodes, host: NetDeviceHost, networks: Networks, failed: (why: string) => void,
    removed: () => void,
  ) {
    this.nodes = nodes
    this.#removed = removed
    const mtu = numberAt(nodes.store, `${nodes.frontend}/mtu`)
    const options: PortOptions = mtu === undefined ? {} : { mtu }
    this.#device = new NetDevice(nodes, host, (deliver) => this.#attach(options, deliver), failed)
    publishFeatures(nodes.store, nodes.backend)
    try {
      const station = networks.station(wishOf(nodes))
      if (station instanceof Promise) void station.then((it) => this.#plugged(it), this.#refused)
      else this.#plugged(station)
    } catch (error) {
      this.#refused(error)
    }
  }

  #plugged(station: Station): void {
    if (this.#isRemoved) return station.close()
    this.#station = station
    this.nodes.store.write(`${this.nodes.backend}/hotplug-status`, 'connected')
  }

  readonly #refused = (error: unknown): void => {
    if (error instanceof Bug || !(error instanceof Error)) throw error
    if (this.#isRemoved) return
    const { store, backend } = this.nodes
    store.write(`${backend}/hotplug-error`, error.message)
    store.write(`${backend}/hotplug-status`, 'error')
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

  get counters(): NetCounters {
    return this.#device.counters
  }

  remove(): void {
    this.#isRemoved = true
    this.#removed()
    this.#device.disconnect()
    this.#station?.close()
  }
}
