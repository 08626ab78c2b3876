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
  #handler: (() => void) | undefined
  #abi: Abi = 'x86_64'
  #ring: readonly number[] = []
  #produced = 0
  #consumed = 0

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

  /** Connects with a ring of 2^order pages from ref 1000 on. */
  async connect(order = 0, abi: Abi = 'x86_64', more: Record<string, number> = {}): Promise<void> {
    this.#abi = abi
    this.#ring = Array.from({ length: 2 ** order }, (_, i) => 1000 + i)
    this.#produced = this.#consumed = 0
    for (const ref of this.#ring) this.page(ref).fill(0)
    const refs = order === 0 ? { 'ring-ref': 1000 } : {
      'ring-page-order': order,
      ...Object.fromEntries(this.#ring.map((ref, i) => [`ring-ref${i}`, ref])),
    }
    this.say({ ...refs, ...more, 'event-channel': 7, protocol: `${abi}-abi`, state: 3 })
    await this.settle()
  }

  /** Puts bytes as the next request. */
  put(bytes: Uint8Array): void {
    const size = BlkifRequest.for(this.#abi).size
    const slots = 2 ** Math.floor(Math.log2((this.#ring.length * 4096 - ENTRIES) / size))
    const start = ENTRIES + (this.#produced & (slots - 1)) * size
    bytes.forEach((byte, i) => {
      this.page(this.#ring[(start + i) >> 12]!)[(start + i) & 4095] = byte
    })
    this.#produced++
    this.word(0, this.#produced)
  }

  /** Sets a word of the ring's head: 0 req_prod, 1 req_event, 2 rsp_prod, 3 rsp_event. */
  word(index: number, value: number): void {
    new Int32Array(this.page(1000).buffer)[index] = value
  }

  signal(): void {
    this.#handler?.()
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
    this.word(3, this.#consumed + 1)
    this.signal()
    await this.settle()
    const head = new Int32Array(this.page(1000).buffer)
    if (head[2] === this.#consumed) throw new Error('no response')
    const size = BlkifRequest.for(this.#abi).size
    const slots = 2 ** Math.floor(Math.log2((this.#ring.length * 4096 - ENTRIES) / size))
    const start = ENTRIES + (this.#consumed++ & (slots - 1)) * size
    const bytes = Uint8Array.from({ length: 16 }, (_, i) =>
      this.page(this.#ring[(start + i) >> 12]!)[(start + i) & 4095] ?? 0)
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
        bindInterdomain: () => asEvtchnPort(5),
        onEvent: (_port: number, handler: () => void) => { this.#handler = handler },
        notify: () => { this.shown.push(new Int32Array(this.page(1000).buffer)[2]!) },
        unbind: () => { this.#handler = undefined },
      },
    } as unknown as ControlDomain
  }

}
