/**
 * The engine's functions for x87 instructions.
 */
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import {
  buildDivideNormalised, buildX87Arithmetic, buildX87Values, type X87Arithmetic,
} from './x87-arithmetic.ts'
import { buildX87Class, buildX87Compare, buildX87Order, buildX87Xam } from './x87-compare.ts'
import { buildX87Function, buildX87Functions, type X87Function } from './x87-functions.ts'
import { buildX87Load } from './x87-load.ts'
import { buildX87Exchange, buildX87Move } from './x87-move.ts'
import { buildX87Widen } from './x87-operand.ts'
import { StackFunction } from './x87-state.ts'
import { buildX87Commit, buildX87Narrow, buildX87Store } from './x87-store.ts'

/** Builds the parts named x87*; those on the stack have one signature, and ask `exact`. */
export function buildX87(
  module: ModuleBuilder, signature: Signature, exact: FunctionReference,
  mulHigh: FunctionReference,
) {
  const divide = buildDivideNormalised(module)
  const values = {
    ...buildX87Values(module, mulHigh, divide), ...buildX87Functions(module, mulHigh, divide),
    x87Order: buildX87Order(module),
    x87Class: buildX87Class(module),
    x87Widen: buildX87Widen(module),
    x87Narrow: buildX87Narrow(module),
  }
  const onStack = (write: (s: StackFunction) => void): FunctionReference => {
    const f = module.function(signature)
    write(new StackFunction(f, exact, values.x87Widen))
    return f
  }
  const arithmetic = (operation: X87Arithmetic): FunctionReference =>
    onStack((s) => buildX87Arithmetic(s, operation, values))
  const onFunction = (name: X87Function): FunctionReference =>
    onStack((s) => buildX87Function(s, name, values))
  return {
    ...values,
    x87Add: arithmetic('add'), x87Sub: arithmetic('sub'), x87Subr: arithmetic('subr'),
    x87Mul: arithmetic('mul'), x87Div: arithmetic('div'), x87Divr: arithmetic('divr'),
    x87Load: onStack(buildX87Load),
    x87Store: onStack((s) => buildX87Store(s, values.x87Narrow)),
    x87Compare: onStack((s) => buildX87Compare(s, values.x87Order)),
    x87Xam: onStack((s) => buildX87Xam(s, values.x87Class)),
    x87Move: onStack(buildX87Move),
    x87Exchange: onStack(buildX87Exchange),
    x87Sqrt: onFunction('x87Sqrt'), x87Rndint: onFunction('x87Rndint'),
    x87Scale: onFunction('x87Scale'),
    x87Prem: onFunction('x87Prem'), x87Prem1: onFunction('x87Prem1'),
    x87Commit: buildX87Commit(module),
  }
}
