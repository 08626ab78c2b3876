/**
 * Vector operations on constants when code is generated, of which instructions with an immediate
 * make the numbers of the bytes that they move: with those known, a move is one shuffle.
 *
 * Bytes are numbered from the lowest, those of a second vector from 16.
 */
import type { VectorOp } from '../../../isa/vector-op.ts'

const BYTES = 16

const ONES = (1n << 128n) - 1n

export function bytesOf(vector: bigint): number[] {
  return Array.from({ length: BYTES }, (_, at) => Number(vector >> BigInt(at * 8) & 0xffn))
}

export function vectorOfBytes(bytes: readonly number[]): bigint {
  return bytes.reduce((all, byte, at) => all | BigInt(byte) << BigInt(at * 8), 0n)
}

type Fold = (a: bigint, b: bigint) => bigint

/** An operation on lanes of `width` bits, to which results are cut. */
const byLanes = (width: number, fold: Fold): Fold => (a, b) => {
  let result = 0n
  for (let at = 0; at < 128; at += width) {
    const lane = (vector: bigint): bigint => BigInt.asUintN(width, vector >> BigInt(at))
    result |= BigInt.asUintN(width, fold(lane(a), lane(b))) << BigInt(at)
  }
  return result
}

const areEqual: Fold = (a, b) => a === b ? -1n : 0n

const folds: Partial<Record<VectorOp, Fold>> = {
  'i8x16.add': byLanes(8, (a, b) => a + b),
  'i8x16.sub': byLanes(8, (a, b) => a - b),
  'i8x16.add_sat_u': byLanes(8, (a, b) => a + b < 0xffn ? a + b : 0xffn),
  'i8x16.min_u': byLanes(8, (a, b) => a < b ? a : b),
  'i8x16.eq': byLanes(8, areEqual),
  'i32x4.eq': byLanes(32, areEqual),
  'i64x2.eq': byLanes(64, areEqual),
  'v128.and': (a, b) => a & b,
  'v128.or': (a, b) => a | b,
}

/** The result of an operation on constants, where it is one that such instructions use. */
export function foldVectors(op: VectorOp, a: bigint, b: bigint): bigint | undefined {
  return folds[op]?.(a, b)
}

/** What a constant makes of any vector: the vector itself, zero, or neither. */
export function vectorIdentity(op: VectorOp, constant: bigint): 'same' | 'zero' | undefined {
  switch (op) {
    case 'v128.and': return constant === ONES ? 'same' : constant === 0n ? 'zero' : undefined
    case 'v128.or': case 'v128.andnot': return constant === 0n ? 'same' : undefined
    default: return undefined
  }
}

/** A shuffle of constants. */
export function foldShuffle(a: bigint, b: bigint, lanes: readonly number[]): bigint {
  const both = [...bytesOf(a), ...bytesOf(b)]
  return vectorOfBytes(lanes.map((lane) => both[lane]!))
}

/** The bytes that a selection by a constant takes, if it takes whole ones. */
export function lanesOfMask(mask: bigint): number[] | undefined {
  const bytes = bytesOf(mask)
  return bytes.every((byte) => byte === 0 || byte === 0xff)
    ? bytes.map((byte, at) => byte ? at : at + BYTES) : undefined
}
