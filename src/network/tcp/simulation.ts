/**
 * For tests only: a network in simulated time that loses, doubles and reorders by a seed, and the
 * two ends of TCP connections on it.
 */
import type { Timers } from '../timers.ts'
import { wireSegments } from './wire-segments.ts'
import { TcpConnection, type TcpEnd, type TcpOwner } from './connection.ts'
import { FIN, RST, type Segment, SYN } from './segment.ts'

/** Time that passes only when told; work runs in the order of its time. */
export class SimulatedTime implements Timers {
  #nowMs = 0
  #count = 0
  readonly #waiting: { readonly at: number, readonly order: number, readonly work: () => void }[] =
    []

  now(): number {
    return this.#nowMs
  }

  get pending(): number {
    return this.#waiting.length
  }

  after(ms: number, work: () => void): () => void {
    const entry = { at: this.#nowMs + ms, order: this.#count++, work }
    this.#waiting.push(entry)
    return () => {
      const index = this.#waiting.indexOf(entry)
      if (index >= 0) this.#waiting.splice(index, 1)
    }
  }

  /** Lets time pass until nothing waits, `until` holds, or `limitMs` is over. */
  run(limitMs: number, until: () => boolean = () => false): void {
    const end = this.#nowMs + limitMs
    while (!until()) {
      let first = this.#waiting[0]
      for (const entry of this.#waiting) {
        if (!first || entry.at < first.at || entry.at === first.at && entry.order < first.order) {
          first = entry
        }
      }
      if (!first || first.at > end) break
      this.#waiting.splice(this.#waiting.indexOf(first), 1)
      this.#nowMs = Math.max(this.#nowMs, first.at)
      first.work()
    }
    if (!until()) this.#nowMs = Math.max(this.#nowMs, end)
  }
}

/** Random numbers from a seed, 0 to 1 (a linear congruential generator). */
export function randomFrom(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = Math.imul(state, 1664525) + 1013904223 >>> 0
    return state / 2 ** 32
  }
}

export interface Weather {
  readonly lost?: number
  readonly doubled?: number
  /** The longest delay; what is sent later may come earlier. */
  readonly jitterMs?: number
}

/** A program at one end: what it got, and how it ended. */
export class Endpoint implements TcpOwner {
  connection: TcpConnection | undefined
  readonly sent: Segment[] = []
  readonly got: Uint8Array[] = []
  gotLength = 0
  isConnected = false
  hasEnded = false
  end: TcpEnd | undefined
  drains = 0
  /** Takes what comes at once; otherwise the test calls `consume`. */
  eager = true
  send: (segment: Segment) => void = () => {}

  transmit(segment: Segment, largest: number): void {
    for (const piece of wireSegments(segment, largest)) {
      this.sent.push(piece)
      this.send(piece)
    }
  }

  connected(): void {
    this.isConnected = true
  }

  received(bytes: Uint8Array): void {
    this.got.push(bytes)
    this.gotLength += bytes.length
    if (this.eager) this.connection?.consume(bytes.length)
  }

  ended(): void {
    this.hasEnded = true
  }

  drained(): void {
    this.drains++
  }

  closed(how: TcpEnd): void {
    this.end = how
  }

  get bytes(): Uint8Array {
    return Buffer.concat(this.got)
  }
}

/** Two ends with a network between them; the server answers the first SYN. */
export function connectPair(time: SimulatedTime, weather: Weather, random: () => number) {
  const client = new Endpoint()
  const server = new Endpoint()
  const carry = (to: () => TcpConnection | undefined) => (segment: Segment): void => {
    const copies = random() < (weather.doubled ?? 0) ? 2 : 1
    for (let i = 0; i < copies; i++) {
      if (random() < (weather.lost ?? 0)) continue
      time.after(1 + random() * (weather.jitterMs ?? 0), () => to()?.input(segment))
    }
  }
  const start = Math.floor(random() * 2 ** 32)
  client.send = carry(() => server.connection)
  server.send = carry(() => client.connection)
  const toServer = client.send
  client.send = (segment) => {
    if (segment.flags & SYN && !server.connection) {
      if (random() < (weather.lost ?? 0)) return
      time.after(1, () => {
        server.connection ??= TcpConnection.accept(segment, start ^ 0x5555_5555, 1460, time, server)
      })
      return
    }
    toServer(segment)
  }
  client.connection = TcpConnection.connect(start, 1460, time, client)
  return { client, server, connection: client.connection }
}

/** "S", "SA", "A5", "FA": flags and payload length, for comparing. */
export function sketch({ flags, payload }: Segment): string {
  const letters = [[SYN, 'S'], [FIN, 'F'], [RST, 'R'], [16, 'A']] as const
  const names = letters.filter(([bit]) => flags & bit).map(([, letter]) => letter).join('')
  return payload.length > 0 ? `${names}${payload.length}` : names
}
