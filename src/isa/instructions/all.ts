/**
 * Every instruction there is: the list that the decoder and all readings are made from.
 *
 * A family adds its import and its spread line here.
 */
import type { Definition } from '../definition.ts'
import { arithmetic } from './arithmetic.ts'
import { avxFloat } from './avx-float.ts'
import { avxMasked } from './avx-masked.ts'
import { avxPermute } from './avx-permute.ts'
import { avxState } from './avx-state.ts'
import { avx } from './avx.ts'
import { bmi } from './bmi.ts'
import { control } from './control.ts'
import { cryptoAes } from './crypto-aes.ts'
import { cryptoSha } from './crypto-sha.ts'
import { decimal } from './decimal.ts'
import { logic } from './logic.ts'
import { mmxArithmetic } from './mmx-arithmetic.ts'
import { mmxShift } from './mmx-shift.ts'
import { mmxShuffle } from './mmx-shuffle.ts'
import { move } from './move.ts'
import { multiply } from './multiply.ts'
import { random } from './random.ts'
import { shift } from './shift.ts'
import { sseConvert } from './sse-convert.ts'
import { sseFence } from './sse-fence.ts'
import { sseFloat } from './sse-float.ts'
import { sseMove } from './sse-move.ts'
import { sse4 } from './sse-sse4.ts'
import { sse4a } from './sse-sse4a.ts'
import { ssse3 } from './sse-ssse3.ts'
import { sseString } from './sse-string.ts'
import { stack } from './stack.ts'
import { string } from './string.ts'
import { controlInstructions } from './system-control.ts'
import { segmentInstructions } from './system-segments.ts'
import { systemInstructions } from './system.ts'
import { x87Instructions } from './x87.ts'

export const allInstructions: readonly Definition[] = [
  ...arithmetic, ...multiply, ...logic, ...shift, ...bmi, ...decimal, ...move, ...stack,
  ...string, ...control, ...random,
  ...systemInstructions, ...segmentInstructions, ...controlInstructions,
  ...mmxArithmetic, ...mmxShift, ...mmxShuffle, ...sseMove, ...sseFloat, ...sseConvert, ...sseFence,
  ...ssse3, ...sse4, ...sse4a, ...sseString, ...cryptoAes, ...cryptoSha,
  ...avx, ...avxPermute, ...avxFloat, ...avxMasked, ...avxState,
  ...x87Instructions,
]
