/**
 * Stacks that services push frames on and pop them from: the current one, or another that a task
 * state segment names.
 *
 * A frame is probed whole before it is written, so that a fault leaves nothing behind.
 */
import { Vector } from '../../abi/x86/control.ts'
import { RSP, SS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { type CpuContextView, SEGMENT_DB } from '../state.ts'
import { withinLimit } from './descriptors.ts'
import { isCanonical, isProtected } from './mode.ts'

export type StackWidth = 16 | 32 | 64

export interface Stack {
  readonly base: bigint
  readonly limit: number
  readonly attributes: number
  readonly width: StackWidth
  /** Pushes and pops have user rights. */
  readonly user: boolean
  /** Error code of the stack faults of this stack. */
  readonly error: number
  pointer: bigint
}

export function stackWidth(c: CpuContextView, long: boolean): StackWidth {
  if (long) return 64
  return c.segments.item(SS).attributes & SEGMENT_DB ? 32 : 16
}

/** The stack pointer, cut to the stack's width. */
export function stackPointer(c: CpuContextView, width: StackWidth): bigint {
  return BigInt.asUintN(width, c.gpr.get(RSP))
}

export function setStackPointer(c: CpuContextView, width: StackWidth, value: bigint): void {
  const cut = BigInt.asUintN(width, value)
  c.gpr.set(RSP, width === 16 ? c.gpr.get(RSP) & ~0xffffn | cut : cut)
}

export function currentStack(c: CpuContextView, long: boolean, error = 0): Stack {
  const width = stackWidth(c, long)
  const segment = c.segments.item(SS)
  return {
    base: long ? 0n : segment.base, limit: segment.limit, attributes: segment.attributes, width,
    user: c.cpl === 3, error, pointer: stackPointer(c, width),
  }
}

/** A stack of 64-bit mode. */
export function longStack(pointer: bigint, user: boolean, error: number): Stack {
  return { base: 0n, limit: 0, attributes: 0, width: 64, user, error, pointer }
}

function linearOf(p: Processor, stack: Stack, offset: bigint, size: number): bigint {
  if (stack.width === 64) {
    if (!isCanonical(offset)) p.fault(Vector.SS, stack.error)
    return offset
  }
  if (!withinLimit(stack.attributes, stack.limit, offset, size)) {
    p.fault(Vector.SS, isProtected(p.context) ? stack.error : 0)
  }
  return BigInt.asUintN(32, stack.base + offset)
}

/** Probes each value from the top down; one probe serves those of 64-bit mode in one page. */
function probeFrame(p: Processor, stack: Stack, size: number, count: number): void {
  const step = BigInt(size)
  let pointer = stack.pointer
  const inPage = Number(BigInt.asUintN(12, pointer)) >= size * count
  const probes = stack.width === 64 && inPage ? 1 : count
  for (let i = 0; i < probes; i++) {
    pointer = BigInt.asUintN(stack.width, pointer - step)
    p.memory.probeWrite(linearOf(p, stack, pointer, size), size, stack.user)
  }
}

/** Pushes values of `size` bytes, the first one first, and moves the stack's own pointer only. */
export function pushFrame(
  p: Processor, stack: Stack, size: number, values: readonly bigint[],
): void {
  const step = BigInt(size)
  probeFrame(p, stack, size, values.length)
  let pointer = stack.pointer
  for (let i = 0; i < values.length; i++) {
    pointer = BigInt.asUintN(stack.width, pointer - step)
    const value = BigInt.asUintN(size * 8, values[i]!)
    p.memory.write(linearOf(p, stack, pointer, size), size, value, stack.user)
  }
  stack.pointer = pointer
}

/** Reads the stack's next value of `size` bytes and moves the stack's own pointer. */
export function popValue(p: Processor, stack: Stack, size: number): bigint {
  const address = linearOf(p, stack, stack.pointer, size)
  const value = p.memory.read(address, size, stack.user)
  stack.pointer = BigInt.asUintN(stack.width, stack.pointer + BigInt(size))
  return value
}
