/**
 * What CPUID says by itself: an AMD part of family 19h (Zen 4), without AVX-512 (AMD APM 3, app.
 * E). It has all that x86-64-v3 of the psABI asks for.
 *
 * Everything claimed works. A processor that does not speculate says so (SSB_NO, BTC_NO, SRSO_NO,
 * TSA_*_NO, automatic IBRS), so that kernels leave mitigations out. Hypervisor leaves are laid
 * over this by the guest layer.
 */
import {
  featureBits, type FeatureName, type FeatureWord, featureWords, REPEATED_EDX,
} from '../abi/x86/cpuid.ts'
import { CR4 } from '../abi/x86/control.ts'
import { PHYSICAL_ADDRESS_BITS } from './p2m-format.ts'
import { XCR0_SUPPORTED, xsaveComponent, xsaveSize } from './system/xsave.ts'

export interface CpuidResult {
  eax: number
  ebx: number
  ecx: number
  edx: number
}

/** What a domain's processors claim to be. */
export interface CpuPolicy {
  readonly vendor: string
  readonly brand: string
  /** Leaf 1's EAX: family, model, stepping. */
  readonly signature: number
  readonly features: Readonly<Record<FeatureWord, number>>
  readonly physicalAddressBits: number
}

/** What CPUID depends on besides the policy. */
export interface CpuidState {
  readonly cr4: bigint
  readonly xcr0: bigint
  readonly apicId: number
  readonly vcpuCount: number
}

const claimed: readonly FeatureName[] = [
  'fpu', 'de', 'pse', 'tsc', 'msr', 'pae', 'mce', 'cx8', 'apic', 'sep', 'mtrr', 'pge', 'mca',
  'cmov', 'pat', 'pse36', 'clflush', 'mmx', 'fxsr', 'sse', 'sse2',
  'pni', 'pclmulqdq', 'ssse3', 'fma', 'cx16', 'pcid', 'sse4_1', 'sse4_2', 'x2apic', 'movbe',
  'popcnt',
  'aes', 'xsave', 'avx', 'f16c', 'rdrand', 'hypervisor', 'arat',
  'fsgsbase', 'tsc_adjust', 'bmi1', 'avx2', 'smep', 'bmi2', 'erms', 'invpcid', 'rdseed', 'adx',
  'smap', 'clflushopt',
  'sha_ni', 'umip', 'rdpid', 'fsrm', 'xsaveopt', 'xsavec', 'xgetbv1', 'xsaves',
  'lahf_lm', 'abm', 'sse4a', '3dnowprefetch',
  'syscall', 'nx', 'mmxext', 'pdpe1gb', 'rdtscp', 'lm', 'constant_tsc',
  'xsaveerptr', 'amd_ssb_no', 'btc_no',
  'no_nested_data_bp', 'lfence_rdtsc', 'null_sel_clr_base', 'autoibrs', 'srso_no',
  'srso_user_kernel_no', 'tsa_sq_no', 'tsa_l1_no', 'tsa_ecx7_no',
]

/** The feature words that have the named features. */
export function featuresOf(names: Iterable<FeatureName>): Record<FeatureWord, number> {
  const wanted = new Set<string>(names)
  const words = {} as Record<FeatureWord, number>
  for (const word of featureWords) {
    let bits = 0
    for (const [name, bit] of Object.entries(featureBits[word])) {
      if (wanted.has(name)) bits |= 1 << bit
    }
    words[word] = bits >>> 0
  }
  return words
}

export const defaultPolicy: CpuPolicy = {
  vendor: 'AuthenticAMD',
  brand: 'AMD Xenolith Virtual Processor',
  signature: 0x00a1_0f11,
  features: featuresOf(claimed),
  physicalAddressBits: PHYSICAL_ADDRESS_BITS,
}

const MAX_LEAF = 0xd
const MAX_EXTENDED_LEAF = 0x8000_0021

function answer(eax = 0, ebx = 0, ecx = 0, edx = 0): CpuidResult {
  return { eax: eax >>> 0, ebx: ebx >>> 0, ecx: ecx >>> 0, edx: edx >>> 0 }
}

/** Four characters as a register holds them. */
function packed(text: string, at: number): number {
  let word = 0
  for (let i = 3; i >= 0; i--) word = word << 8 | (text.charCodeAt(at + i) || 0)
  return word >>> 0
}

function vendorLeaf(max: number, vendor: string): CpuidResult {
  return answer(max, packed(vendor, 0), packed(vendor, 8), packed(vendor, 4))
}

/** CPUID of `leaf` and `subleaf`; leaves beyond the last are zero, as on AMD. */
export function nativeCpuid(
  leaf: number, subleaf: number, policy: CpuPolicy, state: CpuidState,
): CpuidResult {
  return leaf >>> 0 >= 0x8000_0000
    ? extendedLeaf(leaf >>> 0, policy, state) : basicLeaf(leaf, subleaf, policy, state)
}

function basicLeaf(
  leaf: number, subleaf: number, policy: CpuPolicy, state: CpuidState,
): CpuidResult {
  const { features } = policy
  switch (leaf) {
    case 0: return vendorLeaf(MAX_LEAF, policy.vendor)
    case 1: return featureLeaf(policy, state)
    case 6: return answer(features['6.eax'])
    case 7:
      return subleaf === 0
        ? answer(0, features['7.ebx'], features['7.ecx'], features['7.edx']) : answer()
    case 0xb: return topologyLeaf(subleaf, state)
    case 0xd: return stateLeaf(subleaf, policy, state)
    default: return answer()
  }
}

function featureLeaf(policy: CpuPolicy, state: CpuidState): CpuidResult {
  const { features } = policy
  const several = state.vcpuCount > 1
  let ecx = features['1.ecx']
  if (Number(state.cr4) & CR4.OSXSAVE) ecx |= 1 << featureBits['1.ecx'].osxsave
  const edx = features['1.edx'] | (several ? 1 << featureBits['1.edx'].ht : 0)
  const ebx = (state.apicId & 0xff) << 24 | Math.min(state.vcpuCount, 255) << 16 | 8 << 8
  return answer(policy.signature, ebx, ecx, edx)
}

/** One thread a core; all cores in one package. */
function topologyLeaf(subleaf: number, state: CpuidState): CpuidResult {
  const bits = state.vcpuCount > 1 ? 32 - Math.clz32(state.vcpuCount - 1) : 0
  if (subleaf === 0) return answer(0, 1, 1 << 8, state.apicId)
  if (subleaf === 1) return answer(bits, state.vcpuCount, 2 << 8 | 1, state.apicId)
  return answer(0, 0, subleaf & 0xff, state.apicId)
}

function stateLeaf(subleaf: number, policy: CpuPolicy, state: CpuidState): CpuidResult {
  if (subleaf === 0) {
    return answer(XCR0_SUPPORTED, xsaveSize(Number(state.xcr0)), xsaveSize(XCR0_SUPPORTED))
  }
  if (subleaf === 1) return answer(policy.features['d1.eax'], xsaveSize(Number(state.xcr0)))
  const { size, offset } = xsaveComponent(subleaf)
  return answer(size, offset)
}

function extendedLeaf(leaf: number, policy: CpuPolicy, state: CpuidState): CpuidResult {
  const { features } = policy
  switch (leaf) {
    case 0x8000_0000: return vendorLeaf(MAX_EXTENDED_LEAF, policy.vendor)
    case 0x8000_0001: {
      const several = state.vcpuCount > 1 ? 1 << featureBits['80000001.ecx'].cmp_legacy : 0
      const edx = features['80000001.edx'] | features['1.edx'] & REPEATED_EDX
      return answer(policy.signature, 0, features['80000001.ecx'] | several, edx)
    }
    case 0x8000_0002: case 0x8000_0003: case 0x8000_0004: {
      const at = (leaf - 0x8000_0002) * 16
      const { brand } = policy
      return answer(
        packed(brand, at), packed(brand, at + 4), packed(brand, at + 8), packed(brand, at + 12))
    }
    case 0x8000_0005: return firstLevelCaches
    case 0x8000_0006: return otherCaches
    case 0x8000_0007: return answer(0, 0, 0, features['80000007.edx'])
    case 0x8000_0008: return sizesLeaf(policy, state)
    case 0x8000_001a: return answer(3)
    case 0x8000_0021: return answer(features['80000021.eax'], 0, features['80000021.ecx'])
    default: return answer()
  }
}

/** 32 KiB each, 8 ways, lines of 64 bytes; 64 entries in each TLB. */
const firstLevelCaches = answer(0xff48_ff40, 0xff48_ff40, 0x2008_0140, 0x2008_0140)
/** L2 of 1 MiB in 8 ways, L3 of 32 MiB in 16. */
const otherCaches = answer(0x5c00_2200, 0x6c00_4200, 0x0400_6140, 0x0100_9140)

function sizesLeaf(policy: CpuPolicy, state: CpuidState): CpuidResult {
  const bits = state.vcpuCount > 1 ? 32 - Math.clz32(state.vcpuCount - 1) : 0
  return answer(
    48 << 8 | policy.physicalAddressBits, policy.features['80000008.ebx'],
    bits << 12 | state.vcpuCount - 1 & 0xff)
}
