/**
 * Pure functions (isa/pure.ts) as generated code calls them: by number, with operands and result in
 * core memory, 16 bytes each.
 *
 * Those that programs use in earnest have bodies in WebAssembly, of which their definitions in
 * TypeScript are the reference, and estimates are remembered there (estimates.ts); for the others
 * TypeScript is called, which takes a hundred times as long.
 */
import { call, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder } from '../../wasm/module.ts'
import { pureByNumber, pureFunctions } from '../../isa/pure.ts'
import { writeEstimates } from './estimates.ts'
import { partSignatures } from './parts.ts'
import { type PureBody, slot } from './pure-body.ts'
import { integerBodies } from './pure-integers.ts'
import { stringBodies } from './strings.ts'

const pureBodies: Readonly<Record<string, PureBody>> = {
  ...integerBodies,
  ...stringBodies,
}

/** Builds (number): the pure function of a number; `otherwise` is the same by TypeScript. */
export function buildPure(module: ModuleBuilder, otherwise: FunctionReference): FunctionBuilder {
  const names = Object.keys(pureBodies)
  const bodies = names.map((name) => {
    const body = module.function({ parameters: [], result: 'i32' })
    pureBodies[name]!(body, module)
    return body
  })
  const f = module.function(partSignatures.pure)
  const [number] = f.parameters as [Local]
  f.block((inTypeScript) => f.switch(number, bodies.map((body) => () => {
    f.if(call(body), () => f.return())
    f.br(inTypeScript)
  }), () => {}, Object.keys(pureFunctions).map((name) => names.indexOf(name))))
  writeEstimates(f, number, otherwise)
  f.call(otherwise, number)
  return f
}

/** Calls the function of a number; `core` is the core memory. */
export function callPure(core: ArrayBuffer, number: number): void {
  const { operands, result, run } = pureByNumber(number)
  const view = new DataView(core)
  const values: bigint[] = []
  for (let i = 0; i < operands.length; i++) {
    const low = view.getBigUint64(slot(i), true)
    values.push(operands[i] === 'v' ? low | view.getBigUint64(slot(i) + 8, true) << 64n : low)
  }
  const value = run(...values)
  view.setBigUint64(slot(0), BigInt.asUintN(64, value), true)
  if (result === 'v') view.setBigUint64(slot(0) + 8, BigInt.asUintN(64, value >> 64n), true)
}
