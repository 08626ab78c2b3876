/**
 * A domain's connection to the store: the ring page it shares with us.
 *
 * Obeys xen/include/public/io/xs_wire.h. The page belongs to the guest, who may write anything to
 * it at any time: indexes are read once and bounded, then the copy is used. Impossible indexes or a
 * payload beyond the maximum mark the ring broken (its `error` field says so) until the guest asks
 * to reconnect; nobody else notices. What a guest does not fetch is bounded: while replies wait, no
 * request is taken, and equal watch events wait only once.
 */
import {
  XENSTORE_CONNECTED, XENSTORE_ERROR_PROTO, XENSTORE_ERROR_RINGIDX, XENSTORE_PAYLOAD_MAX,
  XENSTORE_RING_SIZE, XENSTORE_SERVER_FEATURE_ERROR, XENSTORE_SERVER_FEATURE_RECONNECTION,
  XenstoreDomainInterface, XS_WATCH_EVENT,
} from '../abi/xen/io/xs_wire.ts'
import {
  announcedLength, decodeMessage, encodeMessage, HEADER_SIZE, type Message, textOf,
} from './wire.ts'
import type { Connection } from './connection.ts'
import type { DomainLink, Xenstored } from './xenstored.ts'

const MASK = XENSTORE_RING_SIZE - 1
const { offsets } = XenstoreDomainInterface
const REQUESTS = offsets.req
const RESPONSES = offsets.rsp
// The indexes as words of the page, for Atomics.
const REQ_CONS = offsets.req_cons >> 2
const REQ_PROD = offsets.req_prod >> 2
const RSP_CONS = offsets.rsp_cons >> 2
const RSP_PROD = offsets.rsp_prod >> 2
const SERVER_FEATURES = offsets.server_features >> 2
const CONNECTION = offsets.connection >> 2
const ERROR = offsets.error >> 2

/** Requests taken in one service, so that one guest cannot keep the control thread. */
const REQUESTS_A_SERVICE = 32
const OUTPUT_HIGH_WATER = 64 * 1024
const OUTPUT_LIMIT = 1024 * 1024

/** What the ring needs of its host. */
export interface RingHost {
  /** Signals the domain's event channel. */
  notify(): void
  /** Runs `work` soon, after others had their turn. */
  schedule(work: () => void): void
  /** The page and the port are no longer used. */
  closed(): void
}

export class DomainRing implements DomainLink {
  readonly #page: Uint8Array
  readonly #words: Int32Array
  readonly #host: RingHost
  readonly #store: Xenstored
  #connection: Connection | undefined
  readonly #input = new Uint8Array(HEADER_SIZE + XENSTORE_PAYLOAD_MAX)
  #inputLength = 0
  #output: Uint8Array[] = []
  #outputStart = 0
  #outputSize = 0
  readonly #waiting = new Set<string>()
  #broken = false
  #closed = false

  /** `page` is the 4096 bytes of the shared page, aligned to a word, in shared memory. */
  constructor(page: Uint8Array, store: Xenstored, host: RingHost) {
    this.#page = page
    this.#words = new Int32Array(page.buffer, page.byteOffset, page.length >> 2)
    this.#store = store
    this.#host = host
    this.#words[SERVER_FEATURES] =
      XENSTORE_SERVER_FEATURE_RECONNECTION | XENSTORE_SERVER_FEATURE_ERROR
    Atomics.store(this.#words, CONNECTION, XENSTORE_CONNECTED)
  }

  /** Whether the guest's side of the ring made no sense. */
  get broken(): boolean {
    return this.#broken
  }

  /** Introduces the domain to the store and looks at what already waits in its ring. */
  open(domid: number): void {
    this.#connection = this.#store.introduce(domid, this)
    this.service()
    // The guest may wait for its connection to be ready without having asked anything.
    this.#host.notify()
  }

  close(): void {
    this.#closed = true
    this.#forget()
    this.#host.closed()
  }

  deliver(message: Message): void {
    if (this.#broken || this.#closed) return
    if (message.type === XS_WATCH_EVENT) {
      const key = textOf(message.payload)
      if (this.#waiting.has(key) || this.#outputSize > OUTPUT_LIMIT) return
      this.#waiting.add(key)
    }
    const bytes = encodeMessage(message)
    this.#output.push(bytes)
    this.#outputSize += bytes.length
    if (this.#send()) this.#host.notify()
  }

  /** Takes requests and gives replies as far as the ring has them; called for each signal. */
  service(): void {
    if (this.#closed) return
    if (Atomics.load(this.#words, CONNECTION) !== XENSTORE_CONNECTED) this.#reconnect()
    if (this.#broken) return
    let moved = this.#send()
    let taken = 0
    while (!this.#broken && taken < REQUESTS_A_SERVICE && this.#outputSize < OUTPUT_HIGH_WATER) {
      const message = this.#receive()
      if (!message) break
      taken++
      moved = true
      if (this.#connection) this.#store.handle(this.#connection, message)
    }
    if (this.#receivedPart || moved) this.#host.notify()
    this.#receivedPart = false
    if (taken === REQUESTS_A_SERVICE) this.#host.schedule(() => this.service())
  }

  #receivedPart = false

  /** The next whole message, or undefined when there is none yet or the ring broke. */
  #receive(): Message | undefined {
    for (;;) {
      let wanted = HEADER_SIZE
      if (this.#inputLength >= HEADER_SIZE) {
        const length = announcedLength(this.#input)
        if (length > XENSTORE_PAYLOAD_MAX) return this.#break(XENSTORE_ERROR_PROTO)
        wanted += length
        if (this.#inputLength === wanted) {
          this.#inputLength = 0
          return decodeMessage(this.#input)
        }
      }
      const count = this.#take(wanted - this.#inputLength)
      if (count <= 0) return undefined
    }
  }

  /** Copies up to `limit` request bytes to the input; their count. */
  #take(limit: number): number {
    const consumer = Atomics.load(this.#words, REQ_CONS)
    const available = (Atomics.load(this.#words, REQ_PROD) - consumer) >>> 0
    if (available > XENSTORE_RING_SIZE) {
      this.#break(XENSTORE_ERROR_RINGIDX)
      return 0
    }
    const count = Math.min(available, limit)
    for (let i = 0; i < count; i++) {
      this.#input[this.#inputLength + i] = this.#page[REQUESTS + ((consumer + i) & MASK)] ?? 0
    }
    this.#inputLength += count
    if (count > 0) {
      Atomics.store(this.#words, REQ_CONS, (consumer + count) | 0)
      this.#receivedPart = true
    }
    return count
  }

  /** Moves waiting output into the ring; whether any moved. */
  #send(): boolean {
    let moved = false
    while (this.#output.length > 0 && !this.#broken) {
      const bytes = this.#output[0] ?? this.#input
      const producer = Atomics.load(this.#words, RSP_PROD)
      const used = (producer - Atomics.load(this.#words, RSP_CONS)) >>> 0
      if (used > XENSTORE_RING_SIZE) {
        this.#break(XENSTORE_ERROR_RINGIDX)
        return moved
      }
      const count = Math.min(XENSTORE_RING_SIZE - used, bytes.length - this.#outputStart)
      if (count === 0) return moved
      for (let i = 0; i < count; i++) {
        const byte = bytes[this.#outputStart + i] ?? 0
        this.#page[RESPONSES + ((producer + i) & MASK)] = byte
      }
      Atomics.store(this.#words, RSP_PROD, (producer + count) | 0)
      moved = true
      this.#outputStart += count
      if (this.#outputStart === bytes.length) this.#sent(bytes)
    }
    return moved
  }

  #sent(bytes: Uint8Array): void {
    this.#output.shift()
    this.#outputStart = 0
    this.#outputSize -= bytes.length
    const { type, payload } = decodeMessage(bytes)
    if (type === XS_WATCH_EVENT) this.#waiting.delete(textOf(payload))
  }

  #break(error: number): undefined {
    this.#broken = true
    this.#forget()
    Atomics.store(this.#words, ERROR, error)
    this.#host.notify()
    return undefined
  }

  #forget(): void {
    this.#inputLength = 0
    this.#output = []
    this.#outputStart = 0
    this.#outputSize = 0
    this.#waiting.clear()
  }

  /** Starts afresh at the guest's wish, as a crash kernel or a new driver asks. */
  #reconnect(): void {
    this.#forget()
    if (this.#connection) this.#store.reset(this.#connection)
    this.#broken = false
    for (const word of [REQ_CONS, REQ_PROD, RSP_CONS, RSP_PROD, ERROR]) {
      Atomics.store(this.#words, word, 0)
    }
    Atomics.store(this.#words, CONNECTION, XENSTORE_CONNECTED)
    this.#host.notify()
  }
}
