/**
 * The host's end of a console, which is there before the guest's ring and outlives it: readers and
 * what is typed stay, and only who takes that changes.
 *
 * What is typed while nobody takes it waits, and so does whoever types.
 */
import type { Domid, EvtchnPort } from '../abi/numbers.ts'
import type { ControlDomain, Mapping } from '../dom0/interfaces.ts'
import { CONSOLE_LIMIT, ConsoleBackend } from './console.ts'
import { type ConsoleReader, ConsoleReaders } from './console-readers.ts'

/** Who is told what is typed while there is no ring, and when no more can come. */
export interface ConsoleTypist {
  input(bytes: Uint8Array): void
  closed(): void
}

export class ConsoleEnd {
  readonly #readers: ConsoleReaders
  readonly #early: Uint8Array[] = []
  #waiting: (() => void)[] = []
  #typist: ConsoleTypist | undefined
  #ring: ConsoleBackend | undefined
  #release = (): void => {}
  #isClosed = false

  /** Of what no reader has seen, `limit` bytes are kept. */
  constructor(limit = CONSOLE_LIMIT) {
    this.#readers = new ConsoleReaders(limit)
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
    if (this.#ring) return this.#ring.write(bytes)
    if (this.#typist) this.#typist.input(bytes)
    else if (!this.#isClosed) this.#early.push(bytes.slice())
    return this.#isTaken
  }

  /** Calls back once there is room, or the console is gone. */
  whenRoom(callback: () => void): void {
    if (this.#ring) this.#ring.whenRoom(callback)
    else if (this.#isTaken) callback()
    else this.#waiting.push(callback)
  }

  /** Shows what somebody else than the guest writes. */
  print(bytes: Uint8Array): void {
    if (!this.#isClosed) this.#readers.output(bytes)
  }

  /** Gives what is typed to `typist`; without one, to the guest once it is there. */
  listen(typist?: ConsoleTypist): void {
    this.#typist = typist
    if (!typist) return
    if (this.#isClosed) return typist.closed()
    for (const bytes of this.#early.splice(0)) this.write(bytes)
    this.#wake()
  }

  /** Connects the guest's ring, in a page that is mapped for it. */
  connectRing(
    control: ControlDomain, schedule: (work: () => void) => void, domid: Domid, mapping: Mapping,
    remotePort: EvtchnPort,
  ): void {
    this.#release = () => mapping.unmap()
    const port = control.events.bindInterdomain(domid, remotePort)
    this.#release = () => {
      control.events.unbind(port)
      mapping.unmap()
    }
    const ring = new ConsoleBackend(mapping.page(0), {
      notify: () => control.events.notify(port), schedule,
      output: (bytes) => this.#readers.output(bytes),
    })
    this.#ring = ring
    control.events.onEvent(port, () => ring.service())
    for (const bytes of this.#early.splice(0)) ring.write(bytes)
    for (const callback of this.#waiting.splice(0)) ring.whenRoom(callback)
  }

  /** Moves what can be moved. */
  service(): void {
    this.#ring?.service()
  }

  /** Takes the guest's last output and lets its page go. */
  disconnect(): void {
    this.#ring?.close()
    this.#ring = undefined
    this.#release()
    this.#release = () => {}
  }

  /** Ends it; readers and whoever is told what is typed hear of it. */
  close(): void {
    if (this.#isClosed) return
    this.#isClosed = true
    this.disconnect()
    this.#readers.close()
    this.#early.length = 0
    this.#wake()
    this.#typist?.closed()
  }

  /** Whether what is typed finds somebody, or will never. */
  get #isTaken(): boolean {
    return this.#typist !== undefined || this.#isClosed
  }

  #wake(): void {
    for (const callback of this.#waiting.splice(0)) callback()
  }
}
