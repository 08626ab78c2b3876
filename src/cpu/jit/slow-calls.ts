/**
 * The engine's functions for what a region seldom does, as functions of the region's own module:
 * they add what is the same at every place, say at once whether an access completed, and carry out
 * those that were left to them only because they are not aligned.
 *
 * There is a call for nearly every instruction. To call a function of the same module takes 5
 * bytes of native code, and an imported one some 30.
 */
import { call, globalGet, i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference, ModuleBuilder, Signature } from '../../wasm/module.ts'
import { loadControl32 } from '../interpreter/core-fields.ts'
import {
  CORE, type EngineParts, type FunctionPart, MACHINE, partSignatures, type SlowAccesses,
} from '../interpreter/parts.ts'
import { loadOf, storeKind } from '../interpreter/reading/machine-access.ts'
import { endsInPage, entryOf, hits, machineAddress } from '../mmu/lookup.ts'
import { setsEntry } from '../mmu/micro-tlb.ts'
import type { Without } from './features.ts'
import type { FlagWriters } from './flag-writers.ts'
import type { SlowFloats } from './slow-floats.ts'

/** What the code of a module's regions calls. */
export interface Callees {
  readonly parts: EngineParts
  readonly slow: SlowCalls
  readonly slowFloats: SlowFloats
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
    return this.#once(part, flags, 0, { ...partSignatures[part], second: 'i32' }, (f, linear) => {
      ifUnaligned(f, { linear: linear!, width: widthOf(part), write: false, flags }, (machine) =>
        f.returnPair(loadOf(widthOf(part), machine), i32.const(0)))
      f.returnPair(call(this.#parts[part], linear!, i32.const(flags)),
        globalGet(this.#parts.stopped, 'i32'))
    })
  }

  store(part: FunctionPart, flags: number): FunctionReference {
    return this.#once(part, flags, 0, partSignatures[part], (f, linear, value) => {
      ifUnaligned(f, { linear: linear!, width: widthOf(part), write: true, flags }, (machine) => {
        f.store(storeKind(widthOf(part)), MACHINE, machine, value!)
        f.return(i32.const(0))
      })
      f.returnCall(this.#parts[part], linear!, value!, i32.const(flags))
    })
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

/** Bits of a part that loads or stores. */
function widthOf(part: FunctionPart): number {
  return Number(/\d+$/.exec(part)![0])
}

interface SlowAccess {
  readonly linear: Expression
  readonly width: number
  readonly write: boolean
  readonly flags: number
}

/** Runs `hit` with the machine address of a scalar that the look-up in line missed only because it
 * is not aligned. Where an entry of the micro-TLB is to be set, the engine does it. */
function ifUnaligned(
  f: FunctionBuilder, { linear, width, write, flags }: SlowAccess,
  hit: (machine: Expression) => void,
): void {
  const isScalar = width > 8 && width <= 64
  if (!isScalar || setsEntry(flags)) return
  const entry = f.local('i64')
  f.set(entry, entryOf(CORE, loadControl32('tables'), linear, write))
  f.if(i32.and(hits(linear, entry), endsInPage(linear, width / 8)),
    () => hit(machineAddress(linear, entry)))
}
