/**
 * Where generated code keeps the guest's registers and arithmetic flags.
 *
 * A register is named by its address in core memory (state.ts), whoever keeps it: the interpreter's
 * handlers work on that memory, a compiled region keeps what it uses in locals.
 */
import { i64, v128, type Expression } from '../../../wasm/expression.ts'
import type { FunctionBuilder, StoreKind } from '../../../wasm/function.ts'
import { CORE } from '../parts.ts'

export interface StateFile {
  /** `width` bits (8, 16, 32, 64) at `address`, zero-extended to 64. */
  load(address: Expression, width: number): Expression
  loadVector(address: Expression): Expression
  /** Writes the low `width` bits of a 64-bit value, and leaves those above as they are. */
  store(address: Expression, width: number, value: Expression): void
  storeVector(address: Expression, value: Expression): void
}

/** All state in core memory. */
export class CoreState implements StateFile {
  readonly #target: FunctionBuilder

  constructor(target: FunctionBuilder) {
    this.#target = target
  }

  load(address: Expression, width: number): Expression {
    switch (width) {
      case 8: return i64.load8U(CORE, address)
      case 16: return i64.load16U(CORE, address)
      case 32: return i64.load32U(CORE, address)
      default: return i64.load(CORE, address)
    }
  }

  loadVector(address: Expression): Expression {
    return v128.load(CORE, address)
  }

  store(address: Expression, width: number, value: Expression): void {
    this.#target.store(storeKinds[width]!, CORE, address, value)
  }

  storeVector(address: Expression, value: Expression): void {
    this.#target.store('v128', CORE, address, value)
  }
}

const storeKinds: Readonly<Record<number, StoreKind>> = {
  8: 'i64As8', 16: 'i64As16', 32: 'i64As32', 64: 'i64',
}
