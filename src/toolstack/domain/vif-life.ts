/**
 * The lives of a domain's network interfaces: made with it or later, taken away, listed.
 */
import type { XenstoreClient } from '../../xenstore/client.ts'
import type { VifSpec } from '../config/vif.ts'
import type { DomainSpec, VifSummary } from './libxl.ts'
import {
  addVif, completeVif, findVif, listVifs, removeVif, requestDetach, vifIds, whenDetached,
} from './vifs.ts'

/** libxl waits so long for a front-end to let go. */
const DETACH_MS = 10_000

/** The specification with the interfaces that its domain has now. */
export function changedVifs(
  spec: DomainSpec, added: VifSpec | undefined, removed?: number,
): DomainSpec {
  const kept = (spec.vifs ?? []).filter(({ devid }) => devid !== removed)
  return { ...spec, vifs: added ? [...kept, added] : kept }
}

/** What the interfaces need of their host. */
interface VifHost {
  random(count: number): Uint8Array
  delay(ms: number, work: () => void): () => void
}

export class Vifs {
  readonly #store: XenstoreClient
  readonly #host: VifHost

  constructor(store: XenstoreClient, host: VifHost) {
    this.#store = store
    this.#host = host
  }

  list(domid: number): VifSummary[] {
    return listVifs(this.#store, domid)
  }

  /** Makes the interfaces of a new domain; answers its specification with what they became. */
  attachAll(domid: number, spec: DomainSpec): DomainSpec {
    const vifs = spec.vifs?.map((vif) => this.attach(domid, vif))
    return vifs ? { ...spec, vifs } : spec
  }

  /** Makes an interface; answers what it became. */
  attach(domid: number, vif: VifSpec): VifSpec {
    const whole = completeVif(vif, vifIds(this.#store, domid), this.#host.random(3))
    addVif(this.#store, domid, whole)
    return whole
  }

  /** Takes an interface away, whether the guest lets go or not; undefined when there is none. */
  detach(domid: number, name: string): Promise<number | undefined> {
    const devid = findVif(this.#store, domid, name)
    if (devid === undefined) return Promise.resolve(undefined)
    return new Promise((resolve) => {
      let endWatch: (() => void) | undefined
      let over = false
      const finish = (): void => {
        if (over) return
        over = true
        cancel()
        endWatch?.()
        removeVif(this.#store, domid, devid)
        resolve(devid)
      }
      const cancel = this.#host.delay(DETACH_MS, finish)
      requestDetach(this.#store, domid, devid)
      endWatch = whenDetached(this.#store, domid, devid, finish)
      if (over) endWatch()
    })
  }

  /** The domain is being torn down: its interfaces go at once. */
  removeAll(domid: number): void {
    for (const devid of vifIds(this.#store, domid)) removeVif(this.#store, domid, devid)
  }
}
