/**
 * xen/include/public/arch-x86/hvm/start_info.h: what a PVH kernel is handed at its entry.
 */
import { u32, u53 } from '../../../../base/layout/scalar.ts'
import { struct } from '../../../../base/layout/struct.ts'

export const XEN_HVM_START_MAGIC_VALUE = 0x336e_c578
export const XEN_HVM_MEMMAP_TYPE_RAM = 1
export const XEN_HVM_MEMMAP_TYPE_RESERVED = 2
export const XEN_HVM_MEMMAP_TYPE_ACPI = 3
export const XEN_HVM_MEMMAP_TYPE_NVS = 4
export const XEN_HVM_MEMMAP_TYPE_UNUSABLE = 5
export const XEN_HVM_MEMMAP_TYPE_DISABLED = 6
export const XEN_HVM_MEMMAP_TYPE_PMEM = 7

export const HvmStartInfo = struct('struct hvm_start_info', {
  magic: u32, version: u32, flags: u32, nr_modules: u32,
  modlist_paddr: u53, cmdline_paddr: u53, rsdp_paddr: u53, memmap_paddr: u53,
  memmap_entries: u32, reserved: u32,
})
export const HvmModlistEntry = struct('struct hvm_modlist_entry', {
  paddr: u53, size: u53, cmdline_paddr: u53, reserved: u53,
})
export const HvmMemmapTableEntry = struct('struct hvm_memmap_table_entry', {
  addr: u53, size: u53, type: u32, reserved: u32,
})
