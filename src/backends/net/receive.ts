/**
 * From the network to a guest: one receive ring of a PV network interface.
 *
 * Obeys xen/include/public/io/netif.h with request-rx-copy: each request is a granted page into
 * which a part of a frame is copied. Frames wait for requests up to a limit; then they are lost, as
 * on any network.
 */
import type { GrantRef } from '../../abi/numbers.ts'
import {
  NETIF_RSP_ERROR, NetifExtraInfo, NetifRxRequest, NetifRxResponse, NetifRxSring,
  NETRXF_csum_blank, NETRXF_data_validated, NETRXF_extra_info, NETRXF_more_data,
  XEN_NETIF_EXTRA_TYPE_GSO, XEN_NETIF_GSO_TYPE_TCPV4, XEN_NETIF_GSO_TYPE_TCPV6,
  XEN_NETIF_NR_SLOTS_MIN,
} from '../../abi/xen/io/netif.ts'
import type { GrantedPiece } from '../../dom0/interfaces.ts'
import { ipPlaces } from '../../network/checksum.ts'
import type { Frame } from '../../network/frame.ts'
import { wireFrames } from '../../network/offload.ts'
import { BackRing } from '../ring.ts'

const PAGE = 4096
const WAITING_BYTES = 4 * 1024 * 1024
const WAITING_FRAMES = 4096
/** Pages filled by one copy. */
const BATCH_SLOTS = 48
const { id: ID, offset: OFFSET, flags: FLAGS, status: STATUS } = NetifRxResponse.offsets

/** What a guest said that it can take. */
export interface ReceiveFeatures {
  /** Frames in more than one page. */
  readonly scatter: boolean
  readonly gsoTcpv4: boolean
  readonly gsoTcpv6: boolean
  /** Checksums that are still to be computed. */
  readonly csumIpv4: boolean
  readonly csumIpv6: boolean
}

/** A slot of a frame: its request, and what is copied there. */
interface Slot {
  readonly id: number
  readonly piece: GrantedPiece | undefined
  readonly flags: number
  /** The segment size, in the slot that says so. */
  readonly gso?: { readonly size: number, readonly type: number }
}

export class Receiver {
  readonly ring: BackRing
  readonly #features: ReceiveFeatures
  readonly #copyTo: (pieces: readonly GrantedPiece[]) => boolean[]
  readonly #request: ReturnType<typeof NetifRxRequest.on>
  #waiting: Frame[] = []
  #waitingBytes = 0

  constructor(
    page: Uint8Array, features: ReceiveFeatures,
    copyTo: (pieces: readonly GrantedPiece[]) => boolean[],
  ) {
    this.ring = new BackRing(page, NetifRxSring)
    this.#features = features
    this.#copyTo = copyTo
    this.#request = NetifRxRequest.on(this.ring.request)
  }

  /** Puts a frame where `service` finds it, in a form that the guest takes; false when there is no
   * room for it, or for a part of it. */
  push(frame: Frame): boolean {
    let isWhole = true
    for (const form of this.#forms(frame)) {
      const { length } = form.bytes
      if (slotCount(form) > (this.#features.scatter ? XEN_NETIF_NR_SLOTS_MIN : 1)) {
        isWhole = false
        continue
      }
      if (this.#waitingBytes + length > WAITING_BYTES) return false
      if (this.#waiting.length >= WAITING_FRAMES) return false
      this.#waiting.push(form)
      this.#waitingBytes += length
    }
    return isWhole
  }

  /** Moves frames into the guest; `publish` of the ring is left to the caller. */
  service(): void {
    let slots: Slot[] = []
    let moved = 0
    for (const frame of this.#waiting) {
      const needed = slotCount(frame)
      if (!this.ring.await(needed)) break
      slots.push(...this.#place(frame))
      this.#waitingBytes -= frame.bytes.length
      moved++
      if (slots.length >= BATCH_SLOTS) {
        this.#fill(slots)
        slots = []
      }
    }
    this.#fill(slots)
    this.#waiting.splice(0, moved)
  }

  /** The frame as it is, or what it becomes for a guest that does not take it so. */
  #forms(frame: Frame): readonly Frame[] {
    if (!frame.checksumBlank && frame.segmentSize === undefined) return [frame]
    const { gsoTcpv4, gsoTcpv6, csumIpv4, csumIpv6, scatter } = this.#features
    const six = ipPlaces(frame.bytes)?.version === 6
    const cut = frame.segmentSize !== undefined && !(scatter && (six ? gsoTcpv6 : gsoTcpv4))
    return cut || !(six ? csumIpv6 : csumIpv4) ? wireFrames(frame) : [frame]
  }

  /** Takes requests for a frame; there are enough of them. */
  #place(frame: Frame): Slot[] {
    const { bytes, segmentSize } = frame
    const slots: Slot[] = []
    for (let at = 0, index = 0; at < bytes.length; at += PAGE, index++) {
      const last = at + PAGE >= bytes.length
      let flags = last ? 0 : NETRXF_more_data
      const gso = index === 0 && segmentSize !== undefined
      if (index === 0) {
        if (frame.checksumBlank) flags |= NETRXF_csum_blank | NETRXF_data_validated
        if (gso) flags |= NETRXF_extra_info
      }
      const { id, gref } = this.#next()
      const piece = { ref: gref as GrantRef, offset: 0, bytes: bytes.subarray(at, at + PAGE) }
      slots.push({ id, piece, flags })
      if (gso) {
        const six = ipPlaces(bytes)?.version === 6
        const type = six ? XEN_NETIF_GSO_TYPE_TCPV6 : XEN_NETIF_GSO_TYPE_TCPV4
        // The page of this request is not used.
        slots.push({ id: this.#next().id, piece: undefined, flags: 0,
          gso: { size: segmentSize, type } })
      }
    }
    return slots
  }

  #next(): { readonly id: number, readonly gref: number } {
    this.ring.read(0)
    this.ring.consume(1)
    return { id: this.#request.id, gref: this.#request.gref }
  }

  #fill(slots: readonly Slot[]): void {
    const pieces = slots.flatMap(({ piece }) => piece ?? [])
    if (pieces.length === 0) return
    const copied = this.#copyTo(pieces)
    let next = 0
    for (const { id, piece, flags, gso } of slots) {
      const status = !piece ? 0 : copied[next++] ? piece.bytes.length : NETIF_RSP_ERROR
      this.ring.respond((page, at) => {
        if (gso) return writeGso(page, at, gso)
        page.setUint16(at + ID, id, true)
        page.setUint16(at + OFFSET, 0, true)
        page.setUint16(at + FLAGS, flags, true)
        page.setInt16(at + STATUS, status, true)
      })
    }
  }
}

function writeGso(page: DataView, at: number, gso: { size: number, type: number }): void {
  const extra = NetifExtraInfo.on(page, at)
  extra.type = XEN_NETIF_EXTRA_TYPE_GSO
  extra.flags = 0
  extra.u.gso.size = gso.size
  extra.u.gso.type = gso.type
  extra.u.gso.pad = 0
  extra.u.gso.features = 0
}

function slotCount(frame: Frame): number {
  return Math.ceil(frame.bytes.length / PAGE) + (frame.segmentSize === undefined ? 0 : 1)
}
