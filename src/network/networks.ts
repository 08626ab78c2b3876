/**
 * The networks of a host, each interface on the one that its script and bridge name: the built-in
 * bridges, Open vSwitch's, a bridge of the kernel, or none but its routes.
 *
 * VLANs may follow a built-in bridge's name as they do for Open vSwitch ("xenbr0.10",
 * "xenbr0.10:20:30": the VLAN without tags, then those with).
 */
import type { Bridge } from './bridge.ts'
import { type HostBridgeHost, stationOnHostBridge } from './host-bridge.ts'
import { stationOnHostNat, stationOnHostRoute } from './host-route.ts'
import type { OpenVswitch } from './openvswitch.ts'
import type { Networks, Station, StationWish } from './station.ts'
import type { PortOptions } from './switch.ts'

const BRIDGE = /^([^.]+)(?:\.(\d{1,4})?((?::\d{1,4})*))?$/
const VLAN_LIMIT = 4095

export class HostNetworks implements Networks {
  readonly #bridges: ReadonlyMap<string, Bridge>
  readonly #openVswitch: OpenVswitch
  readonly #host: HostBridgeHost

  /** `bridges` are the built-in ones, by their names. */
  constructor(
    bridges: ReadonlyMap<string, Bridge>, openVswitch: OpenVswitch, host: HostBridgeHost,
  ) {
    this.#bridges = bridges
    this.#openVswitch = openVswitch
    this.#host = host
  }

  station(wish: StationWish): Station | Promise<Station> {
    if (wish.script === 'vif-openvswitch') return this.#openVswitch.station(wish)
    if (wish.script === 'vif-nat') return stationOnHostNat(this.#host, wish)
    if (wish.script === 'vif-route') return stationOnHostRoute(this.#host, wish)
    const place = parseBridge(wish.bridge)
    const bridge = place && this.#bridges.get(place.name)
    if (bridge) return bridge.station(wish, place.options)
    return stationOnHostBridge(this.#host, wish)
  }
}

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
