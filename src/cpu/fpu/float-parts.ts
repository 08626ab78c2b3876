/**
 * The engine's parts for arithmetic under MXCSR, from the fast ones to the exact routines.
 */
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { buildNoting } from './denormals.ts'
import { buildFastFloat } from './fast-float.ts'
import { buildFastFused } from './fast-fused.ts'
import { buildFloatCompareLanes, buildFloatLanes } from './float-lanes.ts'
import { buildSoftFloat } from './soft-float.ts'
import { buildSoftFused } from './soft-fused.ts'
import { buildEncoders } from './soft-number.ts'

interface Needs {
  /** The imported exact routines. */
  readonly exactFloat: FunctionReference
  readonly exactFused: FunctionReference
  readonly mulHigh: FunctionReference
}

export function buildFloatParts(
  module: ModuleBuilder, { exactFloat, exactFused, mulHigh }: Needs,
) {
  const encoders = buildEncoders(module)
  const soft = buildSoftFloat(module, encoders, mulHigh)
  const softFused = buildSoftFused(module, { encoders, mulHigh, soft })
  const float = buildFastFloat(module, soft, exactFloat)
  const floatVector = buildFloatLanes(module, float)
  return {
    float, floatVector, ...buildNoting(module, float, floatVector),
    fused: buildFastFused(module, softFused, exactFused),
    floatCompare: buildFloatCompareLanes(module, float),
  }
}
