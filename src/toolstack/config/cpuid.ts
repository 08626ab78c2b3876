/**
 * An xl.cfg's `cpuid` in libxl's form, "host,avx2=0,invtsc=1": which features CPUID shows.
 *
 * Obeys xl.cfg(5); names and messages are those of real xl 4.17. What is wrong is said and passed
 * over, as by xl. No feature can be shown that there is not, so that names of others are taken and
 * change nothing. Left out: keys that are numbers (`family`), and the older form, a list.
 */
import { featureBits, type FeatureName, type FeatureWord, featureWords } from
  '../../abi/x86/cpuid.ts'
import type { Settings } from './settings.ts'

/** What becomes of a bit: it is hidden, shown, as usual, or as the host has it. */
export const FEATURE_VALUES = ['0', '1', 'x', 'k', 's'] as const

/** A bit of a feature word, and what becomes of it. */
export interface FeatureChange {
  readonly word: FeatureWord
  readonly bit: number
  readonly value: (typeof FEATURE_VALUES)[number]
}

/** libxl's names where they differ from ours by more than hyphens. */
const OTHER_NAMES: Readonly<Record<string, FeatureName>> = {
  'sse3': 'pni', 'cmpxchg16': 'cx16', 'cmpxchg8': 'cx8', 'sse4.1': 'sse4_1', 'sse4.2': 'sse4_2',
  'aesni': 'aes', 'itsc': 'constant_tsc', 'invtsc': 'constant_tsc', 'lahfsahf': 'lahf_lm',
  'page1gb': 'pdpe1gb', 'sha': 'sha_ni', 'sysenter': 'sep', 'clfsh': 'clflush',
  'rstr-fp-err-ptrs': 'xsaveerptr', 'nscb': 'null_sel_clr_base', 'auto-ibrs': 'autoibrs',
  'lfence+': 'lfence_rdtsc', 'srso-us-no': 'srso_user_kernel_no',
}

/** Names of features that a processor here never has. */
const ABSENT: ReadonlySet<string> = new Set((
  '3dnow 3dnowext acpi altmovcr8 amd-ppin amd-ssbd amd-stibp arch-caps avx-vnni avx512-4fmaps '
  + 'avx512-4vnniw avx512-bf16 avx512-bitalg avx512-fp16 avx512-ifma avx512-vbmi avx512-vbmi2 '
  + 'avx512-vnni avx512-vp2intersect avx512-vpopcntdq avx512bw avx512cd avx512dq avx512er avx512f '
  + 'avx512pf avx512vl cldemote cmplegacy cmt cntxid cpb dca ds dscpl dtes64 enqcmd est ffxsr fma4 '
  + 'gfni hle hwpstate ia64 ibs l1d-flush lwp monitor monitorx movdir64b movdiri mpx nodeid ospke '
  + 'pbe pdcm perfctr_core perfctr_nb pku pqe pqm prefetchwt1 psn rtm sgx skinit smx ss svm '
  + 'svm_decode svm_lbrv svm_npt svm_nrips svm_pausefilt svm_tscrate svm_vmcbclean tbm tm tm1 tm2 '
  + 'vaes virt-ssbd vmx vpclmulqdq wdt xop xtpr'
).split(' '))

/** Keys whose value is a number. */
const NUMBERS: ReadonlySet<string> = new Set([
  'apicidsize', 'brandid', 'clflush', 'family', 'localapicid', 'maxhvleaf', 'maxleaf', 'model',
  'nc', 'proccount', 'procpkg', 'stepping',
])

/** What the setting changes. */
export function cpuFeaturesOf(settings: Settings): FeatureChange[] {
  for (const setting of settings.all()) {
    if (setting.name !== 'cpuid') continue
    const { value } = setting
    if (value.kind === 'atom') return parseCpuid(value.text, (line) => settings.messages.push(line))
    settings.warn(setting, "parameter `cpuid' has no effect here as a list")
  }
  return []
}

/** What is to be changed; `say` is told what is passed over. */
export function parseCpuid(text: string, say: (line: string) => void): FeatureChange[] {
  const [first, ...flags] = text.split(',').filter((word) => word !== '')
  if (first === undefined) return []
  if (first !== 'host') {
    say(`while parsing CPUID string: "${text}":\n  error: first word must be "host"`)
    return []
  }
  return flags.flatMap((flag) => {
    const parsed = parseFlag(flag)
    if (typeof parsed !== 'string') return parsed
    say(`while parsing CPUID flag: "${flag}":\n  ${parsed}`)
    return []
  })
}

/** What a flag changes, or what is wrong with it. */
function parseFlag(flag: string): FeatureChange[] | string {
  const [, key, text = ''] = /^([^=]*)=(.*)$/.exec(flag) ?? []
  if (key === undefined) return 'error #1: missing "=" in key=value'
  if (NUMBERS.has(key)) return `error: "${key}" cannot be set here`
  const place = placeNamed(key)
  if (!place && !ABSENT.has(key)) return 'error #2: unknown CPUID flag name'
  // Of a number its lowest bit counts.
  const value = /^\d+$/.test(text) ? FEATURE_VALUES[Number(text) & 1]
    : FEATURE_VALUES.find((known) => known === text)
  if (value === undefined) return 'error #3: illegal CPUID value (must be: [0|1|x|k|s])'
  return place ? [{ ...place, value }] : []
}

function placeNamed(key: string): Omit<FeatureChange, 'value'> | undefined {
  const name = OTHER_NAMES[key] ?? key.replaceAll('-', '_')
  for (const word of featureWords) {
    const bit = Object.entries(featureBits[word]).find(([known]) => known === name)?.[1]
    if (bit !== undefined) return { word, bit }
  }
  return undefined
}
