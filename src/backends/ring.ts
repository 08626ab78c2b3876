/**
 * The back-end's half of a shared ring.
 *
 * Obeys xen/include/public/io/ring.h. The page belongs to the guest: its producer index is read
 * once and bounded, and each request is copied out before it is looked at. A producer that claims
 * more requests than there are slots breaks the ring for good.
 */
import type { Sring } from '../abi/xen/io/ring.ts'

const PAGE = 4096

export class BackRing {
  /** How many slots there are: a power of two. */
  readonly size: number
  /** The request that was last read. */
  readonly request: DataView
  readonly #page: DataView
  readonly #octets: Uint8Array
  readonly #words: Int32Array
  readonly #copy: Uint8Array
  readonly #entries: number
  readonly #entrySize: number
  readonly #reqProd: number
  readonly #reqEvent: number
  readonly #rspProd: number
  readonly #rspEvent: number
  #consumed = 0
  /** Responses written, which the guest is not told of yet. */
  #produced = 0
  #known = 0
  #broken = false

  /** `page` is the shared page; requests and responses have the size of `layout.ring`. */
  constructor(page: Uint8Array, layout: Sring) {
    const { offsets } = layout
    this.#octets = page
    this.#page = new DataView(page.buffer, page.byteOffset, PAGE)
    this.#words = new Int32Array(page.buffer, page.byteOffset, PAGE >> 2)
    this.#entries = offsets.ring
    this.#entrySize = layout.size - offsets.ring
    this.size = 2 ** Math.floor(Math.log2((PAGE - this.#entries) / this.#entrySize))
    this.#copy = new Uint8Array(this.#entrySize)
    this.request = new DataView(this.#copy.buffer)
    this.#reqProd = offsets.req_prod >> 2
    this.#reqEvent = offsets.req_event >> 2
    this.#rspProd = offsets.rsp_prod >> 2
    this.#rspEvent = offsets.rsp_event >> 2
    // A guest that connects again goes on from its last response.
    this.#consumed = this.#produced = this.#known = Atomics.load(this.#words, this.#rspProd)
  }

  get isBroken(): boolean {
    return this.#broken
  }

  /** No request of this ring is answered any more. */
  break(): void {
    this.#broken = true
  }

  /** How many requests wait. */
  waiting(): number {
    if (this.#broken) return 0
    const count = (Atomics.load(this.#words, this.#reqProd) - this.#consumed) >>> 0
    if (count <= this.size - ((this.#consumed - this.#produced) >>> 0)) return count
    this.#broken = true
    return 0
  }

  /** Copies the request that is `ahead` of the next into `request`. */
  read(ahead: number): void {
    const at = this.#slot(this.#consumed + ahead)
    for (let i = 0; i < this.#entrySize; i++) this.#copy[i] = this.#octets[at + i] ?? 0
  }

  /** Moves past `count` requests, which had been waiting. */
  consume(count: number): void {
    this.#consumed = (this.#consumed + count) | 0
  }

  /** Has the next response written; there must be a request that it answers. */
  respond(write: (page: DataView, at: number) => void): void {
    write(this.#page, this.#slot(this.#produced))
    this.#produced = (this.#produced + 1) | 0
  }

  /** How many responses the guest was not shown yet. */
  get hiddenCount(): number {
    return (this.#produced - this.#known) >>> 0
  }

  /** Shows the guest all responses; whether it wants to be told. */
  publish(): boolean {
    const old = this.#known
    if (old === this.#produced) return false
    this.#known = this.#produced
    Atomics.store(this.#words, this.#rspProd, this.#produced)
    const event = Atomics.load(this.#words, this.#rspEvent)
    return ((this.#produced - event) >>> 0) < ((this.#produced - old) >>> 0)
  }

  /** Asks to be told when `count` requests wait; whether they do already. */
  await(count: number): boolean {
    if (this.waiting() >= count) return true
    if (this.#broken) return false
    Atomics.store(this.#words, this.#reqEvent, (this.#consumed + count) | 0)
    return this.waiting() >= count
  }

  #slot(index: number): number {
    return this.#entries + (index & (this.size - 1)) * this.#entrySize
  }
}
