/**
 * Operations on the x87 register stack by the exact routines of isa/x87: what the engine asks for
 * when its functions have no answer.
 */
import { StackMachine } from '../../isa/x87/stack-machine.ts'
import type { X87State } from '../../isa/machine.ts'
import { coreMap } from '../core-memory.ts'

export class ExactX87 {
  readonly #stack: StackMachine
  readonly #core: DataView

  constructor(x87: X87State, core: ArrayBuffer) {
    this.#stack = new StackMachine(x87)
    this.#core = new DataView(core)
  }

  /** One operation, as the part x87Exact is told. */
  compute(form: number, index: number, low: bigint, high: number): bigint {
    const stack = this.#stack
    const result = stack.run(form, index >> 4 & 7, index >> 12 & 7, BigInt.asUintN(64, low), high)
    const at = coreMap.x87Result
    this.#core.setUint16(at, stack.pending.status, true)
    this.#core.setUint16(at + 2, stack.pending.tags, true)
    this.#core.setUint32(at + 4, stack.high, true)
    this.#core.setUint32(at + 8, stack.stores ? 1 : 0, true)
    return BigInt.asIntN(64, result)
  }
}
