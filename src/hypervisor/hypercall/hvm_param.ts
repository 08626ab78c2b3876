/**
 * HVMOP_set_param and HVMOP_get_param (xen/include/public/hvm/params.h).
 *
 * Who may set what follows Xen's hvm_allow_set_param: a few are the guest's own, some may be given
 * only once, some are gone. A value is kept as it came; what it means to the hypervisor happens
 * in `applyParam`.
 */
import { EEXIST, EINVAL, ENODEV, EOPNOTSUPP, EPERM, ESRCH } from '../../abi/xen/errno.ts'
import { HVMOP_get_param, HVMOP_set_param, XenHvmParam } from '../../abi/xen/hvm/hvm_op.ts'
import * as P from '../../abi/xen/hvm/params.ts'
import type { Domain } from '../domain/domain.ts'
import { latchSharedInfo } from '../domain/shared-info.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { type Status, subop } from './operation.ts'

const guestMaySet = new Set([
  P.HVM_PARAM_CALLBACK_IRQ, P.HVM_PARAM_STORE_EVTCHN, P.HVM_PARAM_CONSOLE_EVTCHN,
  P.HVM_PARAM_VM86_TSS, P.HVM_PARAM_VM86_TSS_SIZED, P.HVM_PARAM_ACPI_IOPORTS_LOCATION,
  P.HVM_PARAM_VM_GENERATION_ID_ADDR, P.HVM_PARAM_X87_FIP_WIDTH,
])
const guestMayGet = new Set([
  ...guestMaySet, P.HVM_PARAM_STORE_PFN, P.HVM_PARAM_CONSOLE_PFN, P.HVM_PARAM_ALTP2M,
])
const once = new Set([
  P.HVM_PARAM_VIRIDIAN, P.HVM_PARAM_IOREQ_SERVER_PFN, P.HVM_PARAM_NR_IOREQ_SERVER_PAGES,
  P.HVM_PARAM_ALTP2M, P.HVM_PARAM_MCA_CAP,
])
const gone = new Set([
  P.HVM_PARAM_MEMORY_EVENT_CR0, P.HVM_PARAM_MEMORY_EVENT_CR3, P.HVM_PARAM_MEMORY_EVENT_CR4,
  P.HVM_PARAM_MEMORY_EVENT_INT3, P.HVM_PARAM_MEMORY_EVENT_SINGLE_STEP,
  P.HVM_PARAM_MEMORY_EVENT_MSR, P.HVM_PARAM_BUFIOREQ_EVTCHN, P.HVM_PARAM_DM_DOMAIN,
  P.HVM_PARAM_PAE_ENABLED, P.HVM_PARAM_NESTEDHVM,
])
const ACPI_S_STATES = 3n
/** Bytes of an x87 instruction pointer; 0: as it comes. */
const FIP_WIDTHS = [0n, 4n, 8n]

function isOwn(caller: Vcpu, domain: Domain): boolean {
  return caller.domain.id === domain.id
}

function mayGet(caller: Vcpu, domain: Domain, index: number): Status {
  const refusal = caller.host.xsm.hvmParam(caller.domain, domain)
  if (refusal < 0) return refusal
  if (gone.has(index)) return -EINVAL
  return !isOwn(caller, domain) || guestMayGet.has(index) ? 0 : -EPERM
}

function maySet(caller: Vcpu, domain: Domain, index: number, value: bigint): Status {
  const refusal = caller.host.xsm.hvmParam(caller.domain, domain)
  if (refusal < 0) return refusal
  if (gone.has(index)) return -EINVAL
  if (isOwn(caller, domain) && !guestMaySet.has(index)) return -EPERM
  const before = domain.state.hvmParams.get(index)
  return once.has(index) && before !== 0n && before !== value ? -EEXIST : 0
}

/** What a value means beyond being kept: 0 or an error, in which case it is not kept. */
function applyParam(domain: Domain, index: number, value: bigint): Status {
  switch (index) {
    case P.HVM_PARAM_TIMER_MODE: return value <= 3n ? 0 : -EINVAL
    case P.HVM_PARAM_ACPI_S_STATE: return value === 0n || value === ACPI_S_STATES ? 0 : -EINVAL
    // There is no power management device whose ports could move.
    case P.HVM_PARAM_ACPI_IOPORTS_LOCATION: return -ENODEV
    case P.HVM_PARAM_VIRIDIAN:
    case P.HVM_PARAM_ALTP2M: return value === 0n ? 0 : -EOPNOTSUPP
    case P.HVM_PARAM_MCA_CAP: return value === 0n ? 0 : -EINVAL
    case P.HVM_PARAM_X87_FIP_WIDTH: return FIP_WIDTHS.includes(value) ? 0 : -EINVAL
    default: return 0
  }
}

const setParam = subop(HVMOP_set_param, XenHvmParam, 'in', function set_param(caller, op) {
  if (op.index >= P.HVM_NR_PARAMS) return -EINVAL
  const domain = caller.host.domain(op.domid, caller.domain)
  if (!domain) return -ESRCH
  if (!domain.isHvm) return -EINVAL
  const refusal = maySet(caller, domain, op.index, op.value)
  if (refusal < 0) return refusal
  const status = applyParam(domain, op.index, op.value)
  if (status < 0) return status
  domain.state.hvmParams.set(op.index, op.value)
  if (op.index === P.HVM_PARAM_CALLBACK_IRQ) {
    if (isOwn(caller, domain)) latchSharedInfo(domain, caller.compat)
    domain.host.services.events.callbackChanged?.(domain)
  }
  return 0
})

const getParam = subop(HVMOP_get_param, XenHvmParam, 'inout', function get_param(caller, op) {
  if (op.index >= P.HVM_NR_PARAMS) return -EINVAL
  const domain = caller.host.domain(op.domid, caller.domain)
  if (!domain) return -ESRCH
  if (!domain.isHvm) return -EINVAL
  const refusal = mayGet(caller, domain, op.index)
  if (refusal < 0) return refusal
  op.value = domain.state.hvmParams.get(op.index)
  return 0
})

export const hvmParamOps = [setParam, getParam]
