/**
 * A guest's interface on a network: what it asks for, and the place that it gets.
 */
import type { Frame, MacAddress } from './frame.ts'
import type { Ipv4Address } from './nat/ipv4.ts'
import type { Forward } from './nat/nat.ts'
import type { PortOptions, SwitchPort } from './switch.ts'

/** A guest's interface, as its nodes in the store have it. */
export interface StationWish {
  /** The hotplug script's name, without its folder. */
  readonly script: string
  /** What stands for the bridge: its name, and perhaps VLANs. */
  readonly bridge: string
  /** The name of the interface on the host's side: "vif1.0". */
  readonly device: string
  readonly mac: MacAddress
  readonly mtu: number | undefined
  readonly address: Ipv4Address | undefined
  /** All that it has, networks too ("10.1.0.0/24"). */
  readonly addresses: readonly string[]
  /** Through which device of the host's it is routed, if it says so. */
  readonly gatewayDevice: string | undefined
  readonly forwards: readonly Forward[]
  /** A file for all frames that the interface sends and gets. */
  readonly capture: string | undefined
  /** Whose interface it is. */
  readonly owner: { readonly name: string, readonly uuid: string }
  /** The number of its domain, and its own there. */
  readonly domid: number
  readonly devid: number
}

export interface Station {
  /** Plugs in, as often as the guest connects. */
  attach(options: PortOptions, deliver: (frame: Frame) => void): SwitchPort
  /** The interface is gone, with all that was for it. */
  close(): void
}

/** An interface cannot have the place that it asks for. */
export class NetworkError extends Error {
  override readonly name = 'NetworkError'
}

/** The networks that interfaces can be on; who has none for one throws NetworkError. */
export interface Networks {
  station(wish: StationWish): Station | Promise<Station>
}
