/**
 * The engine's functions for what a region seldom does, as functions of the region's own module:
 * they add what is the same at every place, and say at once whether an access completed.
 *
 * There is a call for nearly every instruction. To call a function of the same module takes 5
 * bytes of native code, and an imported one some 30.
 */
import { call, globalGet, i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import {
  type EngineParts, type FunctionPart, partSignatures, type SlowAccesses,
} from '../interpreter/parts.ts'
import type { Without } from './features.ts'
import type { FlagWriters } from './flag-writers.ts'

/** What the code of a module's regions calls. */
export interface Callees {
  readonly parts: EngineParts
  readonly slow: SlowCalls
  readonly flagWriters: FlagWriters
  readonly without: Without
}

export class SlowCalls implements SlowAccesses {
  readonly #module: ModuleBuilder
  readonly #parts: EngineParts
  readonly #made = new Map<string, FunctionBuilder>()

  constructor(module: ModuleBuilder, parts: EngineParts) {
    this.#module = module
    this.#parts = parts
  }

  load(part: FunctionPart, flags: number): FunctionReference {
    return this.#once(part, flags, 0, { ...partSignatures[part], second: 'i32' }, (f, linear) =>
      f.returnPair(call(this.#parts[part], linear!, i32.const(flags)),
        globalGet(this.#parts.stopped, 'i32')))
  }

  store(part: FunctionPart, flags: number): FunctionReference {
    return this.#once(part, flags, 0, partSignatures[part], (f, linear, value) =>
      f.returnCall(this.#parts[part], linear!, value!, i32.const(flags)))
  }

  reach(part: FunctionPart, bytes: number, flags: number): FunctionReference {
    return this.#once(part, flags, bytes, partSignatures[part], (f, linear) =>
      f.returnCall(this.#parts[part], linear!, i32.const(bytes), i32.const(flags)))
  }

  /** The function for a part and constants behind its operands, which is made when it is first
   * wanted. */
  #once(
    part: FunctionPart, flags: number, bytes: number, signature: Signature,
    body: (f: FunctionBuilder, ...operands: Expression[]) => void,
  ): FunctionReference {
    const name = `${part} ${flags} ${bytes}`
    const known = this.#made.get(name)
    if (known) return known
    const constants = bytes === 0 ? 1 : 2
    const parameters = signature.parameters.slice(0, -constants)
    const f = this.#module.function({ ...signature, parameters })
    body(f, ...f.parameters as readonly Local[])
    this.#made.set(name, f)
    return f
  }
}
