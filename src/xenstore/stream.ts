/**
 * A connection to the store over a byte stream, as the unix socket of xenstored serves the control
 * domain's own programs (xenstore-ls and the like). The one at the other end is trusted as Dom0 is,
 * but its bytes are bounded in both directions: a payload beyond the maximum ends the connection;
 * while its replies wait to be fetched no request of its is taken, and equal events wait once; and
 * one who lets events pile up beyond a limit is disconnected, which tells it that it missed some.
 */
import { XENSTORE_PAYLOAD_MAX, XS_WATCH_EVENT } from '../abi/xen/io/xs_wire.ts'
import type { Connection } from './connection.ts'
import {
  announcedLength, decodeMessage, encodeMessage, HEADER_SIZE, type Message, textOf,
} from './wire.ts'
import type { Xenstored } from './xenstored.ts'

const WAITING_LIMIT = 4 * 1024 * 1024

/** The transport's side: takes bytes, can be held up and ended. */
export interface StreamPeer {
  /** False when the bytes wait; whoever drives the stream calls `drained` when none do. */
  write(bytes: Uint8Array): boolean
  /** Bytes given to `write` that the other end has not fetched. */
  readonly waitingBytes: number
  pause(): void
  resume(): void
  end(): void
}

export class StreamConnection {
  readonly #store: Xenstored
  readonly #peer: StreamPeer
  readonly #connection: Connection
  readonly #buffer = new Uint8Array(HEADER_SIZE + XENSTORE_PAYLOAD_MAX)
  #length = 0
  #open = true
  #waiting = false
  /** Bytes that came while replies waited. */
  #held: Uint8Array[] = []
  readonly #waitingEvents = new Set<string>()

  constructor(store: Xenstored, peer: StreamPeer) {
    this.#store = store
    this.#peer = peer
    this.#connection = store.connect((message) => this.#deliver(message))
  }

  /** Takes bytes as they come, in pieces of any size. */
  receive(bytes: Uint8Array): void {
    let at = 0
    while (this.#open && at < bytes.length) {
      if (this.#waiting) {
        this.#held.push(bytes.slice(at))
        return
      }
      const count = Math.min(this.#wanted() - this.#length, bytes.length - at)
      this.#buffer.set(bytes.subarray(at, at + count), this.#length)
      this.#length += count
      at += count
      if (this.#length >= HEADER_SIZE && announcedLength(this.#buffer) > XENSTORE_PAYLOAD_MAX) {
        this.#end()
      } else if (this.#length === this.#wanted()) {
        this.#length = 0
        this.#store.handle(this.#connection, decodeMessage(this.#buffer))
      }
    }
  }

  /** The other end has fetched all that waited. */
  drained(): void {
    if (!this.#open || !this.#waiting) return
    this.#waiting = false
    this.#waitingEvents.clear()
    const held = this.#held
    this.#held = []
    for (const bytes of held) this.receive(bytes)
    if (!this.#waiting) this.#peer.resume()
  }

  /** The other end has gone. */
  close(): void {
    this.#open = false
    this.#held = []
    this.#waitingEvents.clear()
    this.#store.disconnect(this.#connection)
  }

  #deliver(message: Message): void {
    if (!this.#open) return
    if (this.#waiting && message.type === XS_WATCH_EVENT) {
      const key = textOf(message.payload)
      if (this.#waitingEvents.has(key)) return
      this.#waitingEvents.add(key)
      if (this.#peer.waitingBytes > WAITING_LIMIT) return this.#end()
    }
    if (this.#peer.write(encodeMessage(message)) || this.#waiting) return
    this.#waiting = true
    this.#peer.pause()
  }

  #end(): void {
    this.close()
    this.#peer.end()
  }

  #wanted(): number {
    if (this.#length < HEADER_SIZE) return HEADER_SIZE
    return HEADER_SIZE + announcedLength(this.#buffer)
  }
}
