/**
 * HYPERVISOR_vm_assist: habits of the hypervisor that a guest switches on or off.
 */
import { EINVAL, ENOSYS } from '../../abi/xen/errno.ts'
import { __HYPERVISOR_vm_assist, VMASST_CMD_disable, VMASST_CMD_enable,
  VMASST_TYPE_runstate_update_flag } from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import type { HypercallArgs } from './args.ts'
import { columns, simple, type Status } from './operation.ts'

/** The only one that an HVM or PVH guest may have. */
const HVM_VALID = 1 << VMASST_TYPE_runstate_update_flag

function vmAssist(caller: Vcpu, args: HypercallArgs): Status {
  const cmd = args.u32(0)
  const type = args.u32(1)
  if (type >= 32 || (HVM_VALID >>> type & 1) === 0) return -EINVAL
  const { state } = caller.domain
  switch (cmd) {
    case VMASST_CMD_enable: state.vmAssist |= 1 << type; return 0
    case VMASST_CMD_disable: state.vmAssist &= ~(1 << type); return 0
    default: return -ENOSYS
  }
}

export const vmAssistCall = simple(__HYPERVISOR_vm_assist, 'vm_assist', vmAssist,
  columns.everyone)
