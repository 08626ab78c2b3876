/**
 * What generated code asks before it computes with vectors: whether SSE and AVX may be used, and
 * whether MXCSR is settled (fpu/float-state.ts).
 */
import { CR0, CR4, XCR0 } from '../../../abi/x86/control.ts'
import { i32, v128, type Expression, type Local } from '../../../wasm/expression.ts'
import { unsettled } from '../../fpu/float-state.ts'
import { CpuContext, RFLAGS } from '../../state.ts'
import { loadControlRegister, Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'

/** What is known of an operation on doubles unless the contrary was noted. */
export interface KnownOfDoubles {
  /** Which operands are within bounds. */
  readonly known: readonly boolean[]
  /** Whether its result is normal at all events, or asked to be moderate. */
  readonly bounded: 'normal' | 'moderate' | undefined
}

export interface FloatState {
  /** Not zero while SSE instructions raise #UD or #NM. */
  unavailable(): Expression
  /** The same for AVX instructions. */
  avxUnavailable(): Expression
  /** Not zero while inexact results, rounding or denormals ask for more than WebAssembly's
   * instructions: why, as fpu/float-state.ts says. */
  unsettled(): Expression
  /** MXCSR may have changed here, or a denormal have been noted. */
  changed(): void
  /** Writes an operation on doubles that is not done in line, with what `changed` writes, if there
   * is a shorter way than the engine's; else returns false. */
  compute(
    op: string, of: KnownOfDoubles, operands: readonly [Local, Local], result: Local,
  ): boolean
  /** A vector that does not change. */
  constant(bits: bigint): Expression
}

/** SSE is off, or the system has not said that it knows of it. */
export function isUnavailable(): Expression {
  const off = i32.and(loadControlRegister('cr0'), i32.const(CR0.EM | CR0.TS))
  return i32.or(off, i32.eqz(i32.and(loadControlRegister('cr4'), i32.const(CR4.OSFXSR))))
}

/** AVX is off: its part of the state is not enabled, or the mode is one without VEX. */
export function isAvxUnavailable(): Expression {
  const at = CpuContext.offsets
  const wanted = i32.const(CR0.PE | CR0.TS)
  const mode = i32.xor(i32.and(loadControlRegister('cr0'), wanted), i32.const(CR0.PE))
  const virtual = i32.and(i32.load(CORE, Z, at.systemFlags), i32.const(RFLAGS.VM))
  const enabled = i32.const(XCR0.SSE | XCR0.AVX)
  const parts = i32.xor(i32.and(i32.load(CORE, Z, at.xcr0), enabled), enabled)
  const saves = i32.eqz(i32.and(loadControlRegister('cr4'), i32.const(CR4.OSXSAVE)))
  return i32.or(i32.or(mode, virtual), i32.or(parts, saves))
}

/** Looks at the registers each time. */
export const coreFloatState: FloatState = {
  unavailable: isUnavailable,
  avxUnavailable: isAvxUnavailable,
  unsettled,
  changed: () => {},
  compute: () => false,
  constant: (bits) => v128.const(bits),
}
