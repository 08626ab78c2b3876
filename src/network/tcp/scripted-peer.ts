/**
 * For tests only: a connection of ours against segments of a peer that are written by hand.
 */
import { TcpConnection } from './connection.ts'
import { ACK, NO_BYTES, PSH, type Segment, SYN } from './segment.ts'
import { Endpoint, randomFrom, SimulatedTime, sketch } from './simulation.ts'

/** Bytes that say where they belong. */
export function pattern(length: number, seed = 1): Uint8Array {
  const random = randomFrom(seed)
  return Uint8Array.from({ length }, () => random() * 256)
}

/** A connection of ours that accepted a SYN, and a peer written by hand. */
export class Script {
  readonly time = new SimulatedTime()
  readonly ours = new Endpoint()
  readonly connection: TcpConnection
  sequence = 1000
  acknowledgment = 0

  constructor(syn: Partial<Segment> = { largestSegment: 1000, windowScale: 0 }) {
    this.connection = TcpConnection.accept(this.#segment({ flags: SYN, ...syn }), 5000, 1460,
      this.time, this.ours)
    this.ours.connection = this.connection
    this.sequence++
  }

  #segment(parts: Partial<Segment>): Segment {
    return {
      sequence: this.sequence, acknowledgment: this.acknowledgment, flags: ACK, window: 0xffff,
      payload: NO_BYTES, ...parts,
    }
  }

  /** Answers SYN-ACK, so that the connection is established. */
  establish(window = 0xffff): this {
    this.take()
    this.acknowledgment = 5001
    this.send({ window })
    return this
  }

  send(parts: Partial<Segment>): void {
    this.connection.input(this.#segment(parts))
  }

  data(length: number, offset = 0): void {
    this.send({ sequence: this.sequence + offset, payload: pattern(length), flags: ACK | PSH })
  }

  /** What we sent since the last time. */
  take(): Segment[] {
    return this.ours.sent.splice(0)
  }

  sketches(): string {
    return this.take().map(sketch).join(' ')
  }
}
