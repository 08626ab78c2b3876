/**
 * xen/include/public/platform.h: what Dom0 tells the hypervisor of the machine. Layouts of those
 * operations only that this hypervisor carries out.
 */
import { u32, u53, u8 } from '../../base/layout/scalar.ts'
import { array, struct, union } from '../../base/layout/struct.ts'

export const XENPF_INTERFACE_VERSION = 0x0300_0001
export const XENPF_settime32 = 17
export const XENPF_settime64 = 62
export const XENPF_firmware_info = 50
export const XENPF_enter_acpi_sleep = 51
export const XENPF_set_processor_pminfo = 54
export const XENPF_get_cpuinfo = 55
export const XENPF_cpu_online = 56
export const XENPF_cpu_offline = 57
export const XENPF_cpu_hotadd = 58
export const XENPF_mem_hotadd = 59

export const XEN_PCPU_FLAGS_ONLINE = 1
export const XEN_PCPU_FLAGS_INVALID = 2

export const XenpfPcpuinfo = struct('struct xenpf_pcpuinfo', {
  xen_cpuid: u32, max_present: u32, flags: u32, apic_id: u32, acpi_id: u32,
})
export const XenpfCpuOl = struct('struct xenpf_cpu_ol', { cpuid: u32 })
export const XenpfMemHotadd = struct('struct xenpf_mem_hotadd', {
  spfn: u53, epfn: u53, pxm: u32, flags: u32,
})

export const XenPlatformOp = struct('struct xen_platform_op', {
  cmd: u32, interface_version: u32,
  u: union({
    pcpu_info: XenpfPcpuinfo,
    cpu_ol: XenpfCpuOl,
    mem_add: XenpfMemHotadd,
    pad: array(u8, 128),
  }),
})
