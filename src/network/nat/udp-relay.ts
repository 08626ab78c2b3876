/**
 * UDP of guests over sockets of the host: one socket for each of a guest's ports, which answers
 * from anywhere reach; and ports of the host that lead into a guest.
 *
 * Flows that nobody uses end after a while, and when there are too many the idlest goes first.
 */
import { PROTOCOL_UDP } from '../checksum.ts'
import { putU16 } from '../frame.ts'
import type { Closable, HostAddress, HostNet, HostUdp } from './host-net.ts'
import type { Ipv4Address } from './ipv4.ts'
import type { FourTuple, RelayLink } from './tcp-relay.ts'

export const UDP_HEADER = 8
const FLOWS_KEPT = 512
const PEERS_KEPT = 64
const IDLE_MS = 60_000
const SWEEP_MS = 10_000
const FIRST_PORT = 49_152
const PORT_COUNT = 0x1_0000 - FIRST_PORT

interface Place {
  readonly address: Ipv4Address
  readonly port: number
}

/** A guest's port, or a client of a forwarded one. */
interface Flow {
  readonly guest: Ipv4Address
  readonly socket: HostUdp
  /** As whom the guest knows those of the host's network that it spoke to. */
  readonly peers: Map<string, Place>
  usedMs: number
  /** Where what the guest sends goes, for a forwarded port; else it depends on the packet. */
  readonly client?: HostAddress
  end(): void
}

export class UdpRelay {
  readonly #link: RelayLink
  readonly #hostNet: HostNet
  /** In the order of their last use. */
  readonly #flows = new Map<string, Flow>()
  #cancelSweep: (() => void) | undefined
  #nextPort = 0

  constructor(link: RelayLink, hostNet: HostNet) {
    this.#link = link
    this.#hostNet = hostNet
  }

  get flowCount(): number {
    return this.#flows.size
  }

  /** Takes a guest's datagram. */
  input(tuple: FourTuple, payload: Uint8Array): void {
    const { guest, guestPort, peer, peerPort } = tuple
    const forwarded = this.#flows.get(forwardKey(guest, guestPort, peerPort))
    if (forwarded?.client) {
      this.#touch(forwardKey(guest, guestPort, peerPort), forwarded)
      forwarded.socket.send(payload, forwarded.client)
      return
    }
    const target = this.#link.hostAddress(peer, peerPort, PROTOCOL_UDP)
    if (!target) return
    const key = `${guest}:${guestPort}`
    const flow = this.#flows.get(key) ?? this.#open(key, guest, guestPort)
    this.#touch(key, flow)
    const peerKey = hostKey(target)
    flow.peers.delete(peerKey)
    if (flow.peers.size >= PEERS_KEPT) {
      for (const oldest of flow.peers.keys()) {
        flow.peers.delete(oldest)
        break
      }
    }
    flow.peers.set(peerKey, { address: peer, port: peerPort })
    flow.socket.send(payload, target)
  }

  #open(key: string, guest: Ipv4Address, guestPort: number): Flow {
    const flow: Flow = {
      guest, peers: new Map(), usedMs: 0,
      socket: this.#hostNet.openUdp(undefined, (bytes, from) => {
        // Only whom the guest spoke to may answer, as with most home routers.
        const place = flow.peers.get(hostKey(from))
        if (place) this.#send(place, guest, guestPort, bytes)
      }, () => this.#end(key)),
      end: () => flow.socket.close(),
    }
    return flow
  }

  /** Leads a port of the host into a guest, as whose peer `gateway` appears. */
  forward(
    at: HostAddress, gateway: Ipv4Address, guestPort: number,
    guestNow: () => Ipv4Address | undefined, failed: (error: Error) => void,
  ): Closable {
    const clients = new Map<string, number>()
    const socket = this.#hostNet.openUdp(at, (bytes, from) => {
      const guest = guestNow()
      if (guest === undefined) return
      const client = hostKey(from)
      let port = clients.get(client)
      let key = port === undefined ? '' : forwardKey(guest, guestPort, port)
      let flow = this.#flows.get(key)
      if (port === undefined || !flow) {
        port = FIRST_PORT + this.#nextPort++ % PORT_COUNT
        key = forwardKey(guest, guestPort, port)
        if (this.#flows.has(key)) return
        clients.set(client, port)
        flow = {
          guest, socket, peers: new Map(), usedMs: 0, client: from,
          end: () => void clients.delete(client),
        }
      }
      this.#touch(key, flow)
      this.#send({ address: gateway, port }, guest, guestPort, bytes)
    }, failed)
    return {
      close: () => {
        for (const [key, flow] of [...this.#flows]) if (flow.socket === socket) this.#end(key)
        socket.close()
      },
    }
  }

  forget(guest: Ipv4Address): void {
    for (const [key, flow] of [...this.#flows]) if (flow.guest === guest) this.#end(key)
  }

  close(): void {
    for (const key of [...this.#flows.keys()]) this.#end(key)
  }

  #send(from: Place, guest: Ipv4Address, guestPort: number, payload: Uint8Array): void {
    const length = UDP_HEADER + payload.length
    this.#link.transmit(from.address, guest, PROTOCOL_UDP, length, (bytes, at) => {
      putU16(bytes, at, from.port)
      putU16(bytes, at + 2, guestPort)
      putU16(bytes, at + 4, length)
      bytes.set(payload, at + UDP_HEADER)
    })
  }

  #touch(key: string, flow: Flow): void {
    flow.usedMs = this.#link.timers.now()
    this.#flows.delete(key)
    this.#flows.set(key, flow)
    if (this.#flows.size > FLOWS_KEPT) {
      for (const idlest of this.#flows.keys()) {
        this.#end(idlest)
        break
      }
    }
    this.#cancelSweep ??= this.#link.timers.after(SWEEP_MS, () => this.#sweep())
  }

  #sweep(): void {
    const now = this.#link.timers.now()
    for (const [key, flow] of [...this.#flows]) {
      if (now - flow.usedMs >= IDLE_MS) this.#end(key)
    }
    this.#cancelSweep = this.#flows.size === 0
      ? undefined : this.#link.timers.after(SWEEP_MS, () => this.#sweep())
  }

  #end(key: string): void {
    const flow = this.#flows.get(key)
    this.#flows.delete(key)
    flow?.end()
    if (this.#flows.size > 0) return
    this.#cancelSweep?.()
    this.#cancelSweep = undefined
  }
}

function hostKey({ address, port }: HostAddress): string {
  return `${address} ${port}`
}

function forwardKey(guest: Ipv4Address, guestPort: number, port: number): string {
  return `${guest}:${guestPort}<${port}`
}
