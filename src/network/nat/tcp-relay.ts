/**
 * TCP of guests, ended here and carried on over sockets of the host.
 *
 * A guest's SYN is answered once the host's connection is there, so that the guest learns what it
 * would have learned without us. Bytes wait on one side only as long as the other has no room.
 */
import { PROTOCOL_TCP } from '../checksum.ts'
import { TcpConnection, type TcpOwner } from '../tcp/connection.ts'
import {
  ACK, FIN, NO_BYTES, RST, type Segment, segmentLength, SYN, writeSegment,
} from '../tcp/segment.ts'
import { advance } from '../tcp/sequence.ts'
import type { Timers } from '../timers.ts'
import type { HostAddress, HostNet, HostStream, HostStreamEvents } from './host-net.ts'
import type { Ipv4Address } from './ipv4.ts'

const CONNECTIONS_KEPT = 2048
/** With more connections than these each has less, so that all they keep is bounded. */
const ROOMY_CONNECTIONS = 256
const SMALL_BUFFER_BYTES = 128 * 1024
const FIRST_PORT = 49_152
const PORT_COUNT = 0x1_0000 - FIRST_PORT

/** Both ends of a connection as the guest sees them. */
export interface FourTuple {
  readonly guest: Ipv4Address
  readonly guestPort: number
  readonly peer: Ipv4Address
  readonly peerPort: number
}

/** What the relay needs of the network it is on. */
export interface RelayLink {
  readonly timers: Timers
  /** The largest payload of a segment that fits a frame. */
  readonly largestSegment: number
  random(): number
  /** Where in the host's network a guest's destination lies; undefined where it may not go. */
  hostAddress(address: Ipv4Address, port: number, protocol: number): HostAddress | undefined
  /** Sends a packet to a guest; `fill` writes its payload of `length` bytes at an offset. */
  transmit(
    from: Ipv4Address, to: Ipv4Address, protocol: number, length: number,
    fill: (bytes: Uint8Array, at: number) => void, segmentSize?: number,
  ): void
}

interface Entry {
  readonly tuple: FourTuple
  /** Missing while the host's connection is being made. */
  connection: TcpConnection | undefined
  drop(): void
}

export class TcpRelay {
  readonly #link: RelayLink
  readonly #hostNet: HostNet
  readonly #entries = new Map<string, Entry>()
  #nextPort = 0

  constructor(link: RelayLink, hostNet: HostNet) {
    this.#link = link
    this.#hostNet = hostNet
  }

  get connectionCount(): number {
    return this.#entries.size
  }

  /** What a new connection may keep; less when there are many. */
  get #bufferBytes(): number | undefined {
    return this.#entries.size < ROOMY_CONNECTIONS ? undefined : SMALL_BUFFER_BYTES
  }

  /** Takes a guest's segment. */
  input(tuple: FourTuple, segment: Segment): void {
    const entry = this.#entries.get(keyOf(tuple))
    if (entry) {
      entry.connection?.input(segment)
      return
    }
    if ((segment.flags & (SYN | ACK | RST | FIN)) === SYN) this.#open(tuple, segment)
    else this.#refuse(tuple, segment)
  }

  /** Opens a connection to a guest's port for a stream that the host accepted. */
  forward(
    stream: HostStream, peer: Ipv4Address, guest: Ipv4Address, guestPort: number,
  ): HostStreamEvents | undefined {
    const peerPort = this.#freePort(peer, guest, guestPort)
    if (peerPort === undefined || this.#entries.size >= CONNECTIONS_KEPT) return undefined
    const bridge = new Bridge(this, { guest, guestPort, peer, peerPort }, stream)
    const { timers, largestSegment, random } = this.#link
    bridge.connection = TcpConnection.connect(
      random(), largestSegment, timers, bridge, this.#bufferBytes)
    this.#entries.set(keyOf(bridge.tuple), bridge)
    return bridge.events
  }

  /** Breaks the connections of a guest that is gone. */
  forget(guest: Ipv4Address): void {
    for (const entry of [...this.#entries.values()]) {
      if (entry.tuple.guest === guest) entry.drop()
    }
  }

  /** Breaks all connections. */
  close(): void {
    for (const entry of [...this.#entries.values()]) entry.drop()
  }

  #open(tuple: FourTuple, syn: Segment): void {
    const { timers, largestSegment } = this.#link
    const target = this.#link.hostAddress(tuple.peer, tuple.peerPort, PROTOCOL_TCP)
    if (!target || this.#entries.size >= CONNECTIONS_KEPT) return this.#refuse(tuple, syn)
    let bridge: Bridge | undefined
    const stream = this.#hostNet.connect(target, {
      connected: () => {
        if (!bridge) return
        bridge.connection = TcpConnection.accept(
          syn, this.#link.random(), largestSegment, timers, bridge, this.#bufferBytes)
      },
      data: (bytes) => bridge?.events.data(bytes),
      ended: () => bridge?.events.ended(),
      written: (count) => bridge?.events.written(count),
      closed: (broken) => {
        if (bridge && !bridge.connection) this.#refuse(tuple, syn)
        bridge?.events.closed(broken)
      },
    })
    bridge = new Bridge(this, tuple, stream)
    this.#entries.set(keyOf(tuple), bridge)
  }

  remove(tuple: FourTuple): void {
    this.#entries.delete(keyOf(tuple))
  }

  transmit(tuple: FourTuple, segment: Segment, largest: number): void {
    const { guest, guestPort, peer, peerPort } = tuple
    const size = segment.payload.length > largest ? largest : undefined
    this.#link.transmit(peer, guest, PROTOCOL_TCP, segmentLength(segment),
      (bytes, at) => writeSegment(bytes, at, peerPort, guestPort, segment), size)
  }

  /** RST to a segment that belongs to no connection (RFC 9293 section 3.10.7.1). */
  #refuse(tuple: FourTuple, segment: Segment): void {
    const { flags, sequence, acknowledgment, payload } = segment
    if (flags & RST) return
    const length = payload.length + (flags & SYN ? 1 : 0) + (flags & FIN ? 1 : 0)
    this.transmit(tuple, flags & ACK
      ? { sequence: acknowledgment, acknowledgment: 0, flags: RST, window: 0, payload: NO_BYTES }
      : {
        sequence: 0, acknowledgment: advance(sequence, length), flags: RST | ACK, window: 0,
        payload: NO_BYTES,
      }, Number.MAX_SAFE_INTEGER)
  }

  #freePort(peer: Ipv4Address, guest: Ipv4Address, guestPort: number): number | undefined {
    for (let i = 0; i < PORT_COUNT; i++) {
      const peerPort = FIRST_PORT + this.#nextPort++ % PORT_COUNT
      if (!this.#entries.has(keyOf({ guest, guestPort, peer, peerPort }))) return peerPort
    }
    return undefined
  }
}

function keyOf({ guest, guestPort, peer, peerPort }: FourTuple): string {
  return `${guest}:${guestPort}>${peer}:${peerPort}`
}

/** One connection: the guest's end, and the host's stream. */
class Bridge implements Entry, TcpOwner {
  readonly tuple: FourTuple
  connection: TcpConnection | undefined
  readonly #relay: TcpRelay
  readonly #stream: HostStream
  #streamClosed = false

  constructor(relay: TcpRelay, tuple: FourTuple, stream: HostStream) {
    this.#relay = relay
    this.tuple = tuple
    this.#stream = stream
  }

  /** The host's side. */
  readonly events: HostStreamEvents = {
    connected: () => {},
    data: (bytes) => {
      if (this.connection && !this.connection.write(bytes)) this.#stream.pause()
    },
    ended: () => this.connection?.end(),
    written: (count) => this.connection?.consume(count),
    closed: (broken) => {
      this.#streamClosed = true
      if (!this.connection) this.#relay.remove(this.tuple)
      else if (broken) this.connection.abort()
    },
  }

  transmit(segment: Segment, largest: number): void {
    this.#relay.transmit(this.tuple, segment, largest)
  }

  connected(): void {
    this.#stream.resume()
  }

  received(bytes: Uint8Array): void {
    if (!this.#streamClosed) this.#stream.write(bytes)
  }

  ended(): void {
    if (!this.#streamClosed) this.#stream.end()
  }

  drained(): void {
    this.#stream.resume()
  }

  closed(how: 'closed' | 'reset' | 'timeout'): void {
    this.#relay.remove(this.tuple)
    if (how !== 'closed' && !this.#streamClosed) this.#stream.destroy()
  }

  drop(): void {
    if (!this.#streamClosed) this.#stream.destroy()
    this.connection?.abort()
    this.#relay.remove(this.tuple)
  }
}
