/**
 * x87 stores to memory.
 */
import { i32 } from '../../wasm/expression.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { CpuContext } from '../state.ts'

const CORE = 0
const Z = i32.const(0)
const at = CpuContext.offsets

/** Builds () -> (): status word and tags become what the store waited with. */
export function buildX87Commit(module: ModuleBuilder): FunctionReference {
  const f = module.function({ parameters: [] })
  f.store('i32As16', CORE, Z, i32.load16U(CORE, Z, coreMap.x87Result), at.x87Status)
  f.store('i32As8', CORE, Z, i32.load16U(CORE, Z, coreMap.x87Result + 2), at.x87Tags)
  return f
}
