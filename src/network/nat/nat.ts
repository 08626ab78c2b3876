/**
 * User-mode NAT: a router to the host's network that needs no privilege, as QEMU's user networking.
 *
 * To guests it is one station with two addresses: the gateway, which leads to the host's loopback,
 * and the resolver, which leads to the host's own. It gives out addresses by DHCP. IPv4 only;
 * fragments are dropped, and of ICMP only echo requests to the station itself are answered, since
 * raw sockets take privilege. What a guest sends can at most cost its own connections.
 */
import { checksum, ipPlaces, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from '../checksum.ts'
import {
  BROADCAST, ETHERTYPE_ARP, ETHERTYPE_IPV4, type Frame, type MacAddress, macAt,
  putU16, u16At, u32At,
} from '../frame.ts'
import { blankChecksum, hasGoodChecksum } from '../offload.ts'
import { readSegment } from '../tcp/segment.ts'
import type { Timers } from '../timers.ts'
import { DHCP_CLIENT_PORT, DHCP_SERVER_PORT, DhcpServer } from './dhcp.ts'
import type { Closable, HostAddress, HostNet } from './host-net.ts'
import {
  ANY, formatIpv4, IPV4_HEADER, type Ipv4Address, ipv4Frame, LIMITED_BROADCAST, PAYLOAD,
} from './ipv4.ts'
import { Neighbors } from './neighbors.ts'
import { type RelayLink, TcpRelay } from './tcp-relay.ts'
import { UDP_HEADER, UdpRelay } from './udp-relay.ts'

export interface NatSettings {
  readonly mac: MacAddress
  readonly network: Ipv4Address
  readonly mask: Ipv4Address
  /** Leads to the host's loopback, and is whom forwarded connections come from. */
  readonly gateway: Ipv4Address
  readonly resolver: Ipv4Address
  readonly firstLease: Ipv4Address
  readonly lastLease: Ipv4Address
  readonly mtu: number
  /** The file to boot by TFTP from the gateway. */
  readonly bootFile?: string | undefined
}

/** A port of the host that leads into a guest. */
export interface Forward {
  readonly protocol: 'tcp' | 'udp'
  readonly hostPort: number
  readonly guestPort: number
}

export interface NatWorld {
  readonly hostNet: HostNet
  readonly timers: Timers
  /** 32 random bits, not to be guessed. */
  random(): number
  /** Sends a frame to the guests' network. */
  send(frame: Frame): void
}

/** Takes a guest's datagram; what it replies comes from the port that the datagram went to. */
export type LocalService = (payload: Uint8Array, from: Place) => void

/** A UDP port of a guest. */
export interface Place {
  readonly address: Ipv4Address
  readonly port: number
}

const HOST_LOOPBACK = '127.0.0.1'
const TCP_IP_HEADERS = 40
const ECHO_REQUEST = 8
const LOOPBACK_NET = 127
const MULTICAST_FIRST = 224

export class Nat {
  readonly #settings: NatSettings
  readonly #world: NatWorld
  readonly #neighbors: Neighbors
  readonly #dhcp: DhcpServer
  readonly #tcp: TcpRelay
  readonly #udp: UdpRelay
  readonly #services = new Map<number, LocalService>()

  constructor(settings: NatSettings, world: NatWorld) {
    this.#settings = settings
    this.#world = world
    const { timers, hostNet } = world
    this.#neighbors = new Neighbors({
      mac: settings.mac, address: settings.gateway,
      isOurs: (address) => this.#isOurs(address),
      isLocal: (address) => this.#isLocal(address),
      transmit: (bytes) => world.send({ bytes }),
    }, timers)
    this.#dhcp = new DhcpServer({
      server: settings.gateway, mask: settings.mask, router: settings.gateway,
      resolver: settings.resolver, first: settings.firstLease, last: settings.lastLease,
      mtu: settings.mtu, bootFile: settings.bootFile,
    })
    const link: RelayLink = {
      timers, largestSegment: settings.mtu - TCP_IP_HEADERS, random: () => world.random(),
      hostAddress: (address, port) => this.#hostAddress(address, port),
      transmit: (...packet) => this.#transmit(...packet),
    }
    this.#tcp = new TcpRelay(link, hostNet)
    this.#udp = new UdpRelay(link, hostNet)
  }

  /** The address that the guest with an Ethernet address has or will be given. */
  addressOf(mac: MacAddress): Ipv4Address | undefined {
    return this.#dhcp.addressOf(mac)
  }

  /** Keeps an address for a guest, if it is of this network; undefined gives it free. */
  reserve(mac: MacAddress, address: Ipv4Address | undefined): void {
    if (address === undefined || this.#isLocal(address) && !this.#isOurs(address)) {
      this.#dhcp.reserve(mac, address)
    }
  }

  /** Leads a port of the host's loopback into the guest that has the Ethernet address. */
  forward(mac: MacAddress, wish: Forward, failed: (error: Error) => void): Closable {
    const { gateway } = this.#settings
    const at: HostAddress = { address: HOST_LOOPBACK, port: wish.hostPort }
    const guest = (): Ipv4Address | undefined => this.#dhcp.addressOf(mac)
    if (wish.protocol === 'udp') {
      return this.#udp.forward(at, gateway, wish.guestPort, guest, failed)
    }
    return this.#world.hostNet.listen(at, (stream) => {
      const address = guest()
      const events = address === undefined
        ? undefined : this.#tcp.forward(stream, gateway, address, wish.guestPort)
      if (events) return events
      stream.destroy()
      return { connected() {}, data() {}, ended() {}, written() {}, closed() {} }
    }, failed)
  }

  /** Has datagrams to one of the gateway's ports answered here, until the result is called. */
  serve(port: number, service: LocalService): () => void {
    this.#services.set(port, service)
    return () => void this.#services.delete(port)
  }

  /** Drops all that a guest had. */
  forget(mac: MacAddress): void {
    for (const address of this.#neighbors.forget(mac)) {
      this.#tcp.forget(address)
      this.#udp.forget(address)
    }
  }

  close(): void {
    this.#tcp.close()
    this.#udp.close()
  }

  /** Takes a frame from the guests' network. */
  input(frame: Frame): void {
    const { bytes } = frame
    const target = macAt(bytes, 0)
    if (target !== this.#settings.mac && target !== BROADCAST) return
    const type = u16At(bytes, 12)
    if (type === ETHERTYPE_ARP) this.#neighbors.input(bytes)
    else if (type === ETHERTYPE_IPV4) this.#inputIp(frame)
  }

  #inputIp(frame: Frame): void {
    const { bytes } = frame
    const places = ipPlaces(bytes)
    if (!places || places.version !== 4) return
    if (checksum(bytes, places.ip, places.transport) !== 0 || !hasGoodChecksum(frame)) return
    const from = u32At(bytes, places.ip + 12) as Ipv4Address
    const to = u32At(bytes, places.ip + 16) as Ipv4Address
    const { transport, end, protocol } = places
    if (protocol === PROTOCOL_UDP && u16At(bytes, transport + 2) === DHCP_SERVER_PORT) {
      if (to === LIMITED_BROADCAST || to === this.#settings.gateway) {
        this.#inputDhcp(bytes.subarray(transport + UDP_HEADER, end))
      }
      return
    }
    // Who has no address of this network cannot be answered.
    if (!this.#isLocal(from) || this.#isOurs(from)) return
    this.#neighbors.learn(from, macAt(bytes, 6))
    if (protocol === PROTOCOL_ICMP) return this.#inputIcmp(bytes, from, to, transport, end)
    if (end - transport < UDP_HEADER) return
    const tuple = {
      guest: from, guestPort: u16At(bytes, transport), peer: to,
      peerPort: u16At(bytes, transport + 2),
    }
    if (protocol === PROTOCOL_TCP) {
      const segment = readSegment(bytes, transport, end)
      if (segment) this.#tcp.input(tuple, segment)
    } else if (protocol === PROTOCOL_UDP) {
      const length = u16At(bytes, transport + 4)
      if (length < UDP_HEADER || transport + length > end) return
      const payload = bytes.subarray(transport + UDP_HEADER, transport + length)
      const service = to === this.#settings.gateway && this.#services.get(tuple.peerPort)
      if (service) service(payload, { address: from, port: tuple.guestPort })
      else this.#udp.input(tuple, payload)
    }
  }

  #inputDhcp(message: Uint8Array): void {
    const reply = this.#dhcp.input(message)
    if (!reply) return
    const { gateway, mac } = this.#settings
    const to = reply.to === LIMITED_BROADCAST ? BROADCAST : reply.mac
    const length = UDP_HEADER + reply.bytes.length
    const bytes = ipv4Frame({ to, from: mac },
      { from: gateway, to: reply.to, protocol: PROTOCOL_UDP }, length)
    writeDatagram(bytes, PAYLOAD, DHCP_SERVER_PORT, DHCP_CLIENT_PORT, reply.bytes)
    blankChecksum(bytes)
    this.#world.send({ bytes, checksumBlank: true })
  }

  /** Sends a datagram from one of the gateway's ports. */
  sendDatagram(fromPort: number, to: Place, payload: Uint8Array): void {
    this.#transmit(this.#settings.gateway, to.address, PROTOCOL_UDP, UDP_HEADER + payload.length,
      (bytes, at) => writeDatagram(bytes, at, fromPort, to.port, payload))
  }

  #inputIcmp(
    bytes: Uint8Array, from: Ipv4Address, to: Ipv4Address, start: number, end: number,
  ): void {
    if (!this.#isOurs(to) || end - start < 8 || bytes[start] !== ECHO_REQUEST) return
    if (checksum(bytes, start, end) !== 0) return
    const echo = bytes.slice(start, end)
    echo[0] = 0
    putU16(echo, 2, 0)
    putU16(echo, 2, checksum(echo, 0, echo.length))
    this.#transmit(to, from, PROTOCOL_ICMP, echo.length, (reply, at) => reply.set(echo, at))
  }

  #transmit(
    from: Ipv4Address, to: Ipv4Address, protocol: number, length: number,
    fill: (bytes: Uint8Array, at: number) => void, segmentSize?: number,
  ): void {
    // A datagram that fits no frame would have to be cut into fragments.
    const { mtu, mac } = this.#settings
    if (segmentSize === undefined && IPV4_HEADER + length > mtu) return
    this.#neighbors.find(to, (target) => {
      const bytes = ipv4Frame({ to: target, from: mac }, { from, to, protocol }, length)
      fill(bytes, PAYLOAD)
      if (protocol === PROTOCOL_ICMP) return this.#world.send({ bytes })
      blankChecksum(bytes)
      this.#world.send(segmentSize === undefined
        ? { bytes, checksumBlank: true } : { bytes, checksumBlank: true, segmentSize })
    })
  }

  #isOurs(address: Ipv4Address): boolean {
    return address === this.#settings.gateway || address === this.#settings.resolver
  }

  #isLocal(address: Ipv4Address): boolean {
    const { network, mask } = this.#settings
    return ((address & mask) >>> 0) === network && address !== network &&
      address !== ((network | ~mask) >>> 0)
  }

  /** Where a guest's destination lies in the host's network. */
  #hostAddress(address: Ipv4Address, port: number): HostAddress | undefined {
    if (address === this.#settings.gateway) return { address: HOST_LOOPBACK, port }
    if (address === this.#settings.resolver) {
      return port === DNS_PORT ? this.#world.hostNet.resolver() : undefined
    }
    const net = address >>> 24
    // The host's loopback has no other door than the gateway, and a group is no peer.
    if (address === ANY || net === 0 || net === LOOPBACK_NET || net >= MULTICAST_FIRST) {
      return undefined
    }
    return this.#isLocal(address) ? undefined : { address: formatIpv4(address), port }
  }
}

const DNS_PORT = 53

function writeDatagram(
  bytes: Uint8Array, at: number, from: number, to: number, payload: Uint8Array,
): void {
  putU16(bytes, at, from)
  putU16(bytes, at + 2, to)
  putU16(bytes, at + 4, UDP_HEADER + payload.length)
  bytes.set(payload, at + UDP_HEADER)
}
