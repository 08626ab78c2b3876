/**
 * Descriptor tables in memory: reading descriptors, marking them, and segment registers made of
 * them (AMD APM 2, 4.7 to 4.10).
 *
 * Tables are read with supervisor rights whatever CPL is. Error codes name the selector without its
 * RPL; `ext` is 1 while an event from outside the program is delivered.
 */
import {
  Descriptor, REAL_SEGMENT, SystemType, TYPE_EXPAND_DOWN, V86_SEGMENT,
} from '../../abi/x86/descriptor.ts'
import { CS, DS, ES, FS, GS } from '../../abi/x86/registers.ts'
import type { Processor } from '../interfaces.ts'
import { type CpuContextView, SEGMENT_DB, SEGMENT_P } from '../state.ts'
import { isLongMode } from './mode.ts'

export const SELECTOR_TI = 4

export function isNull(selector: number): boolean {
  return (selector & 0xfffc) === 0
}

export function errorOf(selector: number, ext = 0): number {
  return selector & 0xfffc | ext
}

/** Linear address of the descriptor that `selector` names, or -1n when its table has no such. */
function descriptorAddress(p: Processor, selector: number, size: number): bigint {
  const c = p.context
  let base: bigint
  let limit: number
  if (selector & SELECTOR_TI) {
    if (!(c.ldtr.attributes & SEGMENT_P)) return -1n
    base = c.ldtr.base
    limit = c.ldtr.limit
  } else {
    base = c.gdtr.base
    limit = c.gdtr.limit
  }
  const offset = selector & 0xfff8
  if (offset + size - 1 > limit) return -1n
  return wrap(c, base + BigInt(offset))
}

/** Addresses of tables wrap at 4 GiB outside long mode. */
export function wrap(c: CpuContextView, address: bigint): bigint {
  return BigInt.asUintN(isLongMode(c) ? 64 : 32, address)
}

/** The descriptor that `selector` names, or undefined when it lies beyond its table. */
export function findDescriptor(p: Processor, selector: number): Descriptor | undefined {
  const address = descriptorAddress(p, selector, 8)
  return address === -1n ? undefined : new Descriptor(p.memory.read(address, 8, false))
}

/** The same, or a fault with the selector as error code. */
export function fetchDescriptor(
  p: Processor, selector: number, vector: number, ext = 0,
): Descriptor {
  return findDescriptor(p, selector) ?? p.fault(vector, errorOf(selector, ext))
}

/** An LDT, TSS or call gate descriptor: sixteen bytes in long mode. */
export function findSystemDescriptor(p: Processor, selector: number): Descriptor | undefined {
  if (!isLongMode(p.context)) return findDescriptor(p, selector)
  const address = descriptorAddress(p, selector, 16)
  if (address === -1n) return undefined
  const low = p.memory.read(address, 8, false)
  const high = p.memory.read(BigInt.asUintN(64, address + 8n), 8, false)
  // The type field of the upper half must be zero.
  if (high >> 40n & 31n) return undefined
  return new Descriptor(low, Number(high & 0xffff_ffffn))
}

function writeTypeByte(p: Processor, selector: number, descriptor: Descriptor, type: number): void {
  const address = descriptorAddress(p, selector, 8)
  const byte = descriptor.high >>> 8 & 0xf0 | type
  p.memory.write(BigInt.asUintN(64, address + 5n), 1, BigInt(byte), false)
}

/** Sets a code or data descriptor's accessed bit. */
export function markAccessed(p: Processor, selector: number, descriptor: Descriptor): void {
  if (!descriptor.isAccessed) writeTypeByte(p, selector, descriptor, descriptor.type | 1)
}

/** Makes a TSS busy or available. */
export function markBusy(p: Processor, selector: number, busy: boolean): void {
  const descriptor = findDescriptor(p, selector)
  if (!descriptor) return
  const bit = SystemType.TSS32_BUSY ^ SystemType.TSS32
  const type = busy ? descriptor.type | bit : descriptor.type & ~bit
  if (type !== descriptor.type) writeTypeByte(p, selector, descriptor, type)
}

/** Fills a segment register's hidden part as a descriptor says. */
export function setSegment(
  c: CpuContextView, index: number, selector: number, descriptor: Descriptor,
): void {
  const segment = c.segments.item(index)
  segment.selector = selector
  segment.base = descriptor.base
  segment.limit = descriptor.limit
  segment.attributes = descriptor.attributes | 1
}

export function setFlatSegment(
  c: CpuContextView, index: number, selector: number, attributes: number,
): void {
  const segment = c.segments.item(index)
  segment.selector = selector
  segment.base = 0n
  segment.limit = 0xffff_ffff
  segment.attributes = attributes
}

/** A null selector makes a segment unusable, and clears its base (CPUID says so). */
export function setNullSegment(c: CpuContextView, index: number, selector: number): void {
  const segment = c.segments.item(index)
  segment.selector = selector
  segment.base = 0n
  segment.limit = 0
  segment.attributes = 0
}

/** What real mode does: the limit and attributes stay, but code may be written to. */
export function setRealSegment(c: CpuContextView, index: number, selector: number): void {
  const segment = c.segments.item(index)
  segment.selector = selector
  segment.base = BigInt(selector << 4)
  if (index === CS) segment.attributes = segment.attributes & 0xf00 | REAL_SEGMENT
}

export function setV86Segment(c: CpuContextView, index: number, selector: number): void {
  const segment = c.segments.item(index)
  segment.selector = selector
  segment.base = BigInt(selector << 4)
  segment.limit = 0xffff
  segment.attributes = V86_SEGMENT
}

/** Whether `size` bytes at `offset` lie in a segment. */
export function withinLimit(
  attributes: number, limit: number, offset: bigint, size: number,
): boolean {
  const last = offset + BigInt(size - 1)
  if ((attributes & (TYPE_EXPAND_DOWN | 8)) === TYPE_EXPAND_DOWN) {
    const top = attributes & SEGMENT_DB ? 0xffff_ffffn : 0xffffn
    return offset > BigInt(limit) && last <= top
  }
  return last <= BigInt(limit)
}

/**
 * After a return to a less privileged level: data segments it may not use become null, and null
 * selectors become 0. As on AMD's processors, null FS and GS keep their bases.
 */
export function dropInnerSegments(c: CpuContextView, cpl: number): void {
  for (const index of DATA_SEGMENTS) {
    const segment = c.segments.item(index)
    const { attributes } = segment
    if (isNull(segment.selector)) {
      segment.selector = 0
      continue
    }
    if (!(attributes & SEGMENT_P)) continue
    const conforming = (attributes & 0xc) === 0xc
    if (!conforming && (attributes >> 5 & 3) < cpl) setNullSegment(c, index, 0)
  }
}

const DATA_SEGMENTS = [ES, DS, FS, GS]
