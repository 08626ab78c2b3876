/**
 * A DHCP server for the guests' network (RFC 2131, RFC 2132).
 *
 * An address belongs to an Ethernet address for as long as the server lives, so that a guest finds
 * its own again; reserved ones are given to nobody else. When all are taken, the one whose owner
 * asked longest ago goes to the next.
 */
import { type MacAddress, macAt, putMac, putU16, putU32, u16At, u32At } from '../frame.ts'
import { ANY, type Ipv4Address, LIMITED_BROADCAST } from './ipv4.ts'

export const DHCP_SERVER_PORT = 67
export const DHCP_CLIENT_PORT = 68

export interface DhcpSettings {
  readonly server: Ipv4Address
  readonly mask: Ipv4Address
  readonly router: Ipv4Address
  readonly resolver: Ipv4Address
  readonly first: Ipv4Address
  readonly last: Ipv4Address
  readonly mtu: number
  /** The file to boot from the server by TFTP. */
  readonly bootFile?: string | undefined
}

/** An answer and where it goes. */
export interface DhcpReply {
  readonly bytes: Uint8Array
  readonly mac: MacAddress
  readonly to: Ipv4Address
}

// Fields of a message (RFC 2131 figure 1).
const XID = 4
const FLAGS = 10
const CIADDR = 12
const YIADDR = 16
const SIADDR = 20
const GIADDR = 24
const CHADDR = 28
const FILE = 108
const FILE_LENGTH = 128
const MAGIC_AT = 236
const OPTIONS = 240
const MAGIC = 0x63825363
const BROADCAST_FLAG = 0x8000
/** Some clients refuse a shorter message, from the days of BOOTP. */
const LEAST_LENGTH = 300

const DISCOVER = 1
const OFFER = 2
const REQUEST = 3
const ACKNOWLEDGE = 5
const REFUSE = 6
const RELEASE = 7
const INFORM = 8
const LEASE_SECONDS = 86_400

const OPTION = {
  mask: 1, router: 3, resolver: 6, mtu: 26, requestedAddress: 50, lease: 51, type: 53, server: 54,
  renewal: 58, rebinding: 59, bootFile: 67, end: 255,
} as const

export class DhcpServer {
  readonly #settings: DhcpSettings
  /** The one who asked longest ago first. */
  readonly #leases = new Map<MacAddress, Ipv4Address>()
  readonly #reserved = new Map<MacAddress, Ipv4Address>()

  constructor(settings: DhcpSettings) {
    this.#settings = settings
  }

  /** The address that a guest has or will be given. */
  addressOf(mac: MacAddress): Ipv4Address | undefined {
    return this.#reserved.get(mac) ?? this.#leases.get(mac)
  }

  /** Keeps an address for one guest; undefined gives it free. */
  reserve(mac: MacAddress, address: Ipv4Address | undefined): void {
    if (address === undefined) {
      this.#reserved.delete(mac)
      return
    }
    this.#reserved.set(mac, address)
    for (const [other, lease] of this.#leases) if (lease === address) this.#leases.delete(other)
  }

  /** Answers a message; undefined when there is nothing to say. */
  input(message: Uint8Array): DhcpReply | undefined {
    if (message.length < OPTIONS || u32At(message, MAGIC_AT) !== MAGIC) return undefined
    if (message[0] !== 1 || message[1] !== 1 || message[2] !== 6) return undefined
    const options = readOptions(message)
    const mac = macAt(message, CHADDR)
    const { server } = this.#settings
    const chosen = addressIn(options.get(OPTION.server))
    switch (options.get(OPTION.type)?.[0]) {
      case DISCOVER: {
        const address = this.#offer(mac, addressIn(options.get(OPTION.requestedAddress)))
        return address === undefined ? undefined : this.#reply(message, mac, OFFER, address)
      }
      case REQUEST: {
        if (chosen !== undefined && chosen !== server) return undefined
        const own = u32At(message, CIADDR) as Ipv4Address
        const wanted = own === ANY ? addressIn(options.get(OPTION.requestedAddress)) : own
        const address = this.#offer(mac, wanted)
        if (address === undefined || wanted !== address) return this.#reply(message, mac, REFUSE)
        return this.#reply(message, mac, ACKNOWLEDGE, address)
      }
      case RELEASE:
        this.#leases.delete(mac)
        return undefined
      case INFORM:
        return this.#reply(message, mac, ACKNOWLEDGE)
      default:
        return undefined
    }
  }

  /** The address for a guest: its own, the one it wishes, or any that is free. */
  #offer(mac: MacAddress, wish: Ipv4Address | undefined): Ipv4Address | undefined {
    const known = this.addressOf(mac)
    const address = known ?? this.#free(wish) ?? this.#oldest()
    if (address === undefined) return undefined
    this.#leases.delete(mac)
    this.#leases.set(mac, address)
    return address
  }

  #free(wish: Ipv4Address | undefined): Ipv4Address | undefined {
    const { first, last } = this.#settings
    const taken = new Set([...this.#leases.values(), ...this.#reserved.values()])
    if (wish !== undefined && wish >= first && wish <= last && !taken.has(wish)) return wish
    for (let address = first; address <= last; address++) {
      if (!taken.has(address as Ipv4Address)) return address as Ipv4Address
    }
    return undefined
  }

  #oldest(): Ipv4Address | undefined {
    for (const [mac, address] of this.#leases) {
      if (this.#reserved.has(mac)) continue
      this.#leases.delete(mac)
      return address
    }
    return undefined
  }

  #reply(
    request: Uint8Array, mac: MacAddress, type: number, address?: Ipv4Address,
  ): DhcpReply {
    const { server, bootFile } = this.#settings
    const options = this.#options(type, address !== undefined)
    const bytes = new Uint8Array(Math.max(LEAST_LENGTH, OPTIONS + options.length))
    bytes.set([2, 1, 6, 0])
    bytes.set(request.subarray(XID, XID + 4), XID)
    putU16(bytes, FLAGS, u16At(request, FLAGS))
    const own = type === REFUSE ? ANY : u32At(request, CIADDR) as Ipv4Address
    putU32(bytes, CIADDR, own)
    putU32(bytes, YIADDR, address ?? ANY)
    putU32(bytes, SIADDR, type === REFUSE ? ANY : server)
    bytes.set(request.subarray(GIADDR, GIADDR + 4), GIADDR)
    putMac(bytes, CHADDR, mac)
    if (bootFile !== undefined && type !== REFUSE) {
      bytes.set(new TextEncoder().encode(bootFile).subarray(0, FILE_LENGTH - 1), FILE)
    }
    putU32(bytes, MAGIC_AT, MAGIC)
    bytes.set(options, OPTIONS)
    const broadcast = u16At(request, FLAGS) & BROADCAST_FLAG || type === REFUSE
    const to = own !== ANY ? own : broadcast || address === undefined ? LIMITED_BROADCAST : address
    return { bytes, mac, to }
  }

  #options(type: number, leased: boolean): Uint8Array {
    const { server, mask, router, resolver, mtu, bootFile } = this.#settings
    const bytes: number[] = [OPTION.type, 1, type]
    const put = (option: number, value: number, size: 2 | 4): void => {
      const field = new Uint8Array(size)
      if (size === 2) putU16(field, 0, value)
      else putU32(field, 0, value)
      bytes.push(option, size, ...field)
    }
    put(OPTION.server, server, 4)
    if (type !== REFUSE) {
      if (leased) {
        put(OPTION.lease, LEASE_SECONDS, 4)
        put(OPTION.renewal, LEASE_SECONDS / 2, 4)
        put(OPTION.rebinding, LEASE_SECONDS * 7 / 8, 4)
      }
      put(OPTION.mask, mask, 4)
      put(OPTION.router, router, 4)
      put(OPTION.resolver, resolver, 4)
      put(OPTION.mtu, mtu, 2)
      if (bootFile !== undefined) {
        const name = new TextEncoder().encode(bootFile).subarray(0, 255)
        bytes.push(OPTION.bootFile, name.length, ...name)
      }
    }
    bytes.push(OPTION.end)
    return Uint8Array.from(bytes)
  }
}

function readOptions(message: Uint8Array): Map<number, Uint8Array> {
  const options = new Map<number, Uint8Array>()
  for (let at = OPTIONS; at < message.length;) {
    const code = message[at++] ?? OPTION.end
    if (code === 0) continue
    if (code === OPTION.end) break
    const length = message[at++] ?? 0
    if (at + length > message.length) break
    options.set(code, message.subarray(at, at + length))
    at += length
  }
  return options
}

function addressIn(option: Uint8Array | undefined): Ipv4Address | undefined {
  return option?.length === 4 ? u32At(option, 0) as Ipv4Address : undefined
}
