/**
 * Every instruction there is: the list that the decoder and all readings are made from.
 *
 * A family adds its import and its spread line here.
 */
import type { Definition } from '../definition.ts'
import { mmxArithmetic } from './mmx-arithmetic.ts'
import { mmxShift } from './mmx-shift.ts'
import { mmxShuffle } from './mmx-shuffle.ts'
import { sseConvert } from './sse-convert.ts'
import { sseFloat } from './sse-float.ts'
import { sseMove } from './sse-move.ts'
import { controlInstructions } from './system-control.ts'
import { segmentInstructions } from './system-segments.ts'
import { systemInstructions } from './system.ts'

export const allInstructions: readonly Definition[] = [
  ...systemInstructions, ...segmentInstructions, ...controlInstructions,
  ...mmxArithmetic, ...mmxShift, ...mmxShuffle, ...sseMove, ...sseFloat, ...sseConvert,
]
