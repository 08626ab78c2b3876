/**
 * A PV block device's back-end, between a front-end's rings and a disk.
 *
 * Obeys xen/include/public/io/blkif.h. Offered: flushes, barriers, discards, indirect requests,
 * persistent grants, rings of up to 16 pages, several queues. Left out: secure discards.
 */
import { asEvtchnPort, asGrantRef } from '../../abi/numbers.ts'
import { VDISK_CDROM, VDISK_READONLY, VDISK_REMOVABLE } from '../../abi/xen/io/blkif.ts'
import type { Abi } from '../../base/layout/scalar.ts'
import type { ControlDomain } from '../../dom0/interfaces.ts'
import type { StoreAccess } from '../../xenstore/client.ts'
import { type Backend, BackendError, type DeviceNodes, numberAt } from '../xenbus.ts'
import { BlockDisk, type DiskFacts } from './disk.ts'
import { FrontendPages } from './pages.ts'
import { BlockQueue } from './queue.ts'
import { MAX_INDIRECT_SEGMENTS, SECTOR_BYTES } from './request.ts'
import { BlockRing } from './ring.ts'

const MAX_RING_ORDER = 4
const QUEUES_OFFERED = 4
/** Failures of one device that are logged. */
const FAILURES_LOGGED = 10

const ABIS: Readonly<Record<string, Abi>> = { 'x86_64-abi': 'x86_64', 'x86_32-abi': 'x86_32' }

/** What a device needs of its host. */
export interface BlockDeviceHost {
  readonly control: ControlDomain
  /** Runs `work` in a later turn, after others had theirs. */
  schedule(work: () => void): void
  warn(message: string): void
}

interface Connection {
  close(): void
}

export class BlockDevice implements Backend {
  readonly disk: BlockDisk
  readonly #nodes: DeviceNodes
  readonly #host: BlockDeviceHost
  #connections: Connection[] = []
  #failures = 0

  /** Publishes what is offered before the front-end is known. */
  constructor(nodes: DeviceNodes, facts: DiskFacts, host: BlockDeviceHost) {
    this.#nodes = nodes
    this.#host = host
    this.disk = new BlockDisk(facts)
    this.#publish([
      ['feature-max-indirect-segments', MAX_INDIRECT_SEGMENTS],
      ['multi-queue-max-queues', QUEUES_OFFERED],
      ['max-ring-page-order', MAX_RING_ORDER],
    ])
  }

  connect(): void {
    const { store, frontend } = this.#nodes
    const queues = numberAt(store, `${frontend}/multi-queue-num-queues`) ?? 1
    if (queues < 1 || queues > QUEUES_OFFERED) {
      throw new BackendError(`the front-end wants ${queues} queues, ${QUEUES_OFFERED} are offered`)
    }
    const order = numberAt(store, `${frontend}/ring-page-order`)
    if (order !== undefined && order > MAX_RING_ORDER) {
      throw new BackendError(`the front-end wants rings of order ${order}`)
    }
    const protocol = store.read(`${frontend}/protocol`) ?? 'x86_64-abi'
    const abi = ABIS[protocol]
    if (abi === undefined) throw new BackendError(`unknown protocol ${protocol.slice(0, 40)}`)
    this.#publishDisk()
    const persistent = numberAt(store, `${frontend}/feature-persistent`) === 1
    for (let i = 0; i < queues; i++) {
      const path = queues === 1 ? frontend : `${frontend}/queue-${i}`
      this.#connections.push(this.#connectQueue(path, order, abi, persistent))
    }
  }

  #connectQueue(
    path: string, order: number | undefined, abi: Abi, persistent: boolean,
  ): Connection {
    const { store, domid } = this.#nodes
    const { grants, events } = this.#host.control
    const must = (name: string): number => {
      const value = numberAt(store, `${path}/${name}`)
      if (value === undefined) throw new BackendError(`${path}/${name} is not a number`)
      return value
    }
    // A ring of order 0 may be spoken of in either way.
    const numbered = order !== undefined && store.read(`${path}/ring-ref`) === undefined
    const refs = numbered
      ? Array.from({ length: 2 ** order }, (_, i) => asGrantRef(must(`ring-ref${i}`)))
      : [asGrantRef(must('ring-ref'))]
    const remote = asEvtchnPort(must('event-channel'))
    const mapping = grants.map(domid, refs, true)
    let port: ReturnType<typeof events.bindInterdomain>
    try {
      port = events.bindInterdomain(domid, remote)
    } catch (error) {
      mapping.unmap()
      throw error
    }
    const pages = new FrontendPages(grants, domid, persistent)
    const ring = new BlockRing(refs.map((_, i) => mapping.page(i)), abi)
    const queue = new BlockQueue(ring, pages, this.disk, {
      notify: () => events.notify(port),
      schedule: this.#host.schedule,
      broken: () => this.#broken(),
      failed: (why) => this.#failed(why),
    })
    events.onEvent(port, () => queue.service())
    // What was put into the ring before anybody listened.
    this.#host.schedule(() => queue.service())
    return {
      close: () => {
        queue.close()
        events.unbind(port)
        mapping.unmap()
      },
    }
  }

  /** Tells the front-end of the disk's size, which has changed with it or its medium. */
  resized(): void {
    if (this.#connections.length === 0) return
    const { store, backend } = this.#nodes
    store.transaction((tree) => {
      tree.write(`${backend}/sectors`, `${this.#sectors()}`)
      const state = tree.read(`${backend}/state`)
      // Said again, it makes the front-end look.
      if (state !== undefined) tree.write(`${backend}/state`, state)
    })
  }

  disconnect(): void {
    for (const connection of this.#connections.splice(0)) connection.close()
  }

  remove(): void {
    this.disconnect()
  }

  #sectors(): number {
    return Math.floor(this.disk.store.sizeBytes / SECTOR_BYTES)
  }

  #publishDisk(): void {
    const { writable, isCdrom, discard, sectorBytes } = this.disk.facts
    const info = (isCdrom ? VDISK_CDROM | VDISK_REMOVABLE : 0) | (writable ? 0 : VDISK_READONLY)
    const granularity: [string, number][] = writable && discard
      ? [['discard-granularity', Math.max(4096, sectorBytes)], ['discard-alignment', 0],
          ['discard-secure', 0], ['feature-discard', 1]]
      : []
    this.#publish([
      ['feature-flush-cache', 1], ...granularity, ['feature-barrier', 1],
      ['feature-persistent', 1], ['sectors', this.#sectors()], ['info', info],
      ['sector-size', sectorBytes], ['physical-sector-size', sectorBytes],
    ])
  }

  #publish(values: readonly (readonly [string, number])[]): void {
    const { store, backend } = this.#nodes
    store.transaction((tree: StoreAccess) => {
      for (const [name, value] of values) tree.write(`${backend}/${name}`, `${value}`)
    })
  }

  #broken(): void {
    if (this.#connections.length === 0) return
    this.disconnect()
    this.#host.warn(`Domain ${this.#nodes.domid}: ${this.#nodes.backend}: impossible ring index`)
  }

  #failed(why: string): void {
    if (this.#failures++ >= FAILURES_LOGGED) return
    this.#host.warn(`Domain ${this.#nodes.domid}: ${this.#nodes.backend}: ${why}`)
  }
}
