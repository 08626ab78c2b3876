/**
 * The engine's functions for x87 instructions.
 */
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import {
  buildDivideNormalised, buildX87Arithmetic, type X87Arithmetic,
} from './x87-arithmetic.ts'
import { buildX87Compare } from './x87-compare.ts'
import { buildX87Load } from './x87-load.ts'
import { buildX87Exchange, buildX87Move } from './x87-move.ts'
import { buildX87Commit, buildX87Store } from './x87-store.ts'

/** Builds the parts named x87*, all of one signature; `exact` is what they ask. */
export function buildX87(
  module: ModuleBuilder, signature: Signature, exact: FunctionReference,
  mulHigh: FunctionReference,
) {
  const divide = buildDivideNormalised(module)
  const arithmetic = (operation: X87Arithmetic): FunctionReference =>
    buildX87Arithmetic(module, signature, operation, { exact, mulHigh, divide })
  return {
    x87Add: arithmetic('add'), x87Sub: arithmetic('sub'), x87Subr: arithmetic('subr'),
    x87Mul: arithmetic('mul'), x87Div: arithmetic('div'), x87Divr: arithmetic('divr'),
    x87Load: buildX87Load(module, signature, exact),
    x87Store: buildX87Store(module, signature, exact),
    x87Compare: buildX87Compare(module, signature, exact),
    x87Move: buildX87Move(module, signature, exact),
    x87Exchange: buildX87Exchange(module, signature, exact),
    x87Commit: buildX87Commit(module),
  }
}
