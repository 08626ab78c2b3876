/**
 * How a domain is served by the control domain: xenstored's work of mapping a ring page, binding
 * its port and answering its signals, and what one who is attached to a console may do.
 */
import type { Domid, EvtchnPort, Gfn } from '../../abi/numbers.ts'
import type { ConsoleEnd } from '../../backends/console-end.ts'
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

/** What `sink` may do with a console, or a channel, from now on. */
export function attach(console: ConsoleEnd, sink: ConsoleSink): ConsoleSession {
  console.attach(sink)
  return {
    write: (bytes) => console.write(bytes),
    whenRoom: (callback) => console.whenRoom(callback),
    detach: () => console.detach(sink),
  }
}
