/**
 * Loading CR3 in 64-bit code (AMD APM 2, 3.1.2 and 5.5.1): what system/control.ts does then.
 *
 * Left to the service: values with reserved bits, for which it faults.
 */
import { i32, i64, select, type Expression } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { CR4 } from '../../abi/x86/control.ts'
import { loadControlRegister, Z } from '../interpreter/core-fields.ts'
import { CORE, partSignatures } from '../interpreter/parts.ts'
import { PHYSICAL_ADDRESS_BITS } from '../p2m-format.ts'
import { CpuContext } from '../state.ts'

const PCID = 0xfff
const KEEP_BIT = 63

/** Builds the part `loadSpace`; `switchSpace` is that of mmu/spaces.ts. */
export function buildLoadSpace(
  module: ModuleBuilder, switchSpace: FunctionReference,
): FunctionBuilder {
  const f = module.function(partSignatures.loadSpace)
  const value = f.parameters[0]!
  const [address, tagged] = [f.local('i64'), f.local('i32')]
  f.set(tagged, i32.ne(i32.and(loadControlRegister('cr4'), i32.const(CR4.PCIDE)), Z))
  const keep = (): Expression => i32.and(tagged, i32.wrap(i64.shrU(value, i64.const(KEEP_BIT))))
  f.set(address, i64.xor(value, i64.shl(i64.extendU(keep()), i64.const(KEEP_BIT))))
  f.if(i32.wrap(i64.shrU(address, i64.const(PHYSICAL_ADDRESS_BITS))),
    () => f.return(i32.const(1)))
  f.store('i64', CORE, Z, address, CpuContext.offsets.cr3)
  f.call(switchSpace, select(i32.and(i32.wrap(address), i32.const(PCID)), Z, tagged), keep())
  f.return(Z)
  return f
}
