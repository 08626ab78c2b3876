/**
 * For tests only: the front-end of a block device without a guest, over pages that it grants.
 */
import { asEvtchnPort, type GrantRef } from '../../abi/numbers.ts'
import { ENOENT } from '../../abi/xen/errno.ts'
import {
  BlkifRequest, BlkifRequestDiscard, BlkifRequestIndirect, BlkifRequestSegment, BlkifResponse,
} from '../../abi/xen/io/blkif.ts'
import type { Abi } from '../../base/layout/scalar.ts'
import { silentLog } from '../../base/log.ts'
import { type ControlDomain, XenError } from '../../dom0/interfaces.ts'
import { MemoryFile } from '../../storage/memory-file.ts'
import { RawStore } from '../../storage/raw.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { BackendBus } from '../xenbus.ts'
import { BlockDevice } from './device.ts'
import type { DiskFacts } from './disk.ts'

const BACK = '/local/domain/0/backend/vbd/1/51712'
const FRONT = '/local/domain/1/device/vbd/51712'
const ENTRIES = 64
/** The event channel and first ring page of the first queue; the next ones' follow. */
const FIRST_PORT = 7
const FIRST_REF = 1000
const REFS_A_QUEUE = 16

/** One queue's ring. */
interface TestQueue {
  readonly refs: readonly number[]
  produced: number
  consumed: number
}

export class TestFrontend {
  readonly file: MemoryFile
  readonly store = new LocalClient(new Xenstored())
  readonly pages = new Map<number, Uint8Array>()
  readonly warnings: string[] = []
  readonly bus: BackendBus
  /** How many mappings there have been, and are. */
  maps = 0
  mapped = 0
  /** How many responses the ring showed at each notification. */
  readonly shown: number[] = []
  /** The operation of the last response. */
  operation = -1
  device: BlockDevice | undefined
  /** The queue that requests go over. */
  queue = 0
  readonly #handlers = new Map<number, () => void>()
  #abi: Abi = 'x86_64'
  #queues: readonly TestQueue[] = []

  constructor(facts: Partial<DiskFacts> = {}, sizeBytes = 1 << 20) {
    this.file = new MemoryFile('disk', new Uint8Array(sizeBytes))
    const disk: DiskFacts = {
      store: new RawStore(this.file), writable: true, isCdrom: false, discard: true,
      sectorBytes: 512, ...facts,
    }
    this.bus = new BackendBus(this.store, 'vbd', (nodes) => {
      const control = this.#control()
      this.device = new BlockDevice(nodes, disk, {
        control, schedule: (work) => void setImmediate(work),
        warn: (message) => this.warnings.push(message),
      })
      return this.device
    }, silentLog)
    this.store.transaction((tree) => {
      tree.write(`${FRONT}/state`, '1')
      tree.write(`${BACK}/frontend`, FRONT)
      tree.write(`${BACK}/online`, '1')
      tree.write(`${BACK}/hotplug-status`, 'connected')
      tree.write(`${BACK}/state`, '1')
    })
  }

  /** A node of the back-end. */
  said(name: string): string | undefined {
    return this.store.read(`${BACK}/${name}`)
  }

  /** Writes nodes of the front-end. */
  say(nodes: Readonly<Record<string, string | number>>): void {
    for (const [name, value] of Object.entries(nodes)) {
      this.store.write(`${FRONT}/${name}`, `${value}`)
    }
  }

  page(ref: number): Uint8Array {
    let page = this.pages.get(ref)
    if (!page) this.pages.set(ref, page = new Uint8Array(new SharedArrayBuffer(4096)))
    return page
  }

  /** Connects with rings of 2^order pages, the first queue's from ref 1000 on. */
  async connect(
    order = 0, abi: Abi = 'x86_64', more: Record<string, number> = {}, queues = 1,
  ): Promise<void> {
    this.#abi = abi
    this.#queues = Array.from({ length: queues }, (_, queue) => ({
      refs: Array.from({ length: 2 ** order }, (_, i) => FIRST_REF + queue * REFS_A_QUEUE + i),
      produced: 0, consumed: 0,
    }))
    for (const [queue, { refs }] of this.#queues.entries()) {
      for (const ref of refs) this.page(ref).fill(0)
      const rings = order === 0 ? [['ring-ref', refs[0]!] as const]
        : refs.map((ref, i) => [`ring-ref${i}`, ref] as const)
      const path = queues === 1 ? '' : `queue-${queue}/`
      for (const [name, value] of [...rings, ['event-channel', FIRST_PORT + queue] as const]) {
        this.say({ [path + name]: value })
      }
    }
    if (order > 0) this.say({ 'ring-page-order': order })
    if (queues > 1) this.say({ 'multi-queue-num-queues': queues })
    this.say({ ...more, protocol: `${abi}-abi`, state: 3 })
    await this.settle()
  }

  get #current(): TestQueue {
    return this.#queues[this.queue]!
  }

  /** Where in the current ring the entry with an ever rising number begins. */
  #entryAt(number: number): number {
    const size = BlkifRequest.for(this.#abi).size
    const slots = 2 ** Math.floor(Math.log2((this.#current.refs.length * 4096 - ENTRIES) / size))
    return ENTRIES + (number & (slots - 1)) * size
  }

  /** The page of the current ring that has a byte of it. */
  #pageOf(at: number): Uint8Array {
    return this.page(this.#current.refs[at >> 12]!)
  }

  /** Puts bytes as the next request. */
  put(bytes: Uint8Array): void {
    const start = this.#entryAt(this.#current.produced++)
    bytes.forEach((byte, i) => {
      this.#pageOf(start + i)[(start + i) & 4095] = byte
    })
    this.word(0, this.#current.produced)
  }

  /** Sets a word of the ring's head: 0 req_prod, 1 req_event, 2 rsp_prod, 3 rsp_event. */
  word(index: number, value: number): void {
    new Int32Array(this.#pageOf(0).buffer)[index] = value
  }

  signal(): void {
    this.#handlers.get(FIRST_PORT + this.queue)?.()
  }

  /** One request and its status. */
  async ask(
    operation: number, sector: number, segments: readonly [number, number, number][] = [],
  ): Promise<number> {
    this.request(operation, sector, segments)
    return await this.answer()
  }

  /** Puts a request, and does not tell. */
  request(
    operation: number, sector: number, segments: readonly [number, number, number][] = [],
  ): void {
    const layout = BlkifRequest.for(this.#abi)
    const bytes = new Uint8Array(layout.size)
    const request = layout.on(bytes)
    Object.assign(request, {
      operation, nr_segments: segments.length, id: 77n, sector_number: sector,
    })
    segments.forEach(([gref, first_sect, last_sect], i) => {
      if (i < 11) Object.assign(request.seg.item(i), { gref, first_sect, last_sect })
    })
    this.put(bytes)
  }

  async askDiscard(sector: number, count: number): Promise<number> {
    const layout = BlkifRequestDiscard.for(this.#abi)
    const bytes = new Uint8Array(layout.size)
    Object.assign(layout.on(bytes), {
      operation: 5, id: 77n, sector_number: sector, nr_sectors: count,
    })
    this.put(bytes)
    return await this.answer()
  }

  async askIndirect(
    indirect_op: number, sector: number, refs: readonly number[], count = refs.length,
  ): Promise<number> {
    this.requestIndirect(indirect_op, sector, refs, count)
    return await this.answer()
  }

  /** Puts a request for whole pages, listed in page 2000, and does not tell. */
  requestIndirect(
    indirect_op: number, sector: number, refs: readonly number[], count = refs.length,
  ): void {
    const list = BlkifRequestSegment.on(this.page(2000))
    refs.forEach((gref, i) => {
      Object.assign(list.at(i * BlkifRequestSegment.size), { gref, first_sect: 0, last_sect: 7 })
    })
    const layout = BlkifRequestIndirect.for(this.#abi)
    const bytes = new Uint8Array(layout.size)
    const request = layout.on(bytes)
    Object.assign(request, {
      operation: 6, indirect_op, nr_segments: count, id: 77n, sector_number: sector,
    })
    request.indirect_grefs.set(0, 2000 as GrantRef)
    this.put(bytes)
  }

  /** The status of the next response, which must be to request 77. */
  async answer(): Promise<number> {
    const ring = this.#current
    this.word(3, ring.consumed + 1)
    this.signal()
    await this.settle()
    if (new Int32Array(this.#pageOf(0).buffer)[2] === ring.consumed) throw new Error('no response')
    const start = this.#entryAt(ring.consumed++)
    const bytes = Uint8Array.from({ length: 16 }, (_, i) =>
      this.#pageOf(start + i)[(start + i) & 4095] ?? 0)
    const { id, operation, status } = BlkifResponse.for(this.#abi).on(bytes)
    this.operation = operation
    if (id !== 77n) throw new Error(`response to ${id}`)
    return status
  }

  /** Lets all happen that is under way. */
  async settle(): Promise<void> {
    for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve))
  }

  #control(): ControlDomain {
    return {
      grants: {
        map: (domid: number, refs: readonly number[]) => {
          if (domid !== 1 || refs.some((ref) => !this.pages.has(ref))) {
            throw new XenError('map', ENOENT, 'ENOENT')
          }
          this.maps++
          this.mapped += refs.length
          let open = true
          return {
            length: refs.length,
            page: (index: number) => this.page(refs[index]!),
            unmap: () => {
              if (open) this.mapped -= refs.length
              open = false
            },
          }
        },
      },
      events: {
        // Both ends of a channel have the same number here.
        bindInterdomain: (_domid: number, remote: number) => asEvtchnPort(remote),
        onEvent: (port: number, handler: () => void) => { this.#handlers.set(port, handler) },
        notify: (port: number) => {
          const ring = this.#queues[port - FIRST_PORT]!.refs[0]!
          this.shown.push(new Int32Array(this.page(ring).buffer)[2]!)
        },
        unbind: (port: number) => { this.#handlers.delete(port) },
      },
    } as unknown as ControlDomain
  }

}
