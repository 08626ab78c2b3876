/**
 * Fences and prefetches.
 *
 * An instruction is finished before the next begins and memory is read and written in order, so a
 * fence has nothing to wait for; a prefetch is a hint, and does not even fault. (The prefetches of
 * 0f 18 are among the reserved no-operations of control.ts.)
 */
import { define, row, type Definition } from '../definition.ts'

function nothing(name: string, pattern: string, feature: string, ...operands: string[]) {
  return define(name, {
    encodings: [row(pattern, ...operands).cpuid(feature)],
    execute() {},
  })
}

export const sseFence: readonly Definition[] = [
  nothing('lfence', 'np 0f ae /5 r', 'sse2'), nothing('mfence', 'np 0f ae /6 r', 'sse2'),
  nothing('sfence', 'np 0f ae /7 r', 'sse'),
  nothing('prefetchw', '0f 0d /r m', '3dnowprefetch', 'Mb'),
]
