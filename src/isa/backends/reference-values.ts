/**
 * The part of the reference reading that needs no state: values made out of values, as bigints.
 */
import type { VectorOp } from '../vector-op.ts'
import { vectorOperation } from './lanes.ts'

export const MASK64 = (1n << 64n) - 1n
export const MASK128 = (1n << 128n) - 1n

export function maskOf(width: number): bigint {
  return (1n << BigInt(width)) - 1n
}

export abstract class ReferenceValues {
  const(value: bigint | number): bigint { return BigInt(value) & MASK64 }
  add(a: bigint, b: bigint): bigint { return a + b & MASK64 }
  sub(a: bigint, b: bigint): bigint { return a - b & MASK64 }
  mul(a: bigint, b: bigint): bigint { return a * b & MASK64 }
  mulHighUnsigned(a: bigint, b: bigint): bigint { return a * b >> 64n }
  mulHighSigned(a: bigint, b: bigint): bigint {
    return BigInt.asIntN(64, a) * BigInt.asIntN(64, b) >> 64n & MASK64
  }

  divideUnsigned(high: bigint, low: bigint, divisor: bigint): bigint {
    return (high << 64n | low) / divisor
  }

  and(a: bigint, b: bigint): bigint { return a & b }
  or(a: bigint, b: bigint): bigint { return a | b }
  xor(a: bigint, b: bigint): bigint { return a ^ b }
  not(a: bigint): bigint { return a ^ MASK64 }
  neg(a: bigint): bigint { return -a & MASK64 }
  shl(a: bigint, count: bigint): bigint { return a << (count & 63n) & MASK64 }
  shr(a: bigint, count: bigint): bigint { return a >> (count & 63n) }
  sar(a: bigint, count: bigint): bigint {
    return BigInt.asIntN(64, a) >> (count & 63n) & MASK64
  }

  rotl(a: bigint, count: bigint): bigint {
    return this.shl(a, count) | this.shr(a, 64n - (count & 63n) & 63n)
  }

  rotr(a: bigint, count: bigint): bigint { return this.rotl(a, 64n - (count & 63n)) }

  rotl32(a: bigint, count: bigint): bigint {
    const turns = count & 31n
    return BigInt.asUintN(32, a << turns | a >> 32n - turns)
  }

  rotr32(a: bigint, count: bigint): bigint { return this.rotl32(a, 32n - (count & 31n)) }
  clz(a: bigint): bigint { return a === 0n ? 64n : BigInt(64 - a.toString(2).length) }
  ctz(a: bigint): bigint { return a === 0n ? 64n : 63n - this.clz(a & -a) }
  popcnt(a: bigint): bigint { return BigInt(a.toString(2).replaceAll('0', '').length) }
  zx(a: bigint, width: number): bigint { return a & maskOf(width) }
  sx(a: bigint, width: number): bigint {
    return width === 0 ? 0n : BigInt.asIntN(width, a) & MASK64
  }

  bitOf(a: bigint, index: number): bigint { return a >> BigInt(index) & 1n }
  isZero(a: bigint): bigint { return a === 0n ? 1n : 0n }
  equal(a: bigint, b: bigint): bigint { return a === b ? 1n : 0n }
  lessUnsigned(a: bigint, b: bigint): bigint { return a < b ? 1n : 0n }
  lessSigned(a: bigint, b: bigint): bigint {
    return BigInt.asIntN(64, a) < BigInt.asIntN(64, b) ? 1n : 0n
  }

  evenParity(a: bigint): bigint { return this.popcnt(a & 0xffn) & 1n ^ 1n }
  select(condition: bigint, a: bigint, b: bigint): bigint { return condition ? a : b }

  vectorConst(bits: bigint): bigint { return bits & MASK128 }
  vector(op: VectorOp, ...operands: bigint[]): bigint {
    return vectorOperation(op, operands[0]!, operands[1] ?? 0n)
  }

  shuffle(a: bigint, b: bigint, lanes: readonly number[]): bigint {
    const both = a | b << 128n
    return lanes.reduce((sum, lane, i) =>
      sum | (both >> BigInt(lane * 8) & 0xffn) << BigInt(i * 8), 0n)
  }

  lane(vector: bigint, width: 8 | 16 | 32 | 64, index: number): bigint {
    return vector >> BigInt(width * index) & maskOf(width)
  }

  withLane(vector: bigint, width: 8 | 16 | 32 | 64, index: number, value: bigint): bigint {
    const shift = BigInt(width * index)
    const mask = maskOf(width)
    return vector & ~(mask << shift) & MASK128 | (value & mask) << shift
  }

  vectorOf(low: bigint): bigint { return low }
  bitselect(a: bigint, b: bigint, mask: bigint): bigint { return a & mask | b & ~mask & MASK128 }
}
