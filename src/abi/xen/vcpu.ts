/**
 * xen/include/public/vcpu.h: bringing vcpus up, their timers, and where their state is shown.
 */
import { i32, pointer, u32, u53, u64 } from '../../base/layout/scalar.ts'
import { array, struct } from '../../base/layout/struct.ts'

export const VCPUOP_initialise = 0
export const VCPUOP_up = 1
export const VCPUOP_down = 2
export const VCPUOP_is_up = 3
export const VCPUOP_get_runstate_info = 4
export const VCPUOP_register_runstate_memory_area = 5
export const VCPUOP_set_periodic_timer = 6
export const VCPUOP_stop_periodic_timer = 7
export const VCPUOP_set_singleshot_timer = 8
export const VCPUOP_stop_singleshot_timer = 9
export const VCPUOP_register_vcpu_info = 10
export const VCPUOP_send_nmi = 11
export const VCPUOP_get_physid = 12
export const VCPUOP_register_vcpu_time_memory_area = 13

export const RUNSTATE_running = 0
export const RUNSTATE_runnable = 1
export const RUNSTATE_blocked = 2
export const RUNSTATE_offline = 3

export const VCPU_SSHOTTMR_future = 1

export const VcpuRunstateInfo = struct('struct vcpu_runstate_info', {
  state: i32, state_entry_time: u53, time: array(u53, 4),
})
export const VcpuRegisterRunstateMemoryArea = struct(
  'struct vcpu_register_runstate_memory_area', { addr: pointer })
export const VcpuSetPeriodicTimer = struct('struct vcpu_set_periodic_timer', { period_ns: u53 })
export const VcpuSetSingleshotTimer = struct('struct vcpu_set_singleshot_timer', {
  timeout_abs_ns: u53, flags: u32,
})
export const VcpuRegisterVcpuInfo = struct('struct vcpu_register_vcpu_info', {
  mfn: u53, offset: u32, rsvd: u32,
})
export const VcpuGetPhysid = struct('struct vcpu_get_physid', { phys_id: u64 })
export const VcpuRegisterTimeMemoryArea = struct('struct vcpu_register_time_memory_area', {
  addr: pointer,
})
