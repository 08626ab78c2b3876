/**
 * What generated code asks before it computes with floats: whether SSE may be used, and whether
 * MXCSR is settled (fpu/float-state.ts).
 */
import { CR0, CR4 } from '../../../abi/x86/control.ts'
import { i32, type Expression } from '../../../wasm/expression.ts'
import { isNotSettled } from '../../fpu/float-state.ts'
import { loadControlRegister } from '../core-fields.ts'

export interface FloatState {
  /** Not zero while SSE instructions raise #UD or #NM. */
  unavailable(): Expression
  /** Not zero while inexact results or rounding ask for more than WebAssembly's instructions. */
  unsettled(): Expression
  /** MXCSR may have changed here. */
  changed(): void
}

/** SSE is off, or the system has not said that it knows of it. */
export function isUnavailable(): Expression {
  const off = i32.and(loadControlRegister('cr0'), i32.const(CR0.EM | CR0.TS))
  return i32.or(off, i32.eqz(i32.and(loadControlRegister('cr4'), i32.const(CR4.OSFXSR))))
}

/** Looks at the registers each time. */
export const coreFloatState: FloatState = {
  unavailable: isUnavailable,
  unsettled: isNotSettled,
  changed: () => {},
}
