/**
 * From a guest to the network: one transmit ring of a PV network interface.
 *
 * Obeys xen/include/public/io/netif.h. A packet is a first request with the size of the whole, its
 * extra slots, and a request for each further fragment; all are copied out of the guest before any
 * is answered. What a guest gets wrong in one packet costs that packet; what makes the ring itself
 * senseless ends the interface.
 */
import type { GrantRef } from '../../abi/numbers.ts'
import {
  NETIF_RSP_ERROR, NETIF_RSP_NULL, NETIF_RSP_OKAY, NetifExtraInfo, NetifTxRequest,
  NetifTxResponse, NetifTxSring, NETTXF_csum_blank, NETTXF_extra_info, NETTXF_more_data,
  XEN_NETIF_EXTRA_FLAG_MORE, XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_EXTRA_TYPE_MAX,
  XEN_NETIF_EXTRA_TYPE_MCAST_ADD, XEN_NETIF_EXTRA_TYPE_MCAST_DEL, XEN_NETIF_GSO_TYPE_TCPV4,
  XEN_NETIF_GSO_TYPE_TCPV6, XEN_NETIF_NR_SLOTS_MIN,
} from '../../abi/xen/io/netif.ts'
import type { GrantedPiece } from '../../dom0/interfaces.ts'
import { ETHERNET_HEADER, type Frame, type MacAddress, macAt } from '../../network/frame.ts'
import type { TokenBucket } from '../../network/token-bucket.ts'
import { BackRing } from '../ring.ts'

const PAGE = 4096
/** What is copied out of the guest at once. */
const BATCH_BYTES = 128 * 1024
/** Packets taken in one service, so that one guest cannot keep the control thread. */
const PACKETS_A_SERVICE = 256
/** What a guest can do without for a moment, of its ring and of what its connections may send. */
const PATIENT_SLOTS = 16
const PATIENT_BYTES = 4096
const RESPONSE_ID = NetifTxResponse.offsets.id
const RESPONSE_STATUS = NetifTxResponse.offsets.status

/** What a transmit ring needs of its interface. */
export interface TransmitHost {
  copyFrom(pieces: readonly GrantedPiece[]): boolean[]
  send(frame: Frame): void
  /** Asks for a multicast group, or no longer; whether that could be done. */
  group(mac: MacAddress, wanted: boolean): boolean
  now(): number
}

/** How a service ended: all done, more to do, or a time to wait for credit. */
export type Served = 'idle' | 'more' | number

interface Packet {
  /** The ids to answer, in the order of their requests; extra slots have none. */
  readonly ids: number[]
  readonly extras: number
  /** The pieces of the guest's memory. */
  readonly pieces: GrantedPiece[]
  readonly bytes: Uint8Array
  readonly csumBlank: boolean
  readonly segmentSize: number | undefined
}

/** What the extra slots of one packet said. */
interface Extras {
  slots: number
  segmentSize: number | undefined
  group: { readonly mac: MacAddress, readonly wanted: boolean } | undefined
}

export class Transmitter {
  readonly ring: BackRing
  readonly #host: TransmitHost
  readonly #bucket: TokenBucket | undefined
  readonly #request: ReturnType<typeof NetifTxRequest.on>
  readonly #extra: ReturnType<typeof NetifExtraInfo.on>
  #batch: Packet[] = []
  #batchBytes = 0
  #hiddenBytes = 0

  constructor(page: Uint8Array, host: TransmitHost, bucket?: TokenBucket) {
    this.ring = new BackRing(page, NetifTxSring)
    this.#host = host
    this.#bucket = bucket
    this.#request = NetifTxRequest.on(this.ring.request)
    this.#extra = NetifExtraInfo.on(this.ring.request)
  }

  /** Whether the guest gets back so little that it can do without for a moment. */
  get mayWait(): boolean {
    return this.ring.hiddenCount <= PATIENT_SLOTS && this.#hiddenBytes <= PATIENT_BYTES
  }

  /** Shows the guest what was sent; whether it wants to be told. */
  publish(): boolean {
    this.#hiddenBytes = 0
    return this.ring.publish()
  }

  /** Takes packets; `publish` is left to the caller. */
  service(): Served {
    let waitMs = 0
    let count = 0
    for (; count < PACKETS_A_SERVICE && waitMs === 0; count++) {
      const waiting = this.ring.waiting()
      if (waiting === 0) break
      waitMs = this.#take(waiting)
      if (this.#batchBytes >= BATCH_BYTES) this.#flush()
    }
    this.#flush()
    if (this.ring.isBroken) return 'idle'
    if (waitMs > 0) return waitMs
    return count === PACKETS_A_SERVICE || this.ring.await(1) ? 'more' : 'idle'
  }

  /** Takes one packet of the `waiting` requests; the time until it may go, if that is later. */
  #take(waiting: number): number {
    const { ring } = this
    ring.read(0)
    const { gref, offset, flags, id, size } = this.#request
    const waitMs = this.#bucket?.take(size, this.#host.now()) ?? 0
    if (waitMs > 0) return waitMs
    const extras = this.#readExtras(flags, waiting)
    if (!extras) return this.#break()
    const first = { gref, offset, size }
    const fragments = [first]
    const ids = [id]
    let used = 1 + extras.slots
    let rest = size
    for (let more = flags & NETTXF_more_data; more;) {
      if (used >= waiting) return this.#break()
      ring.read(used++)
      const next = this.#request
      fragments.push({ gref: next.gref, offset: next.offset, size: next.size })
      ids.push(next.id)
      rest -= next.size
      more = next.flags & NETTXF_more_data
    }
    first.size = rest
    // The first request has the size of the whole.
    if (rest < 0 || fragments.some((part) => part.offset + part.size > PAGE)) return this.#break()
    ring.consume(used)
    if (extras.group) {
      const { mac, wanted } = extras.group
      return this.#answer(ids, extras.slots, this.#host.group(mac, wanted))
    }
    if (size < ETHERNET_HEADER || fragments.length > XEN_NETIF_NR_SLOTS_MIN) {
      return this.#answer(ids, extras.slots, false)
    }
    const bytes = new Uint8Array(size)
    let at = 0
    const pieces = fragments.map((part): GrantedPiece => ({
      ref: part.gref as GrantRef, offset: part.offset, bytes: bytes.subarray(at, at += part.size),
    }))
    this.#batch.push({
      ids, extras: extras.slots, pieces, bytes, segmentSize: extras.segmentSize,
      csumBlank: (flags & NETTXF_csum_blank) !== 0,
    })
    this.#batchBytes += size
    return 0
  }

  /** Reads the extra slots after the first request; undefined when they make no sense. */
  #readExtras(flags: number, waiting: number): Extras | undefined {
    const extras: Extras = { slots: 0, segmentSize: undefined, group: undefined }
    for (let more = (flags & NETTXF_extra_info) !== 0; more;) {
      if (1 + extras.slots >= waiting) return undefined
      this.ring.read(1 + extras.slots++)
      const extra = this.#extra
      const { type } = extra
      if (type === 0 || type >= XEN_NETIF_EXTRA_TYPE_MAX) return undefined
      if (type === XEN_NETIF_EXTRA_TYPE_GSO) {
        const { gso } = extra.u
        const known = gso.type === XEN_NETIF_GSO_TYPE_TCPV4 || gso.type === XEN_NETIF_GSO_TYPE_TCPV6
        if (!known || gso.size === 0) return undefined
        extras.segmentSize = gso.size
      } else if (type === XEN_NETIF_EXTRA_TYPE_MCAST_ADD ||
        type === XEN_NETIF_EXTRA_TYPE_MCAST_DEL) {
        const address = Uint8Array.from({ length: 6 }, (_, i) => extra.u.mcast.addr.get(i))
        extras.group = {
          mac: macAt(address, 0), wanted: type === XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
        }
      }
      more = (extra.flags & XEN_NETIF_EXTRA_FLAG_MORE) !== 0
    }
    return extras
  }

  #break(): 0 {
    this.ring.break()
    return 0
  }

  /** Copies what was gathered, answers it and sends it. */
  #flush(): void {
    const batch = this.#batch
    if (batch.length === 0) return
    this.#batch = []
    this.#batchBytes = 0
    const pieces = batch.flatMap((packet) => packet.pieces)
    const copied = this.#host.copyFrom(pieces)
    let next = 0
    for (const packet of batch) {
      this.#hiddenBytes += packet.bytes.length
      const end = next + packet.pieces.length
      const fine = copied.slice(next, end).every(Boolean)
      next = end
      this.#answer(packet.ids, packet.extras, fine)
      if (fine) this.#host.send(frameOf(packet))
    }
  }

  #answer(ids: readonly number[], extras: number, fine: boolean): 0 {
    for (const [i, id] of ids.entries()) {
      this.#respond(id, fine ? NETIF_RSP_OKAY : NETIF_RSP_ERROR)
      // The extra slots follow the first request.
      for (let n = 0; i === 0 && n < extras; n++) this.#respond(0, NETIF_RSP_NULL)
    }
    return 0
  }

  #respond(id: number, status: number): void {
    this.ring.respond((page, at) => {
      page.setUint16(at + RESPONSE_ID, id, true)
      page.setInt16(at + RESPONSE_STATUS, status, true)
    })
  }
}

function frameOf({ bytes, csumBlank, segmentSize }: Packet): Frame {
  if (segmentSize !== undefined) return { bytes, checksumBlank: true, segmentSize }
  return csumBlank ? { bytes, checksumBlank: true } : { bytes }
}
