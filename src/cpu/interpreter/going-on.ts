/**
 * From one compiled region to the next: the function that regions end with.
 *
 * The next region is entered in place of the one that ends, without a way through the
 * interpreter's loop. It must ask what the loop asks between the two: a region that is entered has
 * some budget, and no doorbell rings.
 */
import { call, i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { loadControl32, Z } from './core-fields.ts'
import { CORE, MACHINE, partSignatures } from './parts.ts'
import { field, Special } from './record.ts'

/** Builds the part `goOn`; `doorbell` is the machine address of the core's doorbell word. */
export function buildGoOn(
  module: ModuleBuilder, lookUp: FunctionReference, doorbell: number,
): FunctionBuilder {
  const f = module.function(partSignatures.goOn)
  const region = module.typeOf({ parameters: ['i32'], result: 'i32' })
  const [linear] = f.parameters as [Local]
  const record = f.local('i32')
  f.set(record, call(lookUp, linear))
  f.block((leave) => {
    f.brIf(leave, i32.eqz(record))
    const handler = i32.load16U(CORE, record, field.handler)
    f.brIf(leave, i32.ne(handler, i32.const(Special.REGION)))
    f.brIf(leave, i32.leS(loadControl32('budget'), Z))
    f.brIf(leave, i32.load(MACHINE, i32.const(doorbell)))
    f.returnCallIndirect(region, i32.load(CORE, record, field.link),
      i32.load(CORE, record, field.immediate))
  })
  f.return(record)
  return f
}
