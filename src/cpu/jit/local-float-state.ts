/**
 * Whether SSE and AVX may be used and MXCSR is settled, kept in a region's locals: found out where
 * the region is entered, and again where MXCSR may have changed. Control registers do not change
 * while a region runs.
 */
import type { Expression, Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { isNotSettled } from '../fpu/float-state.ts'
import {
  type FloatState, isAvxUnavailable, isUnavailable,
} from '../interpreter/reading/float-state.ts'

export class LocalFloatState implements FloatState {
  readonly #target: FunctionBuilder
  #unavailable: Local | undefined
  #avxUnavailable: Local | undefined
  #unsettled: Local | undefined

  constructor(target: FunctionBuilder) {
    this.#target = target
  }

  unavailable(): Expression {
    this.#unavailable ??= this.#target.local('i32')
    return this.#unavailable
  }

  avxUnavailable(): Expression {
    this.#avxUnavailable ??= this.#target.local('i32')
    return this.#avxUnavailable
  }

  unsettled(): Expression {
    this.#unsettled ??= this.#target.local('i32')
    return this.#unsettled
  }

  changed(): void {
    this.#unsettled ??= this.#target.local('i32')
    this.#target.set(this.#unsettled, isNotSettled())
  }

  /** Finds out what the region's code asks. */
  emitLoads(): void {
    if (this.#unavailable) this.#target.set(this.#unavailable, isUnavailable())
    if (this.#avxUnavailable) this.#target.set(this.#avxUnavailable, isAvxUnavailable())
    if (this.#unsettled) this.#target.set(this.#unsettled, isNotSettled())
  }
}
