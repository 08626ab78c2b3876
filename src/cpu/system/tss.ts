/**
 * Stacks out of the task state segment (AMD APM 2, 12.2).
 */
import { Vector } from '../../abi/x86/control.ts'
import { SystemType } from '../../abi/x86/descriptor.ts'
import type { Processor } from '../interfaces.ts'
import { SEGMENT_DB } from '../state.ts'
import { errorOf } from './descriptors.ts'
import { checkStack } from './segments.ts'
import type { Stack } from './stack.ts'

/** One of the 64-bit stack pointers: RSP0 to RSP2, or IST1 to IST7 as numbers 4 to 10. */
export function longStackPointer(p: Processor, number: number, ext: number): bigint {
  const tr = p.context.tr
  const offset = 4 + number * 8
  if (offset + 7 > tr.limit) p.fault(Vector.TS, errorOf(tr.selector, ext))
  return p.memory.read(BigInt.asUintN(64, tr.base + BigInt(offset)), 8, false)
}

export interface InnerStack {
  readonly selector: number
  readonly stack: Stack
}

/** The legacy stack for privilege level `cpl`, checked. */
export function innerStack(p: Processor, cpl: number, ext: number): InnerStack {
  const tr = p.context.tr
  const wide = (tr.attributes & 15) === SystemType.TSS32_BUSY
  const offset = wide ? 4 + cpl * 8 : 2 + cpl * 4
  const size = wide ? 4 : 2
  if (offset + size + 1 > tr.limit) p.fault(Vector.TS, errorOf(tr.selector, ext))
  const at = tr.base + BigInt(offset)
  const pointer = p.memory.read(BigInt.asUintN(32, at), size, false)
  const selector = Number(p.memory.read(BigInt.asUintN(32, at + BigInt(size)), 2, false))
  const descriptor = checkStack(p, selector, cpl, Vector.TS, ext)
  const { attributes, base, limit } = descriptor
  const width = attributes & SEGMENT_DB ? 32 : 16
  return {
    selector,
    stack: {
      base, limit, attributes, width, user: cpl === 3, error: errorOf(selector, ext),
      pointer: BigInt.asUintN(width, pointer),
    },
  }
}
