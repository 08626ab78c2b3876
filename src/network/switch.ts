/**
 * A learning Ethernet switch with VLANs, as the built-in bridges are.
 *
 * Obeys IEEE 802.1Q where it says how frames are tagged, learned and forwarded, as far as an end
 * user's switch needs it. Left out: spanning tree, priorities, double tags. What one port may cost
 * is bounded: the addresses learned from it and the multicast groups it asks for.
 */
import {
  ETHERNET_HEADER, ETHERTYPE_VLAN, type Frame, isMulticast, type MacAddress, macAt, type Port,
  putU16, u16At,
} from './frame.ts'
import { MulticastFilter } from './multicast.ts'
import { wireFrames } from './offload.ts'

/** The VLANs of a port. Without any, the port is an access port of VLAN 1. */
export interface PortOptions {
  /** The VLAN of frames without a tag. */
  readonly vlan?: number
  /** VLANs whose frames go in and out with their tag. */
  readonly trunks?: readonly number[]
  /** The largest payload that is sent to this port, and taken from it. */
  readonly mtu?: number
  /** Is shown each frame that goes in or out, as it would look on a wire. */
  readonly mirror?: ((bytes: Uint8Array) => void) | undefined
}

/** A port as whoever is plugged in has it. */
export interface SwitchPort extends Port {
  /** From now on multicast comes only for groups that were asked for. */
  controlMulticast(): void
  /** Asks for a group; false when it asks for too many. */
  addGroup(group: MacAddress): boolean
  removeGroup(group: MacAddress): void
  close(): void
}

const DEFAULT_VLAN = 1
const AGE_MS = 300_000
const ADDRESSES_A_PORT = 64
const TAG = 4

interface Outlet {
  readonly options: PortOptions
  readonly vlan: number
  readonly trunks: ReadonlySet<number>
  readonly deliver: (frame: Frame) => void
  readonly multicast: MulticastFilter
  learned: number
}

interface Learned {
  readonly outlet: Outlet
  readonly seenMs: number
}

export class Switch {
  readonly #now: () => number
  readonly #outlets = new Set<Outlet>()
  /** By VLAN, then by address, in the order in which they were last seen. */
  readonly #tables = new Map<number, Map<MacAddress, Learned>>()

  /** `now` gives milliseconds. */
  constructor(now: () => number) {
    this.#now = now
  }

  /** How many addresses are known. */
  get addressCount(): number {
    let count = 0
    for (const table of this.#tables.values()) count += table.size
    return count
  }

  /** Plugs in a cable; `deliver` is called for each frame that comes out. */
  attach(options: PortOptions, deliver: (frame: Frame) => void): SwitchPort {
    const outlet: Outlet = {
      options, vlan: options.vlan ?? DEFAULT_VLAN, trunks: new Set(options.trunks), deliver,
      multicast: new MulticastFilter(), learned: 0,
    }
    this.#outlets.add(outlet)
    return {
      send: (frame) => {
        if (this.#outlets.has(outlet)) this.#forward(outlet, frame)
      },
      controlMulticast: () => outlet.multicast.control(),
      addGroup: (group) => outlet.multicast.add(group),
      removeGroup: (group) => outlet.multicast.remove(group),
      close: () => this.#detach(outlet),
    }
  }

  #detach(outlet: Outlet): void {
    this.#outlets.delete(outlet)
    for (const table of this.#tables.values()) {
      for (const [mac, entry] of table) if (entry.outlet === outlet) table.delete(mac)
    }
  }

  #forward(from: Outlet, frame: Frame): void {
    if (frame.bytes.length < ETHERNET_HEADER || !fitsMtu(from.options.mtu, frame)) return
    const tagged = u16At(frame.bytes, 12) === ETHERTYPE_VLAN
    if (tagged && frame.bytes.length < ETHERNET_HEADER + TAG) return
    const tag = tagged ? u16At(frame.bytes, 14) & 0xfff : 0
    const vlan = tag === 0 ? from.vlan : tag
    // An access port has no business with tags.
    if (tag !== 0 && !from.trunks.has(tag)) return
    const source = macAt(frame.bytes, 6)
    if (isMulticast(source)) return
    mirror(from, frame)
    const plain = tagged ? withoutTag(frame) : frame
    this.#learn(from, vlan, source)
    const target = macAt(frame.bytes, 0)
    const known = isMulticast(target) ? undefined : this.#lookUp(vlan, target)
    if (known) {
      if (known !== from) this.#deliver(known, plain, vlan)
      return
    }
    for (const outlet of [...this.#outlets]) {
      if (outlet !== from && outlet.multicast.wants(target)) this.#deliver(outlet, plain, vlan)
    }
  }

  #deliver(outlet: Outlet, plain: Frame, vlan: number): void {
    if (!fitsMtu(outlet.options.mtu, plain)) return
    const isOwn = vlan === outlet.vlan
    if (!isOwn && !outlet.trunks.has(vlan)) return
    const frame = isOwn ? plain : withTag(plain, vlan)
    mirror(outlet, frame)
    outlet.deliver(frame)
  }

  #learn(outlet: Outlet, vlan: number, source: MacAddress): void {
    let table = this.#tables.get(vlan)
    if (!table) this.#tables.set(vlan, table = new Map())
    const known = table.get(source)
    if (known?.outlet !== outlet) {
      if (outlet.learned >= ADDRESSES_A_PORT) this.#forgetOldest(outlet)
      if (known) known.outlet.learned--
      outlet.learned++
    }
    table.delete(source)
    table.set(source, { outlet, seenMs: this.#now() })
  }

  #forgetOldest(outlet: Outlet): void {
    for (const table of this.#tables.values()) {
      for (const [mac, entry] of table) {
        if (entry.outlet !== outlet) continue
        table.delete(mac)
        outlet.learned--
        return
      }
    }
  }

  #lookUp(vlan: number, target: MacAddress): Outlet | undefined {
    const table = this.#tables.get(vlan)
    const entry = table?.get(target)
    if (!table || !entry) return undefined
    if (this.#now() - entry.seenMs <= AGE_MS) return entry.outlet
    entry.outlet.learned--
    table.delete(target)
    return undefined
  }
}

function mirror({ options }: Outlet, frame: Frame): void {
  if (options.mirror) for (const { bytes } of wireFrames(frame)) options.mirror(bytes)
}

/** Large frames are cut by whoever takes them, so only their pieces must fit. */
export function fitsMtu(mtu: number | undefined, frame: Frame): boolean {
  if (mtu === undefined || frame.segmentSize !== undefined) return true
  return frame.bytes.length <= mtu + ETHERNET_HEADER + TAG
}

function withoutTag(frame: Frame): Frame {
  const bytes = new Uint8Array(frame.bytes.length - TAG)
  bytes.set(frame.bytes.subarray(0, 12))
  bytes.set(frame.bytes.subarray(12 + TAG), 12)
  return { ...frame, bytes }
}

function withTag(frame: Frame, vlan: number): Frame {
  const bytes = new Uint8Array(frame.bytes.length + TAG)
  bytes.set(frame.bytes.subarray(0, 12))
  putU16(bytes, 12, ETHERTYPE_VLAN)
  putU16(bytes, 14, vlan)
  bytes.set(frame.bytes.subarray(12), 12 + TAG)
  return { ...frame, bytes }
}
