/**
 * xen/include/public/platform.h: what Dom0 tells the hypervisor of the machine. Numbers only: the
 * built-in control domain needs none of them.
 */
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
