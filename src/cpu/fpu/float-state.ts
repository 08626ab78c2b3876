/**
 * What MXCSR must say for arithmetic by WebAssembly's own instructions.
 */
import { i32, type Expression } from '../../wasm/expression.ts'
import { CpuContext } from '../state.ts'

const CORE = 0
const MASKS = 0x1f80
/** Rounding control, FTZ and DAZ. */
const MODES = 0xe040
const INEXACT = 0x20

export const loadMxcsr = (): Expression =>
  i32.load(CORE, i32.const(0), CpuContext.offsets.mxcsr)

/** All exceptions masked. */
export function allMasked(): Expression {
  return i32.eq(i32.and(loadMxcsr(), i32.const(MASKS)), i32.const(MASKS))
}

/** Nothing special about rounding, and all exceptions masked. */
export function isPlain(): Expression {
  return i32.eq(i32.and(loadMxcsr(), i32.const(MASKS | MODES)), i32.const(MASKS))
}

export const inexactAlready = (): Expression => i32.and(loadMxcsr(), i32.const(INEXACT))

/** Bits of what `unsettled` yields: the inexact flag is still to be set, some exception is not
 * masked, and, beside MXCSR's, something was noted (denormals.ts). */
export const NOT_YET_INEXACT = INEXACT
export const NOT_MASKED = MASKS
export const NOTED = 1

/** Not zero where ordinary results may change the state, or are rounded otherwise. */
export function unsettled(): Expression {
  return i32.and(i32.xor(loadMxcsr(), i32.const(MASKS | INEXACT)),
    i32.const(MASKS | MODES | INEXACT))
}
