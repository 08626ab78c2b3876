/**
 * A connection to the store over a byte stream, as the unix socket of xenstored serves the control
 * domain's own programs (xenstore-ls and the like). The one at the other end is trusted as Dom0 is,
 * but its bytes are bounded: a payload beyond the maximum ends the connection.
 */
import { XENSTORE_PAYLOAD_MAX } from '../abi/xen/io/xs_wire.ts'
import type { Connection } from './connection.ts'
import { announcedLength, decodeMessage, encodeMessage, HEADER_SIZE } from './wire.ts'
import type { Xenstored } from './xenstored.ts'

/** The transport's side: takes bytes, can be ended. */
export interface StreamPeer {
  write(bytes: Uint8Array): void
  end(): void
}

export class StreamConnection {
  readonly #store: Xenstored
  readonly #peer: StreamPeer
  readonly #connection: Connection
  readonly #buffer = new Uint8Array(HEADER_SIZE + XENSTORE_PAYLOAD_MAX)
  #length = 0
  #open = true

  constructor(store: Xenstored, peer: StreamPeer) {
    this.#store = store
    this.#peer = peer
    this.#connection = store.connect((message) => {
      if (this.#open) peer.write(encodeMessage(message))
    })
  }

  /** Takes bytes as they come, in pieces of any size. */
  receive(bytes: Uint8Array): void {
    let at = 0
    while (this.#open && at < bytes.length) {
      const count = Math.min(this.#wanted() - this.#length, bytes.length - at)
      this.#buffer.set(bytes.subarray(at, at + count), this.#length)
      this.#length += count
      at += count
      if (this.#length >= HEADER_SIZE && announcedLength(this.#buffer) > XENSTORE_PAYLOAD_MAX) {
        this.close()
        this.#peer.end()
      } else if (this.#length === this.#wanted()) {
        this.#length = 0
        this.#store.handle(this.#connection, decodeMessage(this.#buffer))
      }
    }
  }

  /** The other end has gone. */
  close(): void {
    this.#open = false
    this.#store.disconnect(this.#connection)
  }

  #wanted(): number {
    if (this.#length < HEADER_SIZE) return HEADER_SIZE
    return HEADER_SIZE + announcedLength(this.#buffer)
  }
}
