/**
 * One ring of a block device at work: requests taken, done on the disk, answered in any order.
 *
 * Data goes through buffers of ours, so that what the guest does to its pages during a request has
 * no effect. The guest's ring bounds how many requests are under way, the device's budget how many
 * bytes. A barrier waits for all that was taken before it, and lets nothing pass.
 */
import { HostFileError } from '../../base/host-file.ts'
import { StorageError } from '../../storage/error.ts'
import { BLKIF_RSP_ERROR, BLKIF_RSP_OKAY } from '../../abi/xen/io/blkif.ts'
import type { BlockDisk } from './disk.ts'
import type { FrontendPages } from './pages.ts'
import { type Request, RequestReader } from './request.ts'
import type { BlockRing } from './ring.ts'

/** Requests taken in one turn, so that one guest cannot keep the control thread. */
const REQUESTS_A_TURN = 64

/** What a queue needs of its device. */
export interface QueueHost {
  /** Signals the front-end. */
  notify(): void
  /** Runs `work` in a later turn, after others had theirs. */
  schedule(work: () => void): void
  /** The ring makes no sense. */
  broken(): void
  /** Something failed that the guest is told of only as an error. */
  failed(why: string): void
}

export class BlockQueue {
  readonly #ring: BlockRing
  readonly #reader: RequestReader
  readonly #pages: FrontendPages
  readonly #disk: BlockDisk
  readonly #host: QueueHost
  #inFlight = 0
  #barrier: Request | undefined
  #scheduled = false
  #responding = false
  #closed = false

  constructor(ring: BlockRing, pages: FrontendPages, disk: BlockDisk, host: QueueHost) {
    this.#ring = ring
    this.#reader = new RequestReader(ring.abi)
    this.#pages = pages
    this.#disk = disk
    this.#host = host
  }

  /** Takes what can be taken; called for each signal of the guest. */
  service(): void {
    for (let taken = 0; !this.#closed && !this.#barrier; taken++) {
      if (taken === REQUESTS_A_TURN) return this.#later()
      if (!this.#disk.hasRoom(() => this.#later())) return
      const bytes = this.#ring.take()
      if (bytes) this.#start(bytes)
      else if (this.#ring.isBroken) return this.#host.broken()
      else if (!this.#ring.await()) return
    }
  }

  /** Answers nothing any more, and lets go of the guest's pages. */
  close(): void {
    this.#closed = true
    this.#pages.close()
  }

  #later(): void {
    if (this.#scheduled) return
    this.#scheduled = true
    this.#host.schedule(() => {
      this.#scheduled = false
      this.service()
    })
  }

  #start(bytes: Uint8Array): void {
    const request = this.#reader.read(bytes, (ref) => {
      let copy: Uint8Array | undefined
      this.#pages.each([ref], false, (page) => { copy = page.slice() })
      return copy
    })
    if ('status' in request) return this.#respond(request, request.status)
    if (!this.#disk.permits(request)) return this.#respond(request, BLKIF_RSP_ERROR)
    if (request.action === 'barrier') {
      this.#barrier = request
      this.#tryBarrier()
    } else {
      void this.#run(request)
    }
  }

  /** Does a barrier once it is alone; then others may follow. */
  #tryBarrier(): void {
    const barrier = this.#barrier
    if (!barrier || this.#inFlight > 0) return
    void this.#run(barrier).then(() => {
      this.#barrier = undefined
      this.service()
    })
  }

  async #run(request: Request): Promise<void> {
    const { lengthBytes } = request
    const buffer = this.#disk.buffers.take(request.segments.length > 0 ? lengthBytes : 0)
    this.#inFlight++
    this.#disk.took(buffer.length)
    let done = false
    try {
      done = request.action === 'read' || this.#copy(request, buffer, false)
      if (done) await this.#disk.perform(request, buffer)
      if (done && request.action === 'read') done = this.#copy(request, buffer, true)
    } catch (error) {
      if (!(error instanceof StorageError || error instanceof HostFileError)) throw error
      done = false
      this.#host.failed(error.message)
    } finally {
      this.#inFlight--
      this.#disk.gave(buffer.length)
      this.#disk.buffers.give(buffer)
    }
    if (request !== this.#barrier) this.#tryBarrier()
    this.#respond(request, done ? BLKIF_RSP_OKAY : BLKIF_RSP_ERROR)
  }

  /** Copies between the guest's pages and `buffer`; false when the guest did not grant them. */
  #copy({ segments }: Request, buffer: Uint8Array, toGuest: boolean): boolean {
    if (this.#closed) return false
    if (segments.length === 0) return true
    let done = 0
    return this.#pages.each(segments.map(({ ref }) => ref), toGuest, (page, index) => {
      const { offset, lengthBytes } = segments[index]!
      const part = buffer.subarray(done, done + lengthBytes)
      const theirs = page.subarray(offset, offset + lengthBytes)
      if (toGuest) theirs.set(part)
      else part.set(theirs)
      done += lengthBytes
    })
  }

  /** Answers, together with what is done at the same time. */
  #respond({ id, operation }: { id: bigint, operation: number }, status: number): void {
    if (this.#closed) return
    this.#ring.respond(id, operation, status)
    if (this.#responding) return
    this.#responding = true
    queueMicrotask(() => {
      this.#responding = false
      if (!this.#closed && this.#ring.publish()) this.#host.notify()
    })
  }
}
