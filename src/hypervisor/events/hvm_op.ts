/**
 * Sub-operations of HYPERVISOR_hvm_op about events, time and memory types; parameters are in
 * hypercall/hvm_param.ts.
 *
 * Left out: altp2m (-EOPNOTSUPP) and HVMOP_pagetable_dying, which is for shadow paging only
 * (-ENOSYS as an unknown number). A guest's request for a vm_event is heard by nobody.
 */
import { atomicAdd } from '../../base/layout/atomics.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import { EINVAL, ENOENT, EOPNOTSUPP, ESRCH } from '../../abi/xen/errno.ts'
import {
  HVMMEM_mmio_dm, HVMMEM_ram_ro, HVMMEM_ram_rw, HVMOP_altp2m, HVMOP_flush_tlbs,
  HVMOP_get_mem_type, HVMOP_get_time, HVMOP_guest_request_vm_event,
  HVMOP_set_evtchn_upcall_vector, XenHvmEvtchnUpcallVector, XenHvmGetMemType, XenHvmGetTime,
} from '../../abi/xen/hvm/hvm_op.ts'
import { P2M_RAM_RO } from '../../cpu/p2m-format.ts'
import { DomainState } from '../domain/state.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { plainSubop, type Status, subop } from '../hypercall/operation.ts'
import { isBorrowed, isRam, p2mType } from '../memory/p2m.ts'
import { interrupt, upcallPending } from './upcall.ts'

const FIRST_VECTOR = 16

/** From now on the vcpu's upcall is an edge on this vector of its LAPIC. */
function set_evtchn_upcall_vector(
  caller: Vcpu, op: ViewOf<typeof XenHvmEvtchnUpcallVector>,
): Status {
  if (op.vector < FIRST_VECTOR) return -EINVAL
  const vcpu = caller.domain.vcpu(op.vcpu)
  if (!vcpu) return -ENOENT
  vcpu.state.upcallVector = op.vector
  if (upcallPending(vcpu)) interrupt(vcpu)
  return 0
}

function flushTlbs(caller: Vcpu, argument: number): Status {
  if (argument !== 0) return -EINVAL
  const { domain } = caller
  atomicAdd(domain.state, DomainState.offsets.p2mGeneration, 1)
  caller.host.presence.settle(domain.address)
  return 0
}

function get_time(caller: Vcpu, op: ViewOf<typeof XenHvmGetTime>): Status {
  op.now = BigInt(Math.floor(caller.host.clock.now() - caller.domain.state.bornNs))
  return 0
}

function get_mem_type(caller: Vcpu, op: ViewOf<typeof XenHvmGetMemType>): Status {
  const domain = caller.host.domain(op.domid, caller.domain)
  if (!domain) return -ESRCH
  const refusal = caller.host.xsm.hvmParam(caller.domain, domain)
  if (refusal < 0) return refusal
  const entry = domain.p2m.get(Number(op.pfn))
  if (p2mType(entry) === P2M_RAM_RO) op.mem_type = HVMMEM_ram_ro
  else op.mem_type = isRam(entry) || isBorrowed(entry) ? HVMMEM_ram_rw : HVMMEM_mmio_dm
  return 0
}

export const hvmEventOps = [
  plainSubop(HVMOP_flush_tlbs, 'flush_tlbs', flushTlbs),
  subop(HVMOP_get_time, XenHvmGetTime, 'inout', get_time),
  subop(HVMOP_get_mem_type, XenHvmGetMemType, 'inout', get_mem_type),
  subop(HVMOP_set_evtchn_upcall_vector, XenHvmEvtchnUpcallVector, 'in',
    set_evtchn_upcall_vector),
  plainSubop(HVMOP_guest_request_vm_event, 'guest_request_vm_event',
    (_caller, argument) => argument === 0 ? 0 : -EINVAL),
  plainSubop(HVMOP_altp2m, 'altp2m', () => -EOPNOTSUPP),
]
