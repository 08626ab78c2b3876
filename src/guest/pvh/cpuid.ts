/**
 * CPUID as a PVH guest sees it: the processor's own leaves with this domain's topology, and Xen's
 * leaves at 0x40000000 (xen/include/public/arch-x86/cpuid.h).
 *
 * APIC ids are twice the vcpu's number, as in Xen, so every level of the topology has one bit more
 * than its members need.
 */
import { featureWords } from '../../abi/x86/cpuid.ts'
import * as X from '../../abi/xen/arch-x86/cpuid.ts'
import { type CpuidResult, type CpuidState, type CpuPolicy, nativeCpuid } from
  '../../cpu/cpuid.ts'
import type { ScalarArray } from '../../base/layout/struct.ts'
import type { Vcpu } from '../../hypervisor/domain/vcpu.ts'
import { tscScale } from '../../hypervisor/time/scale.ts'

const XEN_MAJOR = 4
const XEN_MINOR = 17
const HYPERCALL_MSR = 0x4000_0000
const TIME_HOST_TSC_RELIABLE = 1 << 1
const TIME_RDTSCP = 1 << 2

const APIC_FEATURE = 1 << 9

function answer(eax = 0, ebx = 0, ecx = 0, edx = 0): CpuidResult {
  return { eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 }
}

/** The policy without the features that are not among those that may be shown. */
export function shownPolicy(policy: CpuPolicy, shown: ScalarArray<number>): CpuPolicy {
  const features = { ...policy.features }
  for (const [i, word] of featureWords.entries()) {
    features[word] = (features[word] & shown.get(i)) >>> 0
  }
  return { ...policy, features }
}

export interface GuestCpuidState extends CpuidState {
  /** Whether APIC_BASE has the LAPIC switched on. */
  readonly apicEnabled: boolean
}

export function pvhCpuid(
  vcpu: Vcpu, leaf: number, subleaf: number, policy: CpuPolicy, state: GuestCpuidState,
): CpuidResult {
  if (leaf >= X.XEN_CPUID_FIRST_LEAF && leaf <= X.XEN_CPUID_FIRST_LEAF + 0xffff) {
    return xenLeaf(vcpu, leaf - X.XEN_CPUID_FIRST_LEAF, subleaf)
  }
  const native = nativeCpuid(leaf, subleaf, policy, state)
  const bits = 1 + (state.vcpuCount > 1 ? 32 - Math.clz32(state.vcpuCount - 1) : 0)
  switch (leaf) {
    case 1: return {
      ...native,
      ebx: (native.ebx & 0xff00_ffff | Math.min(1 << bits, 255) << 16) >>> 0,
      edx: (state.apicEnabled ? native.edx : native.edx & ~APIC_FEATURE) >>> 0,
    }
    case 0xb:
      if (subleaf === 0) return { ...native, eax: 1 }
      return subleaf === 1 ? { ...native, eax: bits } : native
    case 0x8000_0008: return {
      ...native, ecx: (native.ecx & ~0xf000 | bits << 12) >>> 0,
    }
    default: return native
  }
}

function xenLeaf(vcpu: Vcpu, leaf: number, subleaf: number): CpuidResult {
  switch (leaf) {
    case 0: return answer(X.XEN_CPUID_FIRST_LEAF + X.XEN_CPUID_MAX_NUM_LEAVES,
      X.XEN_CPUID_SIGNATURE_EBX, X.XEN_CPUID_SIGNATURE_ECX, X.XEN_CPUID_SIGNATURE_EDX)
    case 1: return answer(XEN_MAJOR << 16 | XEN_MINOR)
    case 2: return answer(1, HYPERCALL_MSR)
    case 3: return timeLeaf(vcpu, subleaf)
    case 4:
      if (subleaf !== 0) return answer()
      return answer(
        X.XEN_HVM_CPUID_IOMMU_MAPPINGS | X.XEN_HVM_CPUID_VCPU_ID_PRESENT
        | X.XEN_HVM_CPUID_DOMID_PRESENT | X.XEN_HVM_CPUID_UPCALL_VECTOR,
        vcpu.id, vcpu.domain.id)
    default: return answer()
  }
}

function timeLeaf(vcpu: Vcpu, subleaf: number): CpuidResult {
  const { state } = vcpu.domain
  switch (subleaf) {
    case 0: return answer(
      TIME_HOST_TSC_RELIABLE | TIME_RDTSCP, state.tscMode, state.tscKhz, state.tscIncarnation)
    case 1: {
      const { mul, shift } = tscScale(state.tscKhz)
      return answer(0, 0, mul, shift & 0xff)
    }
    case 2: return answer(vcpu.host.state.tscKhz)
    default: return answer()
  }
}
