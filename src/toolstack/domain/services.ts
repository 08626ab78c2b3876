/**
 * The daemons of the control domain that serve each domain: xenstored's and xenconsoled's work of
 * mapping a ring page, binding its port and answering its signals.
 */
import type { Domid, EvtchnPort, Gfn } from '../../abi/numbers.ts'
import { ConsoleBackend } from '../../backends/console.ts'
import type { ControlDomain } from '../../dom0/interfaces.ts'
import { DomainRing } from '../../xenstore/ring.ts'
import type { Xenstored } from '../../xenstore/xenstored.ts'
import type { ConsoleSession, ConsoleSink } from './libxl.ts'

/** Runs work in a later turn of the event loop. */
export type Schedule = (work: () => void) => void

/** Connects a domain's ring to the store; the store's release of the domain ends it. */
export function connectStore(
  control: ControlDomain, store: Xenstored, schedule: Schedule,
  domid: Domid, gfn: Gfn, remotePort: EvtchnPort,
): DomainRing {
  const mapping = control.memory.map(domid, [gfn])
  let port: EvtchnPort
  try {
    port = control.events.bindInterdomain(domid, remotePort)
  } catch (error) {
    mapping.unmap()
    throw error
  }
  const ring = new DomainRing(mapping.page(0), store, {
    notify: () => control.events.notify(port),
    schedule,
    closed: () => {
      control.events.unbind(port)
      mapping.unmap()
    },
  })
  control.events.onEvent(port, () => ring.service())
  ring.open(domid)
  return ring
}

/** A domain's console and how to let it go. */
export interface ConnectedConsole {
  readonly console: ConsoleBackend
  close(): void
}

/** What `sink` may do with a console, or a channel, from now on. */
export function attach(
  console: Pick<ConsoleBackend, 'attach' | 'detach' | 'write' | 'whenRoom'>, sink: ConsoleSink,
): ConsoleSession {
  console.attach(sink)
  return {
    write: (bytes) => console.write(bytes),
    whenRoom: (callback) => console.whenRoom(callback),
    detach: () => console.detach(sink),
  }
}

/** Connects a domain's console ring. */
export function connectConsole(
  control: ControlDomain, schedule: Schedule, limit: number,
  domid: Domid, gfn: Gfn, remotePort: EvtchnPort,
): ConnectedConsole {
  const mapping = control.memory.map(domid, [gfn])
  const port = control.events.bindInterdomain(domid, remotePort)
  const console = new ConsoleBackend(mapping.page(0), {
    notify: () => control.events.notify(port), schedule,
  }, limit)
  control.events.onEvent(port, () => console.service())
  return {
    console,
    close: () => {
      if (console.closed) return
      console.close()
      control.events.unbind(port)
      mapping.unmap()
    },
  }
}
