/**
 * Where generated code finds the state in core memory: addresses of fields that core-memory.ts and
 * state.ts lay out, and expressions that load them.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { CoreControl, coreMap } from '../core-memory.ts'
import { CpuContext, SegmentState } from '../state.ts'
import { CORE } from './parts.ts'

/** The base of an address that is wholly in the offset. */
export const Z = i32.const(0)

type ControlField = keyof typeof CoreControl.offsets

/** Address of a field of CoreControl. */
export function controlAt(name: ControlField): number {
  return coreMap.control + CoreControl.offsets[name]
}

export function loadControl64(name: ControlField): Expression {
  return i64.load(CORE, Z, controlAt(name))
}

export function loadControl32(name: ControlField): Expression {
  return i32.load(CORE, Z, controlAt(name))
}

/** Code goes on in a page whose frame is known. */
export function emitCodePage(f: FunctionBuilder, page: Local, machinePage: Expression): void {
  f.store('i64', CORE, Z, page, controlAt('codePage'))
  f.store('i64', CORE, Z, page, controlAt('codePageTag'))
  f.store('i32', CORE, Z, machinePage, controlAt('codeMachinePage'))
}

/** The low word of a control register. */
export function loadControlRegister(name: 'cr0' | 'cr4'): Expression {
  return i32.load(CORE, Z, CpuContext.offsets[name])
}

/** Address of a general register. */
export function gprAt(index: number): number {
  return CpuContext.offsets.gpr + index * 8
}

/** Address of the low 128 bits of a vector register. */
export function xmmAt(index: number): number {
  return CpuContext.offsets.vector + index * 32
}

/** Address of a segment register; its base stands first. */
export function segmentAt(segment: number): number {
  return CpuContext.offsets.segments + segment * SegmentState.size
}
