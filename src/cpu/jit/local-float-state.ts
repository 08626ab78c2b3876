/**
 * Whether SSE and AVX may be used and MXCSR is settled, kept in a region's locals: found out where
 * the region is entered, and again where MXCSR may have changed. Control registers do not change
 * while a region runs.
 */
import { i32, v128, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { forgetDenormals, noteDenormal, unsettledOrNoted } from '../fpu/denormals.ts'
import { NOTED, unsettled } from '../fpu/float-state.ts'
import {
  type FloatState, isAvxUnavailable, isUnavailable, type KnownOfDoubles,
} from '../interpreter/reading/float-state.ts'
import type { SlowFloats } from './slow-floats.ts'

export class LocalFloatState implements FloatState {
  readonly #target: FunctionBuilder
  readonly #slow: SlowFloats
  #unavailable: Local | undefined
  #avxUnavailable: Local | undefined
  #unsettled: Local | undefined
  readonly #constants = new Map<bigint, Local>()

  constructor(target: FunctionBuilder, slow: SlowFloats) {
    this.#target = target
    this.#slow = slow
  }

  unavailable(): Expression {
    this.#unavailable ??= this.#target.local('i32')
    return this.#unavailable
  }

  avxUnavailable(): Expression {
    this.#avxUnavailable ??= this.#target.local('i32')
    return this.#avxUnavailable
  }

  unsettled(): Local {
    return this.#unsettled ??= this.#target.local('i32')
  }

  changed(): void {
    this.#target.set(this.unsettled(), unsettledOrNoted())
  }

  compute(op: string, of: KnownOfDoubles, [x, y]: readonly [Local, Local], result: Local): boolean {
    const slow = this.#slow.find(op, x.type, of)
    if (!slow) return false
    this.#target.setPair(result, this.unsettled(), slow, x, y)
    return true
  }

  /** Notes that a value is not what is presumed of it. */
  note(): void {
    noteDenormal(this.#target)
    this.#target.set(this.unsettled(), i32.or(this.unsettled(), i32.const(NOTED)))
  }

  constant(bits: bigint): Expression {
    let local = this.#constants.get(bits)
    if (!local) {
      local = this.#target.local('v128')
      this.#constants.set(bits, local)
    }
    return local
  }

  /** Finds out what the region's code asks. */
  emitLoads(): void {
    if (this.#unavailable) this.#target.set(this.#unavailable, isUnavailable())
    if (this.#avxUnavailable) this.#target.set(this.#avxUnavailable, isAvxUnavailable())
    if (this.#unsettled) {
      forgetDenormals(this.#target)
      this.#target.set(this.#unsettled, unsettled())
    }
    for (const [bits, local] of this.#constants) this.#target.set(local, v128.const(bits))
  }
}
