/**
 * A front-end's data pages: mapped for a moment, or kept when the front-end uses them again.
 *
 * Persistent grants are an agreement of both ends: pages stay mapped, up to a limit, until the
 * front-end goes. What is beyond the limit, or cannot be mapped for writing, is mapped each time.
 */
import type { Domid, GrantRef } from '../../abi/numbers.ts'
import { type GrantTable, type Mapping, XenError } from '../../dom0/interfaces.ts'

/** As many as Linux keeps for a ring of one page. */
const MAX_PERSISTENT = 1056

export class FrontendPages {
  readonly #grants: GrantTable
  readonly #domid: Domid
  readonly #kept: Map<GrantRef, Mapping> | undefined

  constructor(grants: GrantTable, domid: Domid, persistent: boolean) {
    this.#grants = grants
    this.#domid = domid
    this.#kept = persistent ? new Map() : undefined
  }

  /** Runs `work` on the page of each of `refs` in order; false when one cannot be mapped. */
  each(
    refs: readonly GrantRef[], writable: boolean, work: (page: Uint8Array, index: number) => void,
  ): boolean {
    return this.#kept ? this.#eachKept(this.#kept, refs, writable, work)
      : this.#eachOnce(refs, writable, work)
  }

  close(): void {
    for (const mapping of this.#kept?.values() ?? []) mapping.unmap()
    this.#kept?.clear()
  }

  #eachOnce(
    refs: readonly GrantRef[], writable: boolean, work: (page: Uint8Array, index: number) => void,
  ): boolean {
    const mapping = this.#map(refs, writable)
    if (!mapping) return false
    refs.forEach((_, i) => work(mapping.page(i), i))
    mapping.unmap()
    return true
  }

  #eachKept(
    kept: Map<GrantRef, Mapping>, refs: readonly GrantRef[], writable: boolean,
    work: (page: Uint8Array, index: number) => void,
  ): boolean {
    return refs.every((ref, i) => {
      const known = kept.get(ref) ?? this.#keep(kept, ref)
      if (!known) return this.#eachOnce([ref], writable, (page) => work(page, i))
      work(known.page(0), i)
      return true
    })
  }

  #keep(kept: Map<GrantRef, Mapping>, ref: GrantRef): Mapping | undefined {
    if (kept.size >= MAX_PERSISTENT) return undefined
    const mapping = this.#map([ref], true)
    if (mapping) kept.set(ref, mapping)
    return mapping
  }

  #map(refs: readonly GrantRef[], writable: boolean): Mapping | undefined {
    try {
      return this.#grants.map(this.#domid, refs, writable)
    } catch (error) {
      if (error instanceof XenError) return undefined
      throw error
    }
  }
}
