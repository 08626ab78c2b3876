/**
 * Where a region's pages are: one may be mapped elsewhere than when the region was made.
 */
import { call, globalGet, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { Z } from '../interpreter/core-fields.ts'
import { CORE, type EngineParts, type Exits } from '../interpreter/parts.ts'
import { Access } from '../mmu/environment.ts'
import { emitExecHit } from '../mmu/exec-tlb.ts'
import { PAGE_BYTES, type Placement } from './region.ts'

export class RegionPages {
  readonly #target: FunctionBuilder
  readonly #parts: EngineParts
  readonly #placement: Placement
  readonly #base: Local

  /** `base` is the linear address of page 0. */
  constructor(target: FunctionBuilder, parts: EngineParts, placement: Placement, base: Local) {
    this.#target = target
    this.#parts = parts
    this.#placement = placement
    this.#base = base
  }

  /** -> i64: the linear address of an offset. */
  linear(offset: number): Expression {
    return offset === 0 ? this.#base : i64.add(this.#base, i64.const(offset))
  }

  /** -> i32: whether a page is where it was. */
  isThere(page: number): Expression {
    const linear = this.linear(page * PAGE_BYTES)
    const isUser = i32.ne(i32.and(globalGet(this.#parts.access, 'i32'), i32.const(Access.USER)), Z)
    return emitExecHit(CORE, linear, isUser, this.#placement.machineOf(page))
  }

  /** Fetches the rest of an instruction from a page; if that is elsewhere now, the interpreter
   * carries the instruction out. */
  fetch(page: number, exits: Exits): void {
    const f = this.#target
    f.ifUnlikely(i32.eqz(this.isThere(page)), () => {
      const found = i32.wrap(call(this.#parts.execTranslate, this.linear(page * PAGE_BYTES)))
      f.if(i32.ne(found, this.#placement.machineOf(page)), () => {
        exits.stopIf(globalGet(this.#parts.stopped, 'i32'))
        exits.defer()
      })
    })
  }
}
