/**
 * What the vector instruction families have in common: entering the right unit, reading a source,
 * and values built from other values.
 *
 * An MMX operand is a vector whose upper half is zero, so one meaning serves both register files;
 * `wide` tells them apart where lanes cross the middle. Memory operands of 128 bits must be aligned
 * (AMD APM 1, 4.4.5) unless an instruction says otherwise.
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'

/** Destination and source to result. */
export type Combine = <V>(m: Backend<V>, a: V, b: V, wide: boolean) => V
/** Source to result. */
export type Transform = <V>(m: Backend<V>, a: V, wide: boolean) => V

/** Byte numbers 0 to 15. */
export const BYTES = 0x0f0e0d0c0b0a09080706050403020100n

/** Checks that the unit of `operand` may be used; for MMX, leaves x87 mode. */
export function enter<V>(m: Backend<V>, operand: Operand): void {
  if (operand.kind === 'mm') m.enterMmx()
  else m.sseCheck()
}

/** A source that, if it is 128 bits of memory, must be aligned. */
export function readSource<V>(m: Backend<V>, operand: Operand): V {
  return m.widthOf(operand) === 128 ? m.readVectorAligned(operand) : m.readVector(operand)
}

/** `target = combine(target, source)` in either register file. */
export function combining(name: string, rows: Definition['fields']['encodings'],
  combine: Combine): Definition {
  return define(name, {
    encodings: rows,
    execute(m, target, source) {
      enter(m, target!)
      const b = readSource(m, source!)
      const a = m.readVector(target!)
      m.writeVector(target!, combine(m, a, b, target!.kind === 'xmm'))
    },
  })
}

/** `target = transform(source)` in either register file. */
export function transforming(name: string, rows: Definition['fields']['encodings'],
  transform: Transform): Definition {
  return define(name, {
    encodings: rows,
    execute(m, target, source) {
      enter(m, target!)
      m.writeVector(target!, transform(m, readSource(m, source!), target!.kind === 'xmm'))
    },
  })
}

/** The MMX and the SSE2 encoding of one opcode; the MMX form came with `feature`. */
export function bothFiles(opcode: string, feature = 'mmx') {
  return [
    row(`np ${opcode} /r`, 'Pq', 'Qq').cpuid(feature),
    row(`66 ${opcode} /r`, 'Vx', 'Wx').cpuid('sse2'),
  ]
}

/** A scalar's low byte in all sixteen lanes. */
export function splat8<V>(m: Backend<V>, scalar: V): V {
  const low = m.vectorOf(scalar)
  return m.shuffle(low, low, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])
}

export function splat16<V>(m: Backend<V>, scalar: V): V {
  const low = m.vectorOf(scalar)
  return m.shuffle(low, low, [0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1, 0, 1])
}

export function splat32<V>(m: Backend<V>, scalar: V): V {
  const low = m.vectorOf(scalar)
  return m.shuffle(low, low, [0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3])
}

export function splat64<V>(m: Backend<V>, scalar: V): V {
  const low = m.vectorOf(scalar)
  return m.shuffle(low, low, [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7])
}

/** The same bytes in every lane of `width` bits. */
export function repeated(width: number, lane: bigint): bigint {
  let bits = 0n
  for (let at = 0; at < 128; at += width) bits |= lane << BigInt(at)
  return bits
}

/** All ones where `condition` is 1, all zeros where it is 0. */
export function maskOf<V>(m: Backend<V>, condition: V): V {
  return splat64(m, m.neg(condition))
}

/** The low halves of `a` and `b` as one vector. */
export function joinLow<V>(m: Backend<V>, a: V, b: V): V {
  return m.shuffle(a, b, [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23])
}

/** A mask whose byte i is ones where the immediate has bit `bits[i]` (a mask byte) set. */
export function maskFromBits<V>(m: Backend<V>, immediate: V, bits: bigint): V {
  const selected = m.vectorConst(bits)
  const picked = m.vector('v128.and', splat8(m, immediate), selected)
  return m.vector('i8x16.eq', picked, selected)
}

/** The four two-bit fields of an immediate, one in each of the low four bytes. */
export function twoBitFields<V>(m: Backend<V>, immediate: V): V {
  const order = m.and(immediate, m.const(0xff))
  const low = m.or(order, m.shl(order, m.const(6)))
  const high = m.or(m.shl(order, m.const(12)), m.shl(order, m.const(18)))
  return m.or(m.and(low, m.const(0x0303)), m.and(high, m.const(0x03030000)))
}
