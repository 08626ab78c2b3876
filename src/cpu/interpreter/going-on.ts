/**
 * From one compiled region to the next: the function that regions end with.
 *
 * The next region is entered in place of the one that ends, without a way through the
 * interpreter's loop, as long as something is left of what the first was given: between slices of
 * the budget the loop looks at the doorbell.
 */
import { call, i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { loadControl32, Z } from './core-fields.ts'
import { emitHeat, type Heat } from './heat.ts'
import { CORE, partSignatures } from './parts.ts'
import { field, Special } from './record.ts'

/** Builds the part `goOn`. */
export function buildGoOn(
  module: ModuleBuilder, lookUp: FunctionReference, heat: Heat,
): FunctionBuilder {
  const f = module.function(partSignatures.goOn)
  const region = module.typeOf({ parameters: ['i32'], result: 'i32' })
  const [linear] = f.parameters as [Local]
  const record = f.local('i32')
  const count = f.local('i32')
  f.set(record, call(lookUp, linear))
  f.block((leave) => {
    f.brIf(leave, i32.eqz(record))
    const handler = i32.load16U(CORE, record, field.handler)
    f.brIf(leave, i32.ne(handler, i32.const(Special.REGION)))
    f.brIf(leave, i32.leS(loadControl32('budget'), Z))
    // What is hot may be entered by another way now.
    emitHeat(f, record, count, heat, () => f.br(leave))
    f.returnCallIndirect(region, i32.load(CORE, record, field.link),
      i32.load(CORE, record, field.immediate))
  })
  f.return(record)
  return f
}
