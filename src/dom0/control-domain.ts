/**
 * The control domain's access, put together over one hypercall gate.
 */
import { EventChannelsClient } from './event-channels.ts'
import { ForeignMemoryClient } from './foreign-memory.ts'
import { GrantTableClient } from './grant-table.ts'
import { HypercallClient } from './hypercall-client.ts'
import type { ControlDomain, HypercallGate } from './interfaces.ts'
import { Window } from './window.ts'
import { XenctrlClient } from './xenctrl.ts'

/** `close` ends the watch for events. */
export function openControlDomain(gate: HypercallGate): ControlDomain & { close(): void } {
  const client = new HypercallClient(gate)
  const window = new Window(client)
  const xenctrl = new XenctrlClient(client)
  const events = new EventChannelsClient(client, xenctrl)
  return {
    xenctrl,
    events,
    memory: new ForeignMemoryClient(window),
    grants: new GrantTableClient(window),
    close: () => events.close(),
  }
}
