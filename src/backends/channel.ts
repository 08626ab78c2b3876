/**
 * Consoles beside a domain's first, which front-ends connect to by xenbus: channels.
 *
 * Obeys xen/include/public/io/console.h and what QEMU's xen_console.c does with the nodes. The
 * host's end outlives front-ends: what the guest wrote waits for a reader, and what a reader wrote
 * for a front-end.
 */
import { asEvtchnPort, asGrantRef } from '../abi/numbers.ts'
import type { ControlDomain } from '../dom0/interfaces.ts'
import { CONSOLE_LIMIT, ConsoleBackend } from './console.ts'
import { type ConsoleReader, ConsoleReaders } from './console-readers.ts'
import { type Backend, BackendError, type DeviceNodes, numberAt } from './xenbus.ts'

/** What a channel needs of its host. */
export interface ChannelHost {
  readonly control: ControlDomain
  schedule(work: () => void): void
}

export class Channel implements Backend {
  readonly #host: ChannelHost
  readonly #nodes: DeviceNodes
  readonly #readers = new ConsoleReaders(CONSOLE_LIMIT)
  readonly #early: Uint8Array[] = []
  #waiting: (() => void)[] = []
  #console: ConsoleBackend | undefined
  #release: (() => void) | undefined
  #removed = false

  constructor(nodes: DeviceNodes, host: ChannelHost) {
    this.#nodes = nodes
    this.#host = host
  }

  attach(reader: ConsoleReader): void {
    this.#readers.attach(reader)
  }

  mirror(reader: ConsoleReader): void {
    this.#readers.mirror(reader)
  }

  detach(reader: ConsoleReader): void {
    this.#readers.detach(reader)
  }

  /** Types `bytes`; false asks the writer to wait until `whenRoom` calls. */
  write(bytes: Uint8Array): boolean {
    if (this.#console) return this.#console.write(bytes)
    if (!this.#removed) this.#early.push(bytes.slice())
    return this.#removed
  }

  /** Calls back once there is room, or the channel is gone. */
  whenRoom(callback: () => void): void {
    if (this.#console) this.#console.whenRoom(callback)
    else if (this.#removed) callback()
    else this.#waiting.push(callback)
  }

  connect(): void {
    const { store, frontend, domid } = this.#nodes
    const { grants, events } = this.#host.control
    const ref = numberAt(store, `${frontend}/ring-ref`)
    const remote = numberAt(store, `${frontend}/port`)
    if (ref === undefined || remote === undefined) throw new BackendError('no ring or no port')
    const mapping = grants.map(domid, [asGrantRef(ref)], true)
    this.#release = () => mapping.unmap()
    const port = events.bindInterdomain(domid, asEvtchnPort(remote))
    this.#release = () => {
      events.unbind(port)
      mapping.unmap()
    }
    const console = new ConsoleBackend(mapping.page(0), {
      notify: () => events.notify(port), schedule: (work) => this.#host.schedule(work),
    }, CONSOLE_LIMIT)
    this.#console = console
    console.attach({ output: (bytes) => this.#readers.output(bytes), closed: () => {} })
    events.onEvent(port, () => console.service())
    for (const bytes of this.#early.splice(0)) console.write(bytes)
    for (const callback of this.#waiting.splice(0)) console.whenRoom(callback)
    console.service()
  }

  disconnect(): void {
    this.#console?.close()
    this.#console = undefined
    this.#release?.()
    this.#release = undefined
  }

  remove(): void {
    this.#removed = true
    this.#readers.close()
    for (const callback of this.#waiting.splice(0)) callback()
  }
}
