/**
 * One ring of a block device at work: requests taken, done on the disk, answered in any order.
 *
 * What can be read or written on the spot goes between the guest's pages and the file. Other data
 * goes through buffers of ours, so that what the guest does to its pages during a request has no
 * effect. The guest's ring bounds how many requests are under way, the device's budget how many
 * bytes. A barrier waits for all that was taken before it, and lets nothing pass.
 */
import { HostFileError } from '../../base/host-file.ts'
import { StorageError } from '../../storage/error.ts'
import { BLKIF_RSP_ERROR, BLKIF_RSP_OKAY } from '../../abi/xen/io/blkif.ts'
import type { BlockDisk } from './disk.ts'
import type { FrontendPages } from './pages.ts'
import { type Request, RequestReader } from './request.ts'
import type { BlockRing } from './ring.ts'

/** Requests taken in one turn, and their bytes: so one guest cannot keep the control thread. */
const REQUESTS_A_TURN = 64
const BYTES_A_TURN = 8 * 1024 * 1024
/** A request of so many bytes that the guest had better go on with it during the next. */
const BYTES_AT_ONCE = 64 * 1024

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
  /** Bytes of requests that were begun in this turn. */
  #turnBytes = 0
  #barrier: Request | undefined
  #scheduled = false
  #responding = false
  #closed = false

  constructor(ring: BlockRing, pages: FrontendPages, disk: BlockDisk, host: QueueHost) {
    this.#ring = ring
    this.#reader = new RequestReader(ring.abi, ring.request, (ref, into) =>
      pages.use([{ ref, offset: 0, lengthBytes: into.length }], false, ([page]) => {
        into.set(page!)
        return true
      }) ?? false)
    this.#pages = pages
    this.#disk = disk
    this.#host = host
  }

  /** Takes what can be taken; called for each signal of the guest. */
  service(): void {
    this.#turnBytes = 0
    for (let taken = 0; !this.#closed && !this.#barrier; taken++) {
      if (taken === REQUESTS_A_TURN || this.#turnBytes >= BYTES_A_TURN) return this.#later()
      if (!this.#disk.hasRoom(() => this.#later())) return
      if (this.#ring.take()) this.#start()
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

  #start(): void {
    const request = this.#reader.read()
    if ('status' in request) return this.#respond(request, request.status)
    if (!this.#disk.permits(request)) return this.#respond(request, BLKIF_RSP_ERROR)
    this.#turnBytes += request.lengthBytes
    if (request.action === 'barrier') {
      this.#barrier = request
      this.#tryBarrier()
      return
    }
    const status = this.#tryNow(request)
    if (status === undefined) void this.#run(request)
    else {
      this.#respond(request, status)
      if (request.lengthBytes >= BYTES_AT_ONCE) this.#publish()
    }
  }

  /** Does a request on the spot; its status, or undefined if it takes longer than that. */
  #tryNow(request: Request): number | undefined {
    const { action, segments } = request
    if (action !== 'read' && action !== 'write') return undefined
    try {
      const done = this.#pages.use(segments, action === 'read',
        (pieces) => this.#disk.performNow(request, pieces))
      if (done === undefined) return BLKIF_RSP_ERROR
      return done ? BLKIF_RSP_OKAY : undefined
    } catch (error) {
      this.#explain(error)
      return BLKIF_RSP_ERROR
    }
  }

  /** Passes on what the disk said; anything else is a mistake of ours. */
  #explain(error: unknown): void {
    if (!(error instanceof StorageError || error instanceof HostFileError)) throw error
    this.#host.failed(error.message)
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
      done = false
      this.#explain(error)
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
    return this.#pages.use(segments, toGuest, (pieces) => {
      let done = 0
      for (const theirs of pieces) {
        const part = buffer.subarray(done, done + theirs.length)
        if (toGuest) theirs.set(part)
        else part.set(theirs)
        done += theirs.length
      }
      return true
    }) ?? false
  }

  /** Answers, together with what is done at the same time. */
  #respond({ id, operation }: { id: bigint, operation: number }, status: number): void {
    if (this.#closed) return
    this.#ring.respond(id, operation, status)
    if (this.#responding) return
    this.#responding = true
    queueMicrotask(() => {
      this.#responding = false
      this.#publish()
    })
  }

  #publish(): void {
    if (!this.#closed && this.#ring.publish()) this.#host.notify()
  }
}
