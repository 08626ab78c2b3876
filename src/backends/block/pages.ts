/**
 * A front-end's data pages: mapped for a moment, or kept when the front-end uses them again.
 *
 * Persistent grants are an agreement of both ends: pages stay mapped, up to a limit, until the
 * front-end goes. What is beyond the limit, or cannot be mapped for writing, is mapped each time.
 */
import type { Domid, GrantRef } from '../../abi/numbers.ts'
import { type GrantTable, type Mapping, XenError } from '../../dom0/interfaces.ts'
import type { Segment } from './request.ts'

const PAGE = 4096
/** As many as Linux keeps for a ring of one page. */
const MAX_PERSISTENT = 1056

export class FrontendPages {
  readonly #grants: GrantTable
  readonly #domid: Domid
  readonly #persistent: boolean
  readonly #kept = new Map<GrantRef, Uint8Array>()
  readonly #mappings: Mapping[] = []

  constructor(grants: GrantTable, domid: Domid, persistent: boolean) {
    this.#grants = grants
    this.#domid = domid
    this.#persistent = persistent
  }

  /**
   * Runs `work` on the bytes of segments, which are there until it returns; undefined when one is
   * not granted.
   */
  use<T>(
    segments: readonly Segment[], writable: boolean, work: (pieces: readonly Uint8Array[]) => T,
  ): T | undefined {
    const pieces: Uint8Array[] = []
    const passing: Mapping[] = []
    try {
      for (const { ref, offset, lengthBytes } of segments) {
        const page = this.#page(ref, writable, passing)
        if (!page) return undefined
        pieces.push(lengthBytes === PAGE ? page : page.subarray(offset, offset + lengthBytes))
      }
      return work(pieces)
    } finally {
      for (const mapping of passing) mapping.unmap()
    }
  }

  close(): void {
    for (const mapping of this.#mappings.splice(0)) mapping.unmap()
    this.#kept.clear()
  }

  /** A granted page; one that is not kept has its mapping put to those that are passing. */
  #page(ref: GrantRef, writable: boolean, passing: Mapping[]): Uint8Array | undefined {
    const kept = this.#kept.get(ref) ?? this.#keep(ref)
    if (kept) return kept
    const mapping = this.#map(ref, writable)
    if (mapping) passing.push(mapping)
    return mapping?.page(0)
  }

  #keep(ref: GrantRef): Uint8Array | undefined {
    if (!this.#persistent || this.#kept.size >= MAX_PERSISTENT) return undefined
    const mapping = this.#map(ref, true)
    if (!mapping) return undefined
    this.#mappings.push(mapping)
    const page = mapping.page(0)
    this.#kept.set(ref, page)
    return page
  }

  #map(ref: GrantRef, writable: boolean): Mapping | undefined {
    try {
      return this.#grants.map(this.#domid, [ref], writable)
    } catch (error) {
      if (error instanceof XenError) return undefined
      throw error
    }
  }
}
