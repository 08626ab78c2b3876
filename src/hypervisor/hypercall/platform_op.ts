/**
 * HYPERVISOR_platform_op: physical CPUs that come and go, and memory that is added
 * (xen/include/public/platform.h, 0x03000001).
 *
 * Left out, -ENOSYS: clocks, memory types, firmware, power states and all else of real hardware.
 * CPUs beyond those that the machine was started with cannot be added.
 */
import { EACCES, EFAULT, EINVAL, ENOSYS, EOPNOTSUPP } from '../../abi/xen/errno.ts'
import * as P from '../../abi/xen/platform.ts'
import { __HYPERVISOR_platform_op } from '../../abi/xen/xen.ts'
import type { ViewOf } from '../../base/layout/struct.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { ADDED_FRAMES } from '../host/nodes.ts'
import { offlineCore, onlineCore } from '../sched/hotplug.ts'
import { Scheduler } from '../sched/scheduler.ts'
import type { HypercallArgs } from './args.ts'
import { columns, type Hypercall, type Status } from './operation.ts'

const bytes = new DataView(new ArrayBuffer(P.XenPlatformOp.size))
const op = P.XenPlatformOp.on(bytes)
type Op = ViewOf<typeof P.XenPlatformOp>

function get_cpuinfo(caller: Vcpu, { u: { pcpu_info } }: Op): Status {
  const { host } = caller
  const cpu = pcpu_info.xen_cpuid
  const isThere = cpu < host.state.coreCount
  pcpu_info.max_present = host.state.coreCount - 1
  pcpu_info.flags = !isThere ? P.XEN_PCPU_FLAGS_INVALID
    : host.core(cpu).online !== 0 ? P.XEN_PCPU_FLAGS_ONLINE : 0
  pcpu_info.apic_id = cpu
  pcpu_info.acpi_id = cpu
  return 0
}

/** 0 or 1 for a CPU that is there, or a negative error. */
function isOnline(caller: Vcpu, cpu: number): number {
  return cpu < caller.host.state.coreCount ? caller.host.core(cpu).online : -EINVAL
}

/** Nothing is to be done, unlike in sysctl, for one that is online or offline already. */
function cpu_online(caller: Vcpu, { u: { cpu_ol: { cpuid } } }: Op): Status {
  const online = isOnline(caller, cpuid)
  return online === 0 ? onlineCore(Scheduler.of(caller.host), cpuid) : Math.min(online, 0)
}

function cpu_offline(caller: Vcpu, { u: { cpu_ol: { cpuid } } }: Op): Status {
  if (cpuid === 0) return -EOPNOTSUPP
  const online = isOnline(caller, cpuid)
  return online > 0 ? offlineCore(Scheduler.of(caller.host), cpuid, caller) : online
}

/** The frames must follow those that the node `pxm` has, in whole superpages. */
function mem_hotadd(caller: Vcpu, { u: { mem_add } }: Op): Status {
  const { spfn, epfn, pxm } = mem_add
  if (epfn <= spfn || spfn % ADDED_FRAMES !== 0 || epfn % ADDED_FRAMES !== 0) return -EINVAL
  return caller.host.frames.add(spfn, epfn - spfn, pxm) ? 0 : -EINVAL
}

const operations = new Map([
  [P.XENPF_get_cpuinfo, get_cpuinfo], [P.XENPF_cpu_online, cpu_online],
  [P.XENPF_cpu_offline, cpu_offline], [P.XENPF_mem_hotadd, mem_hotadd],
])

function platform_op(caller: Vcpu, args: HypercallArgs): Status {
  const at = args.pointer(0)
  if (!caller.memory.copyIn(bytes, at, P.XenPlatformOp.size)) return -EFAULT
  if (op.interface_version !== P.XENPF_INTERFACE_VERSION) return -EACCES
  const refusal = caller.host.xsm.platformOp(caller.domain, op.cmd)
  if (refusal < 0) return refusal
  const status = operations.get(op.cmd)?.(caller, op) ?? -ENOSYS
  if (status < 0) return status
  return caller.memory.copyOut(bytes, at, P.XenPlatformOp.size) ? status : -EFAULT
}

export const platformOp: Hypercall = {
  number: __HYPERVISOR_platform_op,
  name: 'platform_op',
  columns: columns.only64,
  subops: [...operations].map(([number, { name }]) => ({ number, name, run: () => 0 })),
  run: platform_op,
}
