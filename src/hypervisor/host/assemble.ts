/**
 * Puts a thread's hypervisor together: the host, its subsystems, and the way in.
 *
 * Every thread that executes hypercalls does this once over the same two memories. The order of the
 * subsystems is the order in which they learn of new domains.
 */
import type { Clock } from '../../base/clock.ts'
import { Events } from '../events/events.ts'
import { Grants } from '../grants/grants.ts'
import { Dispatcher } from '../hypercall/dispatch.ts'
import { hypercalls } from '../hypercall/table.ts'
import type { GiveBack } from '../memory/frame-content.ts'
import { Scheduler } from '../sched/scheduler.ts'
import { Timekeeper } from '../time/timekeeper.ts'
import { Host, type HostMemory } from './host.ts'

export interface Hypervisor {
  readonly host: Host
  readonly dispatcher: Dispatcher
}

export function assemble(memory: HostMemory, clock: Clock, giveBack?: GiveBack): Hypervisor {
  const host = new Host(memory, { clock, ...giveBack ? { giveBack } : {} })
  const events = new Events(host)
  const grants = new Grants(host)
  host.services.events = events
  const time = new Timekeeper(host)
  const scheduler = new Scheduler(host)
  host.services.grants = grants
  host.services.time = time
  host.services.scheduler = scheduler
  host.subsystems.push(events, grants, time, scheduler)
  return { host, dispatcher: new Dispatcher(hypercalls) }
}
