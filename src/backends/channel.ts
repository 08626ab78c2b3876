/**
 * Consoles beside a domain's first, which front-ends connect to by xenbus: channels.
 *
 * Obeys xen/include/public/io/console.h and what QEMU's xen_console.c does with the nodes. The
 * host's end outlives front-ends: what the guest wrote waits for a reader, and what a reader wrote
 * for a front-end.
 */
import { asEvtchnPort, asGrantRef } from '../abi/numbers.ts'
import type { ControlDomain } from '../dom0/interfaces.ts'
import { ConsoleEnd } from './console-end.ts'
import { type Backend, BackendError, type DeviceNodes, numberAt } from './xenbus.ts'

/** What a channel needs of its host. */
export interface ChannelHost {
  readonly control: ControlDomain
  schedule(work: () => void): void
}

export class Channel extends ConsoleEnd implements Backend {
  readonly #host: ChannelHost
  readonly #nodes: DeviceNodes

  constructor(nodes: DeviceNodes, host: ChannelHost) {
    super()
    this.#nodes = nodes
    this.#host = host
  }

  connect(): void {
    const { store, frontend, domid } = this.#nodes
    const { control } = this.#host
    const ref = numberAt(store, `${frontend}/ring-ref`)
    const remote = numberAt(store, `${frontend}/port`)
    if (ref === undefined || remote === undefined) throw new BackendError('no ring or no port')
    const mapping = control.grants.map(domid, [asGrantRef(ref)], true)
    this.connectRing(
      control, (work) => this.#host.schedule(work), domid, mapping, asEvtchnPort(remote))
    this.service()
  }

  remove(): void {
    this.close()
  }
}
