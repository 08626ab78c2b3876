/**
 * For tests only: a station on the guests' network that makes and reads frames itself, and a host
 * network in memory.
 */
import { PROTOCOL_TCP, PROTOCOL_UDP } from '../checksum.ts'
import { type Frame, type MacAddress, parseMac, putU16, u16At, u32At } from '../frame.ts'
import { blankChecksum, wireFrames } from '../offload.ts'
import { TcpConnection } from '../tcp/connection.ts'
import { readSegment, segmentLength, writeSegment } from '../tcp/segment.ts'
import { Endpoint, SimulatedTime } from '../tcp/simulation.ts'
import type { HostAddress, HostNet, HostStream, HostStreamEvents } from './host-net.ts'
import { type Ipv4Address, ipv4Frame, parseIpv4, PAYLOAD } from './ipv4.ts'
import { Nat, type NatSettings } from './nat.ts'

export const ip = (text: string): Ipv4Address => parseIpv4(text)!

export const settings: NatSettings = {
  mac: parseMac('52:55:0a:00:02:02')!, network: ip('10.0.2.0'), mask: ip('255.255.255.0'),
  gateway: ip('10.0.2.2'), resolver: ip('10.0.2.3'), firstLease: ip('10.0.2.15'),
  lastLease: ip('10.0.2.17'), mtu: 1500,
}

/** The host's network in memory: servers are functions, and everything is noted. */
class FakeHostNet implements HostNet {
  readonly log: string[] = []
  readonly streams: FakeStream[] = []
  readonly listeners = new Map<number, (stream: HostStream) => HostStreamEvents>()
  readonly sockets: { at: HostAddress | undefined, closed: boolean,
    received: (bytes: Uint8Array, from: HostAddress) => void }[] = []

  resolver(): HostAddress {
    return { address: '192.0.2.53', port: 53 }
  }

  connect(to: HostAddress, events: HostStreamEvents): FakeStream {
    this.log.push(`connect ${to.address}:${to.port}`)
    const stream = new FakeStream(events)
    this.streams.push(stream)
    return stream
  }

  listen(at: HostAddress, accept: (stream: HostStream) => HostStreamEvents) {
    this.listeners.set(at.port, accept)
    return { close: () => void this.listeners.delete(at.port) }
  }

  /** A client of the host connects to a port of ours. */
  arrive(port: number): FakeStream {
    const stream = new FakeStream()
    stream.events = this.listeners.get(port)!(stream)
    this.streams.push(stream)
    return stream
  }

  openUdp(
    at: HostAddress | undefined, received: (bytes: Uint8Array, from: HostAddress) => void,
  ) {
    const socket = { at, received, closed: false }
    this.sockets.push(socket)
    return {
      send: (bytes: Uint8Array, to: HostAddress) =>
        void this.log.push(`udp ${to.address}:${to.port} ${text(bytes)}`),
      close: () => void (socket.closed = true),
    }
  }
}

export class FakeStream implements HostStream {
  events!: HostStreamEvents
  readonly got: Uint8Array[] = []
  readonly log: string[] = []

  constructor(events?: HostStreamEvents) {
    if (events) this.events = events
  }

  write(bytes: Uint8Array): void {
    this.got.push(bytes.slice())
  }

  end(): void {
    this.log.push('end')
  }

  destroy(): void {
    this.log.push('destroy')
  }

  pause(): void {
    this.log.push('pause')
  }

  resume(): void {
    this.log.push('resume')
  }

  get text(): string {
    return text(Buffer.concat(this.got))
  }
}

export function text(bytes: Uint8Array): string {
  return new TextDecoder('latin1').decode(bytes)
}

export const bytesOf = (content: string): Uint8Array => new TextEncoder().encode(content)

/** A guest's station beside a NAT. */
export class FakeGuest {
  readonly time = new SimulatedTime()
  readonly hostNet = new FakeHostNet()
  readonly nat: Nat
  readonly mac = parseMac('00:16:3e:00:00:01') as MacAddress
  address = ip('10.0.2.15')
  /** Frames that came, as a wire would carry them. */
  readonly got: Uint8Array[] = []
  onSegment: ((bytes: Uint8Array) => void) | undefined

  constructor(more: Partial<NatSettings> = {}) {
    this.nat = new Nat({ ...settings, ...more }, {
      hostNet: this.hostNet, timers: this.time, random: () => 0x1234_5678,
      send: (frame) => this.#take(frame),
    })
  }

  #take(frame: Frame): void {
    for (const { bytes } of wireFrames(frame)) {
      this.got.push(bytes)
      if (bytes[12] === 8 && bytes[13] === 0 && bytes[23] === PROTOCOL_TCP) this.onSegment?.(bytes)
    }
  }

  take(): Uint8Array[] {
    return this.got.splice(0)
  }

  sendIp(
    to: Ipv4Address, protocol: number, length: number,
    fill: (bytes: Uint8Array, at: number) => void, from = this.address,
  ): void {
    const bytes = ipv4Frame({ to: settings.mac, from: this.mac }, { from, to, protocol }, length)
    fill(bytes, PAYLOAD)
    blankChecksum(bytes)
    for (const frame of wireFrames({ bytes, checksumBlank: true })) this.nat.input(frame)
  }

  sendUdp(to: Ipv4Address, port: number, payload: Uint8Array, from = this.address): void {
    this.sendIp(to, PROTOCOL_UDP, 8 + payload.length, (bytes, at) => {
      putU16(bytes, at, 4000)
      putU16(bytes, at + 2, port)
      putU16(bytes, at + 4, 8 + payload.length)
      bytes.set(payload, at + 8)
    }, from)
  }

  /** The datagrams that came: "10.0.2.3:53 answer". */
  takeUdp(): string[] {
    return this.take().filter((bytes) => bytes[23] === PROTOCOL_UDP).map((bytes) => {
      const from = [...bytes.subarray(26, 30)].join('.')
      return `${from}:${u16At(bytes, 34)} ${text(bytes.subarray(42))}`
    })
  }

  /** An end of TCP at `port` of the guest, towards a peer. */
  tcp(to: Ipv4Address, peerPort: number, port: number): Endpoint {
    const end = new Endpoint()
    end.send = (segment) => this.time.after(1, () =>
      this.sendIp(to, PROTOCOL_TCP, segmentLength(segment), (bytes, at) =>
        writeSegment(bytes, at, port, peerPort, segment)))
    const others = this.onSegment
    this.onSegment = (bytes) => {
      const isMine = u32At(bytes, 26) === to && u16At(bytes, 34) === peerPort &&
        u16At(bytes, 36) === port
      const segment = readSegment(bytes, 34, bytes.length)
      if (!isMine || !segment) return others?.(bytes)
      this.time.after(1, () => end.connection?.input(segment))
    }
    return end
  }

  connect(to: Ipv4Address, peerPort: number, port = 5000): Endpoint {
    const end = this.tcp(to, peerPort, port)
    end.connection = TcpConnection.connect(99, 1460, this.time, end)
    return end
  }
}
