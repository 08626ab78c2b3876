/**
 * Arithmetic on constants when code is generated: what the engine would compute, as bigints modulo
 * 2^64.
 */
const cut = (value: bigint): bigint => BigInt.asUintN(64, value)
const signed = (value: bigint): bigint => BigInt.asIntN(64, value)

export type FoldedOperation =
  | 'add' | 'sub' | 'mul' | 'and' | 'or' | 'xor' | 'shl' | 'shrU' | 'shrS' | 'rotl' | 'rotr'

export const folds: Readonly<Record<FoldedOperation, (a: bigint, b: bigint) => bigint>> = {
  add: (a, b) => cut(a + b),
  sub: (a, b) => cut(a - b),
  mul: (a, b) => cut(a * b),
  and: (a, b) => a & b,
  or: (a, b) => a | b,
  xor: (a, b) => a ^ b,
  shl: (a, b) => cut(a << (b & 63n)),
  shrU: (a, b) => a >> (b & 63n),
  shrS: (a, b) => cut(signed(a) >> (b & 63n)),
  rotl: (a, b) => cut(a << (b & 63n) | a >> (64n - (b & 63n))),
  rotr: (a, b) => cut(a >> (b & 63n) | a << (64n - (b & 63n))),
}

/** What `b` makes of any `a`: `a` itself, zero, or neither. */
export function identity(operation: FoldedOperation, b: bigint): 'same' | 'zero' | undefined {
  switch (operation) {
    case 'mul': return b === 1n ? 'same' : b === 0n ? 'zero' : undefined
    case 'and': return b === 0xffff_ffff_ffff_ffffn ? 'same' : b === 0n ? 'zero' : undefined
    case 'shl': case 'shrU': case 'shrS': case 'rotl': case 'rotr':
      return (b & 63n) === 0n ? 'same' : undefined
    default: return b === 0n ? 'same' : undefined
  }
}

export function extended(value: bigint, width: number): bigint {
  return cut(BigInt.asIntN(width, value))
}
