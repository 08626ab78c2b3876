/**
 * CPUID's feature words and the bits in them, by the names of /proc/cpuinfo (AMD APM 3, appendix E;
 * for family 19h its PPR).
 */

/** Feature words by leaf and register. */
export const featureWords = [
  '1.ecx', '1.edx', '6.eax', '7.ebx', '7.ecx', '7.edx', 'd1.eax', '80000001.ecx', '80000001.edx',
  '80000007.edx', '80000008.ebx', '80000021.eax', '80000021.ecx',
] as const

export type FeatureWord = (typeof featureWords)[number]

/** Bits of each word. Words that repeat bits of another (80000001.edx) name only their own. */
export const featureBits = {
  '1.ecx': {
    pni: 0, pclmulqdq: 1, monitor: 3, ssse3: 9, fma: 12, cx16: 13, pcid: 17, sse4_1: 19, sse4_2: 20,
    x2apic: 21, movbe: 22, popcnt: 23, tsc_deadline_timer: 24, aes: 25, xsave: 26, osxsave: 27,
    avx: 28, f16c: 29, rdrand: 30, hypervisor: 31,
  },
  '1.edx': {
    fpu: 0, vme: 1, de: 2, pse: 3, tsc: 4, msr: 5, pae: 6, mce: 7, cx8: 8, apic: 9, sep: 11,
    mtrr: 12, pge: 13, mca: 14, cmov: 15, pat: 16, pse36: 17, clflush: 19, mmx: 23, fxsr: 24,
    sse: 25, sse2: 26, ht: 28,
  },
  '6.eax': { arat: 2 },
  '7.ebx': {
    fsgsbase: 0, tsc_adjust: 1, bmi1: 3, avx2: 5, smep: 7, bmi2: 8, erms: 9, invpcid: 10,
    rdseed: 18, adx: 19, smap: 20, clflushopt: 23, clwb: 24, sha_ni: 29,
  },
  '7.ecx': { umip: 2, pku: 3, rdpid: 22 },
  '7.edx': { fsrm: 4 },
  'd1.eax': { xsaveopt: 0, xsavec: 1, xgetbv1: 2, xsaves: 3 },
  '80000001.ecx': {
    lahf_lm: 0, cmp_legacy: 1, svm: 2, extapic: 3, cr8_legacy: 4, abm: 5, sse4a: 6, misalignsse: 7,
    '3dnowprefetch': 8, osvw: 9, topoext: 22,
  },
  '80000001.edx': {
    syscall: 11, nx: 20, mmxext: 22, fxsr_opt: 25, pdpe1gb: 26, rdtscp: 27, lm: 29,
  },
  '80000007.edx': { constant_tsc: 8 },
  '80000008.ebx': { clzero: 0, xsaveerptr: 2, wbnoinvd: 9, ibpb: 12, amd_ssb_no: 26, btc_no: 29 },
  '80000021.eax': {
    no_nested_data_bp: 0, lfence_rdtsc: 2, null_sel_clr_base: 6, autoibrs: 8, srso_no: 29,
    srso_user_kernel_no: 30,
  },
  // Bit 7 is in no manual that we have. Linux from 6.12.117 on clears buffers at each return to
  // programs unless all three are set.
  '80000021.ecx': { tsa_sq_no: 1, tsa_l1_no: 2, tsa_ecx7_no: 7 },
} as const satisfies Record<FeatureWord, Readonly<Record<string, number>>>

type NamesOf<W> = W extends FeatureWord ? keyof (typeof featureBits)[W] : never
export type FeatureName = NamesOf<FeatureWord>

/** Bits of leaf 1's EDX that AMD repeats in leaf 80000001h. */
export const REPEATED_EDX = 0x0183_f3ff

/** The registers that hold feature words, in the order in which Xen's interface has them. */
const registers = ['eax', 'ebx', 'ecx', 'edx'] as const

/** Where CPUID has a feature word: `register` counts from EAX. */
export function placeOf(
  word: FeatureWord,
): { readonly leaf: number, readonly subleaf: number, readonly register: number } {
  const [leaf = '', register] = word.split('.')
  const place = { register: registers.findIndex((name) => name === register) }
  // Of the leaf of XSAVE only the first has features.
  return leaf === 'd1' ? { leaf: 0xd, subleaf: 1, ...place }
    : { leaf: Number(`0x${leaf}`), subleaf: 0, ...place }
}
