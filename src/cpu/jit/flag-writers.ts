/**
 * Functions of a module of regions that write flags: each for one way in which pending flags follow
 * from values, which are its operands.
 *
 * Regions leave in many places with flags pending, but nearly always in one of a few ways, and
 * seldom: in line the code for it would be a quarter of all.
 */
import { Bytes } from '../../wasm/bytes.ts'
import { i32, Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { CORE } from '../interpreter/parts.ts'
import { slotAt } from '../interpreter/reading/flag-slots.ts'
import type { FlagState } from './flag-state.ts'

/** Computes pending flags, and puts them where flags are in core memory. */
export function writeFlags(f: FunctionBuilder, flags: FlagState): void {
  for (const { name, value } of flags.writes()) {
    f.store('i64', CORE, i32.const(0), value, slotAt(name))
  }
}

export class FlagWriters {
  readonly #module: ModuleBuilder
  /** By the types of operands and the code. */
  readonly #made = new Map<string, FunctionBuilder>()

  constructor(module: ModuleBuilder) {
    this.#module = module
  }

  /** The function that writes pending flags, given what they would be computed from. */
  writerOf(flags: FlagState): FunctionBuilder {
    const parameters = flags.origins().map(({ type }) => type)
    const code = new Bytes()
    flags.withOrigins(parameters.map((type, index) => new Local(index, type)), () => {
      for (const { name, value } of flags.writes()) {
        i32.const(slotAt(name)).emit(code)
        value.emit(code)
      }
    })
    const way = `${parameters.join()}: ${code.view().join()}`
    const known = this.#made.get(way)
    if (known) return known
    const f = this.#module.function({ parameters })
    flags.withOrigins(f.parameters, () => writeFlags(f, flags))
    this.#made.set(way, f)
    return f
  }
}
