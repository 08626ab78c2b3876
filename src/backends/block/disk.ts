/**
 * A disk as the rings of its device share it: what may be asked of it, and how much at a time.
 */
import type { BlockStore } from '../../storage/block-store.ts'
import { RequestBuffers } from './buffers.ts'
import { type Request, SECTOR_BYTES } from './request.ts'

/** Bytes of data that are under way for one device; a request more may exceed it once. */
const BUDGET_BYTES = 8 * 1024 * 1024

/** What a device is made of. */
export interface DiskFacts {
  /** In a drive whose medium can be changed, the one at first. */
  readonly store: BlockStore
  readonly writable: boolean
  readonly isCdrom: boolean
  /** Discards are passed on. */
  readonly discard: boolean
  /** 512 or 4096: requests are in multiples of it. */
  readonly sectorBytes: number
}

/** What front-ends have asked of a disk so far. */
export interface DiskCounts {
  reads: number
  writes: number
  sectorsRead: number
  sectorsWritten: number
  /** How often a request had to wait for room. */
  outOfRequests: number
}

export class BlockDisk {
  readonly facts: DiskFacts
  readonly counts: DiskCounts = {
    reads: 0, writes: 0, sectorsRead: 0, sectorsWritten: 0, outOfRequests: 0,
  }

  readonly buffers = new RequestBuffers()
  store: BlockStore
  #bytes = 0
  #requests = 0
  readonly #waiting = new Set<() => void>()
  readonly #idle: (() => void)[] = []

  constructor(facts: DiskFacts) {
    this.facts = facts
    this.store = facts.store
  }

  /** Whether a request may begin; if not, `resume` is called when it may. */
  hasRoom(resume: () => void): boolean {
    if (this.#bytes < BUDGET_BYTES) return true
    this.counts.outOfRequests++
    this.#waiting.add(resume)
    return false
  }

  took(bytes: number): void {
    this.#bytes += bytes
    this.#requests++
  }

  gave(bytes: number): void {
    this.#bytes -= bytes
    this.#requests--
    if (this.#requests === 0) for (const done of this.#idle.splice(0)) done()
    if (this.#bytes >= BUDGET_BYTES || this.#waiting.size === 0) return
    const waiting = [...this.#waiting]
    this.#waiting.clear()
    for (const resume of waiting) queueMicrotask(resume)
  }

  /** Resolves when no request is under way. */
  idle(): Promise<void> {
    return new Promise((resolve) => {
      if (this.#requests === 0) resolve()
      else this.#idle.push(resolve)
    })
  }

  /** Whether the request is on the disk and in keeping with how it is attached. */
  permits({ action, at, lengthBytes }: Request): boolean {
    const { store, facts: { writable, discard, sectorBytes } } = this
    if (action === 'flush' && lengthBytes === 0) return true
    if (action !== 'read' && !writable) return false
    if (action === 'discard' && !discard) return false
    if (action === 'barrier' && lengthBytes === 0) return true
    // A sector number beyond 2^53 has lost its lowest bits, and is outside anyway.
    return at % sectorBytes === 0 && lengthBytes % sectorBytes === 0 &&
      lengthBytes <= store.sizeBytes && at <= store.sizeBytes - lengthBytes
  }

  /** Reads or writes on the spot, if that is quick; whether it did. The request is permitted. */
  performNow({ action, at, lengthBytes }: Request, pieces: readonly Uint8Array[]): boolean {
    if (action !== 'read' && action !== 'write') return false
    const place = this.store.placeOf(at, lengthBytes, action === 'write')
    if (!place) return false
    if (action === 'write') {
      if (!place.file.writeNow(place.at, pieces)) return false
    } else {
      const count = place.file.readNow(place.at, pieces)
      if (count === undefined) return false
      if (count < lengthBytes) clearFrom(pieces, count)
    }
    this.#count(action, lengthBytes)
    return true
  }

  #count(action: 'read' | 'write', lengthBytes: number): void {
    const { counts } = this
    const sectors = lengthBytes / SECTOR_BYTES
    if (action === 'read') {
      counts.reads++
      counts.sectorsRead += sectors
    } else {
      counts.writes++
      counts.sectorsWritten += sectors
    }
  }

  /** Does a request that is permitted. A flush is for what has been answered. */
  async perform({ action, at, lengthBytes }: Request, buffer: Uint8Array): Promise<void> {
    const { store, facts: { writable } } = this
    switch (action) {
      case 'read':
        this.#count(action, lengthBytes)
        return await store.read(at, buffer)
      case 'write':
        this.#count(action, lengthBytes)
        return await store.write(at, buffer)
      case 'discard':
        return await store.discard(at, lengthBytes)
      default:
        if (writable) await store.flush()
        if (lengthBytes > 0) await store.write(at, buffer)
        if (action === 'barrier') await store.flush()
    }
  }
}

/** Zeros all but the first `count` bytes. */
function clearFrom(pieces: readonly Uint8Array[], count: number): void {
  let start = 0
  for (const piece of pieces) {
    if (start + piece.length > count) piece.fill(0, Math.max(0, count - start))
    start += piece.length
  }
}
