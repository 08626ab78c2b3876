/**
 * Loads and stores of machine memory by the width of an operand.
 */
import { atomics, i64, type Expression } from '../../../wasm/expression.ts'
import type { StoreKind } from '../../../wasm/function.ts'
import { MACHINE } from '../parts.ts'

/** -> i64: `width` bits at a machine address, zero-extended. */
export function loadOf(width: number, machine: Expression): Expression {
  switch (width) {
    case 8: return i64.load8U(MACHINE, machine)
    case 16: return i64.load16U(MACHINE, machine)
    case 32: return i64.load32U(MACHINE, machine)
    default: return i64.load(MACHINE, machine)
  }
}

/** The same by one atomic access. */
export function atomicLoadOf(width: number, machine: Expression): Expression {
  switch (width) {
    case 8: return atomics.i64.load8U(MACHINE, machine)
    case 16: return atomics.i64.load16U(MACHINE, machine)
    case 32: return atomics.i64.load32U(MACHINE, machine)
    default: return atomics.i64.load(MACHINE, machine)
  }
}

export function storeKind(width: number): StoreKind {
  switch (width) {
    case 8: return 'i64As8'
    case 16: return 'i64As16'
    case 32: return 'i64As32'
    default: return 'i64'
  }
}
