/**
 * HYPERVISOR_event_channel_op: ports through which domains signal one another.
 *
 * xen/include/public/event_channel.h states the contract; the table at the end is the whole
 * hypercall. Every sub-operation on another domain answers to XSM before it changes anything.
 */
import type { ViewOf } from '../../base/layout/struct.ts'
import type { EvtchnPort } from '../../abi/numbers.ts'
import { EACCES, EINVAL, ENOSYS, ESRCH } from '../../abi/xen/errno.ts'
import {
  EVTCHN_FIFO_LINK_BITS, EVTCHN_FIFO_PRIORITY_MIN, EVTCHNOP_alloc_unbound,
  EVTCHNOP_bind_interdomain, EVTCHNOP_bind_ipi, EVTCHNOP_bind_pirq, EVTCHNOP_bind_vcpu,
  EVTCHNOP_bind_virq, EVTCHNOP_close, EVTCHNOP_expand_array, EVTCHNOP_init_control,
  EVTCHNOP_reset, EVTCHNOP_send, EVTCHNOP_set_priority, EVTCHNOP_status, EVTCHNOP_unmask,
  EVTCHNSTAT_closed, EVTCHNSTAT_interdomain, EVTCHNSTAT_ipi, EVTCHNSTAT_unbound,
  EVTCHNSTAT_virq, EvtchnAllocUnbound, EvtchnBindInterdomain, EvtchnBindIpi, EvtchnBindPirq,
  EvtchnBindVcpu, EvtchnBindVirq, EvtchnClose, EvtchnExpandArray, EvtchnInitControl,
  EvtchnReset, EvtchnSend, EvtchnSetPriority, EvtchnStatus, EvtchnUnmask,
} from '../../abi/xen/event_channel.ts'
import { DOMID_SELF } from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { type Status, subop } from '../hypercall/operation.ts'
import { allocUnbound, bindInterdomain, bindIpi, bindVcpu, bindVirq } from './bind.ts'
import { Events } from './events.ts'
import { PORT } from './state.ts'

/** Reserves a port of `dom` for `remote_dom` to connect to later. */
function alloc_unbound(caller: Vcpu, op: ViewOf<typeof EvtchnAllocUnbound>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) return -ESRCH
  const refusal = caller.host.xsm.evtchnUnbound(caller.domain, owner, op.remote_dom)
  if (refusal < 0) return refusal
  const remote = op.remote_dom as number === DOMID_SELF ? caller.domain.id : op.remote_dom
  const port = allocUnbound(Events.of(caller.host), owner, remote)
  if (port < 0) return port
  op.port = port as EvtchnPort
  return 0
}

function bind_interdomain(caller: Vcpu, op: ViewOf<typeof EvtchnBindInterdomain>): Status {
  const remote = caller.host.domain(op.remote_dom, caller.domain)
  if (!remote) return -ESRCH
  const refusal = caller.host.xsm.evtchnInterdomain(caller.domain, remote)
  if (refusal < 0) return refusal
  const port = bindInterdomain(Events.of(caller.host), caller.domain, remote, op.remote_port)
  if (port < 0) return port
  op.local_port = port as EvtchnPort
  return 0
}

function bind_virq(caller: Vcpu, op: ViewOf<typeof EvtchnBindVirq>): Status {
  const port = bindVirq(Events.of(caller.host), caller.domain, op.virq, op.vcpu)
  if (port < 0) return port
  op.port = port as EvtchnPort
  return 0
}

function bind_ipi(caller: Vcpu, op: ViewOf<typeof EvtchnBindIpi>): Status {
  const port = bindIpi(Events.of(caller.host), caller.domain, op.vcpu)
  if (port < 0) return port
  op.port = port as EvtchnPort
  return 0
}

/** No domain here has physical interrupts. */
function bind_pirq(_caller: Vcpu, _op: ViewOf<typeof EvtchnBindPirq>): Status {
  return -EINVAL
}

function close(caller: Vcpu, op: ViewOf<typeof EvtchnClose>): Status {
  return Events.of(caller.host).close(caller.domain, op.port)
}

function send(caller: Vcpu, op: ViewOf<typeof EvtchnSend>): Status {
  return Events.of(caller.host).send(caller.domain, op.port)
}

function unmask(caller: Vcpu, op: ViewOf<typeof EvtchnUnmask>): Status {
  return Events.of(caller.host).unmask(caller.domain, op.port)
}

function bind_vcpu(caller: Vcpu, op: ViewOf<typeof EvtchnBindVcpu>): Status {
  return bindVcpu(Events.of(caller.host), caller.domain, op.port, op.vcpu)
}

function status(caller: Vcpu, op: ViewOf<typeof EvtchnStatus>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) return -ESRCH
  const refusal = caller.host.xsm.evtchnStatus(caller.domain, owner)
  if (refusal < 0) return refusal
  const events = Events.of(caller.host)
  events.lock(owner)
  const found = events.ports.find(owner, op.port, events.local)
  if (found) describe(events, op)
  events.unlock(owner)
  return found ? 0 : -EINVAL
}

function describe(events: Events, op: ViewOf<typeof EvtchnStatus>): void {
  const { local } = events
  op.vcpu = local.vcpu
  switch (local.state) {
    case PORT.unbound:
      op.status = EVTCHNSTAT_unbound
      op.u.unbound.dom = local.remoteDomid as typeof op.u.unbound.dom
      return
    case PORT.interdomain:
      op.status = EVTCHNSTAT_interdomain
      op.u.interdomain.dom = local.remoteDomid as typeof op.u.interdomain.dom
      op.u.interdomain.port = local.remotePort as EvtchnPort
      return
    case PORT.virq:
      op.status = EVTCHNSTAT_virq
      op.u.virq = local.virq
      return
    case PORT.ipi: op.status = EVTCHNSTAT_ipi; return
    default: op.status = EVTCHNSTAT_closed
  }
}

function reset(caller: Vcpu, op: ViewOf<typeof EvtchnReset>): Status {
  const owner = caller.host.domain(op.dom, caller.domain)
  if (!owner) return -ESRCH
  const refusal = caller.host.xsm.evtchnReset(caller.domain, owner)
  if (refusal < 0) return refusal
  Events.of(caller.host).reset(owner)
  return 0
}

function init_control(caller: Vcpu, op: ViewOf<typeof EvtchnInitControl>): Status {
  const events = Events.of(caller.host)
  events.lock(caller.domain)
  const outcome = events.fifo.initControl(
    caller.domain, op.vcpu, op.control_gfn, op.offset)
  events.unlock(caller.domain)
  if (outcome < 0) return outcome
  op.link_bits = EVTCHN_FIFO_LINK_BITS
  return 0
}

function expand_array(caller: Vcpu, op: ViewOf<typeof EvtchnExpandArray>): Status {
  const events = Events.of(caller.host)
  events.lock(caller.domain)
  const outcome = events.fifo.expandArray(caller.domain, op.array_gfn)
  events.unlock(caller.domain)
  return outcome
}

function set_priority(caller: Vcpu, op: ViewOf<typeof EvtchnSetPriority>): Status {
  const events = Events.of(caller.host)
  events.lock(caller.domain)
  let outcome = -EINVAL
  if (events.ports.find(caller.domain, op.port, events.local)) {
    if (events.ports.stateOf(caller.domain).fifo === 0) outcome = -ENOSYS
    else if (events.local.state <= PORT.reserved) outcome = -EACCES
    else if (op.priority <= EVTCHN_FIFO_PRIORITY_MIN) {
      events.local.priority = op.priority
      outcome = 0
    }
  }
  events.unlock(caller.domain)
  return outcome
}

export const eventChannelOps = [
  subop(EVTCHNOP_alloc_unbound, EvtchnAllocUnbound, 'inout', alloc_unbound),
  subop(EVTCHNOP_bind_interdomain, EvtchnBindInterdomain, 'inout', bind_interdomain),
  subop(EVTCHNOP_bind_virq, EvtchnBindVirq, 'inout', bind_virq),
  subop(EVTCHNOP_bind_ipi, EvtchnBindIpi, 'inout', bind_ipi),
  subop(EVTCHNOP_bind_pirq, EvtchnBindPirq, 'inout', bind_pirq),
  subop(EVTCHNOP_close, EvtchnClose, 'in', close),
  subop(EVTCHNOP_send, EvtchnSend, 'in', send),
  subop(EVTCHNOP_status, EvtchnStatus, 'inout', status),
  subop(EVTCHNOP_bind_vcpu, EvtchnBindVcpu, 'in', bind_vcpu),
  subop(EVTCHNOP_unmask, EvtchnUnmask, 'in', unmask),
  subop(EVTCHNOP_reset, EvtchnReset, 'in', reset),
  subop(EVTCHNOP_init_control, EvtchnInitControl, 'inout', init_control),
  subop(EVTCHNOP_expand_array, EvtchnExpandArray, 'in', expand_array),
  subop(EVTCHNOP_set_priority, EvtchnSetPriority, 'in', set_priority),
]
