/**
 * What compiling does beyond the necessary, by name: each can be left out, to see whether a mistake
 * is its. Nothing that a guest sees depends on them.
 */
export const FEATURES = [
  /** Flags wait where paths meet, also around loops (flag-needs.ts). */
  'flags',
  /** Accesses of loops ask the micro-TLB (micro-entries.ts). */
  'micro-tlb',
  /** The x87 stack is in locals (local-x87.ts). */
  'x87',
  /** Busy regions are made anew beyond the entries of others (entries.ts). */
  'wide',
  /** 32-bit code is compiled. */
  '32-bit',
] as const

export type Feature = typeof FEATURES[number]

/** Those that are left out. */
export type Without = readonly Feature[]

/** What may be wished of compiling. */
export interface CompilingOptions {
  /** How often code is jumped to before it is compiled: 1 to 65534; 0 to interpret only. */
  readonly heatLimit?: number
  readonly without?: Without
}
