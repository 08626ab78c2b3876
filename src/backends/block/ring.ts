/**
 * The back-end's half of a block device's ring, of one or more pages.
 *
 * Obeys xen/include/public/io/ring.h. The pages belong to the guest: its producer index is read
 * once and bounded, and each request is copied out before it is looked at. Entries may cross from
 * one page into the next. A producer that claims more requests than there are slots breaks the ring
 * for good.
 */
import { BlkifRequest, BlkifResponse } from '../../abi/xen/io/blkif.ts'
import { sring } from '../../abi/xen/io/ring.ts'
import type { Abi } from '../../base/layout/scalar.ts'

const PAGE = 4096
const { offsets } = sring('struct blkif_sring', BlkifRequest.size)
const REQ_PROD = offsets.req_prod >> 2
const REQ_EVENT = offsets.req_event >> 2
const RSP_PROD = offsets.rsp_prod >> 2
const RSP_EVENT = offsets.rsp_event >> 2

export class BlockRing {
  /** How many slots there are: a power of two. */
  readonly size: number
  readonly abi: Abi
  readonly #pages: readonly Uint8Array[]
  readonly #words: Int32Array
  readonly #entrySize: number
  /** The request that was taken last. */
  readonly request: Uint8Array
  readonly #responseBytes: Uint8Array
  readonly #response
  #consumed: number
  #produced: number
  /** How many answers the guest has been shown. */
  #known: number
  #broken = false

  /** `abi` is that of the guest, whose requests differ in padding. */
  constructor(pages: readonly Uint8Array[], abi: Abi) {
    const first = pages[0]!
    this.abi = abi
    this.#pages = pages
    this.#words = new Int32Array(first.buffer, first.byteOffset, PAGE >> 2)
    this.#entrySize = BlkifRequest.for(abi).size
    const slots = (pages.length * PAGE - offsets.ring) / this.#entrySize
    this.size = 2 ** Math.floor(Math.log2(slots))
    this.request = new Uint8Array(this.#entrySize)
    const response = BlkifResponse.for(abi)
    this.#responseBytes = new Uint8Array(response.size)
    this.#response = response.on(this.#responseBytes)
    // A guest that connects again goes on from its last response.
    this.#consumed = this.#produced = this.#known = Atomics.load(this.#words, RSP_PROD)
  }

  get isBroken(): boolean {
    return this.#broken
  }

  /** Copies the next request out; false when none waits. */
  take(): boolean {
    if (this.#waiting() === 0) return false
    this.#each(this.#consumed, this.#entrySize, (page, at, done, length) => {
      for (let i = 0; i < length; i++) this.request[done + i] = page[at + i]!
    })
    this.#consumed = (this.#consumed + 1) | 0
    return true
  }

  /** Asks to be told of the next request; whether there is one already. */
  await(): boolean {
    Atomics.store(this.#words, REQ_EVENT, (this.#consumed + 1) | 0)
    return this.#waiting() > 0
  }

  /** Writes the answer to a request that was taken. */
  respond(id: bigint, operation: number, status: number): void {
    this.#response.id = id
    this.#response.operation = operation
    this.#response.status = status
    const bytes = this.#responseBytes
    this.#each(this.#produced, bytes.length, (page, at, done, length) => {
      for (let i = 0; i < length; i++) page[at + i] = bytes[done + i]!
    })
    this.#produced = (this.#produced + 1) | 0
  }

  /** Shows the guest all answers; whether it wants to be told. */
  publish(): boolean {
    const old = this.#known
    this.#known = this.#produced
    Atomics.store(this.#words, RSP_PROD, this.#produced)
    const event = Atomics.load(this.#words, RSP_EVENT)
    return ((this.#produced - event) >>> 0) < ((this.#produced - old) >>> 0)
  }

  #waiting(): number {
    if (this.#broken) return 0
    const count = (Atomics.load(this.#words, REQ_PROD) - this.#consumed) >>> 0
    if (count <= this.size - ((this.#consumed - this.#known) >>> 0)) return count
    this.#broken = true
    return 0
  }

  /** Runs `step` on each page's part of the first `length` bytes of a slot. */
  #each(
    index: number, length: number,
    step: (page: Uint8Array, at: number, done: number, length: number) => void,
  ): void {
    const start = offsets.ring + (index & (this.size - 1)) * this.#entrySize
    for (let done = 0; done < length;) {
      const at = (start + done) % PAGE
      const part = Math.min(PAGE - at, length - done)
      step(this.#pages[Math.floor((start + done) / PAGE)]!, at, done, part)
      done += part
    }
  }
}
