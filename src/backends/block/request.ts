/**
 * A block device's request as the guest wrote it, checked and in one form.
 *
 * Obeys xen/include/public/io/blkif.h, for guests of either width. Sectors have 512 bytes whatever
 * the device's sector size. Whether the range is on the disk is not known here.
 */
import type { GrantRef } from '../../abi/numbers.ts'
import * as B from '../../abi/xen/io/blkif.ts'
import type { Abi } from '../../base/layout/scalar.ts'

export const SECTOR_BYTES = 512
const PAGE_BYTES = 4096
const SECTORS_PER_PAGE = PAGE_BYTES / SECTOR_BYTES
/** What is offered as feature-max-indirect-segments, as by Linux: they fit one page. */
export const MAX_INDIRECT_SEGMENTS = 256

/** Part of a granted page. */
export interface Segment {
  readonly ref: GrantRef
  readonly offset: number
  readonly lengthBytes: number
}

export interface Request {
  readonly id: bigint
  /** What the response repeats. */
  readonly operation: number
  /** What is to be done with the segments or the range. */
  readonly action: 'read' | 'write' | 'barrier' | 'flush' | 'discard'
  readonly at: number
  readonly lengthBytes: number
  readonly segments: readonly Segment[]
}

/** A request that is answered without doing anything. */
export interface Refused {
  readonly id: bigint
  readonly operation: number
  readonly status: number
}

/** Copies a granted page of segments; false when it is not granted. */
export type ReadPage = (ref: GrantRef, into: Uint8Array) => boolean

const ACTIONS: Readonly<Record<number, 'read' | 'write' | 'barrier' | 'flush'>> = {
  [B.BLKIF_OP_READ]: 'read',
  [B.BLKIF_OP_WRITE]: 'write',
  [B.BLKIF_OP_WRITE_BARRIER]: 'barrier',
  [B.BLKIF_OP_FLUSH_DISKCACHE]: 'flush',
}

/** Reads requests of one ABI out of the bytes of one. */
export class RequestReader {
  readonly #direct
  readonly #discard
  readonly #indirect
  readonly #page = new Uint8Array(PAGE_BYTES)
  readonly #entry = B.BlkifRequestSegment.on(this.#page)
  readonly #readPage: ReadPage

  constructor(abi: Abi, bytes: Uint8Array, readPage: ReadPage) {
    this.#direct = B.BlkifRequest.for(abi).on(bytes)
    this.#discard = B.BlkifRequestDiscard.for(abi).on(bytes)
    this.#indirect = B.BlkifRequestIndirect.for(abi).on(bytes)
    this.#readPage = readPage
  }

  /** The request that is there now. */
  read(): Request | Refused {
    const direct = this.#direct
    const { operation, id } = direct
    if (operation === B.BLKIF_OP_DISCARD) return this.#readDiscard()
    if (operation === B.BLKIF_OP_INDIRECT) return this.#readIndirect()
    const action = ACTIONS[operation]
    if (!action) return { id, operation, status: B.BLKIF_RSP_EOPNOTSUPP }
    const count = direct.nr_segments
    const mayBeEmpty = action === 'flush' || action === 'barrier'
    if (count > B.BLKIF_MAX_SEGMENTS_PER_REQUEST || count === 0 && !mayBeEmpty) {
      return refused(id, operation)
    }
    const segments: Segment[] = []
    for (let i = 0; i < count; i++) {
      const segment = segmentOf(direct.seg.item(i))
      if (!segment) return refused(id, operation)
      segments.push(segment)
    }
    return request(id, operation, action, direct.sector_number, segments)
  }

  #readDiscard(): Request | Refused {
    const { id, operation, sector_number, nr_sectors } = this.#discard
    return {
      id, operation, action: 'discard', at: sector_number * SECTOR_BYTES,
      lengthBytes: nr_sectors * SECTOR_BYTES, segments: [],
    }
  }

  #readIndirect(): Request | Refused {
    const indirect = this.#indirect
    // The response repeats what was done, not how it was asked for: Linux insists.
    const { id, indirect_op: operation, nr_segments: count } = indirect
    const action = ACTIONS[operation]
    if (action !== 'read' && action !== 'write' || count === 0 || count > MAX_INDIRECT_SEGMENTS) {
      return refused(id, operation)
    }
    if (!this.#readPage(indirect.indirect_grefs.get(0), this.#page)) return refused(id, operation)
    const entry = this.#entry
    const segments: Segment[] = []
    for (let i = 0; i < count; i++) {
      const segment = segmentOf(entry.at(i * B.BlkifRequestSegment.size))
      if (!segment) return refused(id, operation)
      segments.push(segment)
    }
    return request(id, operation, action, indirect.sector_number, segments)
  }
}

function refused(id: bigint, operation: number): Refused {
  return { id, operation, status: B.BLKIF_RSP_ERROR }
}

function request(
  id: bigint, operation: number, action: Request['action'], sector: number,
  segments: readonly Segment[],
): Request {
  let lengthBytes = 0
  for (const segment of segments) lengthBytes += segment.lengthBytes
  return { id, operation, action, at: sector * SECTOR_BYTES, lengthBytes, segments }
}

function segmentOf(
  entry: { readonly gref: GrantRef, readonly first_sect: number, readonly last_sect: number },
): Segment | undefined {
  const { gref: ref, first_sect: first, last_sect: last } = entry
  if (last < first || last >= SECTORS_PER_PAGE) return undefined
  return { ref, offset: first * SECTOR_BYTES, lengthBytes: (last - first + 1) * SECTOR_BYTES }
}
