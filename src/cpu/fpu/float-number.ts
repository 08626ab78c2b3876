/**
 * The numbers by which generated code asks for arithmetic under MXCSR: an operation of FloatOp,
 * with bit 8 set for double precision.
 */
import type { FloatOp, FusedOp } from '../../isa/backend.ts'

export const floatOps: readonly FloatOp[] = [
  'add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'round', 'convert', 'fromInt32', 'fromInt64',
  'toInt32', 'toInt64', 'toInt32Truncated', 'toInt64Truncated', 'compare', 'compareSignaling',
  'fromHalf', 'toHalf',
]

export const FLOAT_OP_MASK = 0xff
export const FLOAT_DOUBLE = 0x100

export function floatNumber(op: FloatOp, width: 32 | 64): number {
  return floatOps.indexOf(op) | (width === 64 ? FLOAT_DOUBLE : 0)
}

export const fusedOps: readonly FusedOp[] = ['madd', 'msub', 'nmadd', 'nmsub']

/** Fused operations have numbers of their own, of the same form. */
export function fusedNumber(op: FusedOp, width: 32 | 64): number {
  return fusedOps.indexOf(op) | (width === 64 ? FLOAT_DOUBLE : 0)
}
