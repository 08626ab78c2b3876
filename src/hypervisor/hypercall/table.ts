/**
 * Xen's hypercall table: every number that is answered with anything but -ENOSYS.
 *
 * Not here, and so -ENOSYS: what only PV guests call (set_trap_table, mmu_update, set_gdt,
 * stack_switch, set_callbacks, fpu_taskswitch, the debug registers, update_descriptor,
 * update_va_mapping and its like, iret, set_segment_base, mmuext_op, nmi_op, callback_op), what
 * only a Dom0 with hardware does (kexec_op, arch_0), the compat numbers 6, 16 and 19,
 * and xsm_op, xenoprof_op, tmem_op, argo_op, xenpmu_op, dm_op and hypfs_op.
 */
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_grant_table_op, __HYPERVISOR_hvm_op,
  __HYPERVISOR_physdev_op, __HYPERVISOR_sched_op,
} from '../../abi/xen/xen.ts'
import { eventChannelOps } from '../events/event_channel.ts'
import { hvmEventOps } from '../events/hvm_op.ts'
import { grantTableOps } from '../grants/grant_table.ts'
import { schedOps } from '../sched/sched_op.ts'
import { setTimerCall, vcpuOp } from '../time/vcpu_op.ts'
import { consoleIoCall } from './console_io.ts'
import { domctlCall } from './domctl/domctl.ts'
import { hvmParamOps } from './hvm_param.ts'
import { memoryOp } from './memory_op.ts'
import { columns, type Hypercall, operation } from './operation.ts'
import { platformOp } from './platform_op.ts'
import { sysctlCall } from './sysctl/sysctl.ts'
import { vmAssistCall } from './vm_assist.ts'
import { xenVersion } from './xen_version.ts'

export const hypercalls: readonly Hypercall[] = [
  memoryOp,
  xenVersion,
  consoleIoCall,
  operation(__HYPERVISOR_grant_table_op, 'grant_table_op', grantTableOps,
    { columns: columns.everyone }),
  vmAssistCall,
  setTimerCall,
  vcpuOp,
  operation(__HYPERVISOR_sched_op, 'sched_op', schedOps, { columns: columns.everyone }),
  operation(__HYPERVISOR_physdev_op, 'physdev_op', [], { columns: columns.everyone }),
  operation(__HYPERVISOR_event_channel_op, 'event_channel_op', eventChannelOps,
    { columns: columns.everyone }),
  operation(__HYPERVISOR_hvm_op, 'hvm_op', [
    ...hvmParamOps, ...hvmEventOps,
  ], { columns: columns.everyone }),
  platformOp,
  sysctlCall,
  domctlCall,
]
