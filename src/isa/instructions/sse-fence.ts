/**
 * Fences and prefetches.
 *
 * Loads are in order among themselves, and so are stores: only MFENCE, which keeps a load behind
 * the stores before it, has anything to do. A prefetch is a hint, and does not even fault. (The
 * prefetches of 0f 18 are among the reserved no-operations of control.ts.)
 */
import { define, row, type Definition } from '../definition.ts'

function nothing(name: string, pattern: string, feature: string, ...operands: string[]) {
  return define(name, {
    encodings: [row(pattern, ...operands).cpuid(feature)],
    execute() {},
  })
}

const mfence = define('mfence', {
  encodings: [row('np 0f ae /6 r').cpuid('sse2')],
  execute(m) {
    m.fence()
  },
})

export const sseFence: readonly Definition[] = [
  nothing('lfence', 'np 0f ae /5 r', 'sse2'), mfence, nothing('sfence', 'np 0f ae /7 r', 'sse'),
  nothing('prefetchw', '0f 0d /r m', '3dnowprefetch', 'Mb'),
]
