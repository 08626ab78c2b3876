/**
 * xen/include/public/arch-x86/cpuid.h: the CPUID leaves by which a guest finds Xen.
 */
export const XEN_CPUID_FIRST_LEAF = 0x4000_0000
export const XEN_CPUID_SIGNATURE_EBX = 0x566e_6558
export const XEN_CPUID_SIGNATURE_ECX = 0x6558_4d4d
export const XEN_CPUID_SIGNATURE_EDX = 0x4d4d_566e
export const XEN_CPUID_FEAT1_MMU_PT_UPDATE_PRESERVE_AD = 1
export const XEN_HVM_CPUID_APIC_ACCESS_VIRT = 1 << 0
export const XEN_HVM_CPUID_X2APIC_VIRT = 1 << 1
export const XEN_HVM_CPUID_IOMMU_MAPPINGS = 1 << 2
export const XEN_HVM_CPUID_VCPU_ID_PRESENT = 1 << 3
export const XEN_HVM_CPUID_DOMID_PRESENT = 1 << 4
export const XEN_HVM_CPUID_EXT_DEST_ID = 1 << 5
export const XEN_HVM_CPUID_UPCALL_VECTOR = 1 << 6
export const XEN_CPUID_MAX_NUM_LEAVES = 5
