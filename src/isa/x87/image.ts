/**
 * The 512-byte image of FXSAVE and FXRSTOR, with which the area of XSAVE begins (Intel SDM 1, 10.5;
 * AMD APM 2, 11.5.1.3).
 *
 * As on the processor that we report, instruction and data pointers are saved only while an
 * unmasked exception waits, and as zeros otherwise. Images are read and written through a
 * `Place`, so that the caller checks and probes once for all, and read whole before anything is
 * changed.
 */
import type { Machine } from '../machine.ts'
import { setControlWord } from './environment.ts'
import { extended } from './extended.ts'
import { physical, set } from './unit.ts'

/** Where an image lies, in words of eight bytes; `byte` counts from its start. */
export interface Place extends Source {
  store(byte: number, word: bigint): void
}

interface Source {
  load(byte: number): bigint
}

/** Byte offsets; the first word has control word, status word, tags and opcode. */
export const IMAGE = {
  /** Instruction and data pointer of the x87 unit. */
  ip: 8,
  dp: 16,
  /** MXCSR, and the mask of its bits that exist. */
  mxcsr: 24,
  /** The x87 stack from its top, 16 bytes a register. */
  stack: 32,
  xmm: 160,
} as const
export const IMAGE_BYTES = 512

/** Bits of MXCSR that may be set; MISALIGNSSE's is not among them. */
export const MXCSR_MASK = 0xffff

const MASK64 = 0xffffffffffffffffn
const X87_WORDS = IMAGE.xmm / 8
const SUMMARY = 1 << 7

/** The operand of an instruction at a segment's offset. */
export function placeAt(m: Machine, segment: number, offset: bigint): Place {
  const at = (byte: number) => BigInt.asUintN(64, offset + BigInt(byte))
  return {
    load: (byte) => m.load(segment, at(byte), 8),
    store: (byte, word) => m.store(segment, at(byte), 8, word),
  }
}

export function wordsOf(place: Source, from: number, count: number): bigint[] {
  return Array.from({ length: count }, (_, i) => place.load(from + i * 8))
}

/** x87 and MMX state: bytes 0 to 23 and 32 to 159. `wide`: pointers of 64 bits (REX.W). */
export function saveX87(m: Machine, place: Place, wide: boolean): void {
  const { x87 } = m
  const pending = (x87.statusWord & SUMMARY) !== 0
  place.store(0, BigInt(x87.controlWord) | BigInt(x87.statusWord) << 16n | BigInt(x87.tags) << 32n
    | BigInt(pending ? x87.lastOpcode : 0) << 48n)
  place.store(IMAGE.ip, pending ? pointer(x87.lastIp, x87.lastCs, wide) : 0n)
  place.store(IMAGE.dp, pending ? pointer(x87.lastDp, x87.lastDs, wide) : 0n)
  for (let i = 0; i < 8; i++) {
    const index = physical(m, i)
    place.store(IMAGE.stack + i * 16, x87.significand(index))
    place.store(IMAGE.stack + i * 16 + 8, BigInt(x87.signExponent(index)))
  }
}

function pointer(offset: bigint, selector: number, wide: boolean): bigint {
  return wide ? offset & MASK64 : offset & 0xffffffffn | BigInt(selector) << 32n
}

/** What `setX87` takes. */
export function loadX87(place: Source): readonly bigint[] {
  return wordsOf(place, 0, X87_WORDS)
}

/** The x87 state becomes that of an image; pointers of 64 bits become canonical. */
export function setX87(m: Machine, words: readonly bigint[], wide: boolean): void {
  const { x87 } = m
  const word = (byte: number): bigint => words[byte >> 3]!
  const [control, ip, dp] = [word(0), word(IMAGE.ip), word(IMAGE.dp)]
  const address = (of: bigint): bigint =>
    wide ? BigInt.asUintN(64, BigInt.asIntN(48, of)) : of & 0xffffffffn
  const selector = (of: bigint): number => wide ? 0 : Number(of >> 32n & 0xffffn)
  x87.statusWord = Number(control >> 16n & 0xffffn)
  for (let i = 0; i < 8; i++) {
    const at = IMAGE.stack + i * 16
    set(m, i, extended(Number(word(at + 8) & 0xffffn), word(at)))
  }
  x87.tags = Number(control >> 32n & 0xffn)
  x87.lastOpcode = Number(control >> 48n & 0x7ffn)
  x87.lastIp = address(ip)
  x87.lastDp = address(dp)
  x87.lastCs = selector(ip)
  x87.lastDs = selector(dp)
  setControlWord(x87, Number(control & 0xffffn))
}

/** Bytes 24 to 31. */
export function saveMxcsr(m: Machine, place: Place): void {
  place.store(IMAGE.mxcsr, BigInt(m.mxcsr) | BigInt(MXCSR_MASK) << 32n)
}

/** MXCSR from the image; #GP(0) when a reserved bit is set. */
export function loadMxcsr(m: Machine, place: Source): number {
  const value = Number(place.load(IMAGE.mxcsr) & 0xffffffffn)
  if (value & ~MXCSR_MASK) m.fault(13, 0)
  return value
}

/** How many vector registers the mode has. */
export function vectorCount(m: Machine): number {
  return m.long ? 16 : 8
}

/** The lower halves of the vector registers: bytes 160 to 415. */
export function saveXmm(m: Machine, place: Place): void {
  for (let index = 0; index < vectorCount(m); index++) {
    const value = m.xmm(index)
    place.store(IMAGE.xmm + index * 16, value & MASK64)
    place.store(IMAGE.xmm + index * 16 + 8, value >> 64n)
  }
}

/** What `setXmm` takes. */
export function loadXmm(m: Machine, place: Source): readonly bigint[] {
  return wordsOf(place, IMAGE.xmm, vectorCount(m) * 2)
}

export function setXmm(m: Machine, words: readonly bigint[]): void {
  for (let index = 0; index < vectorCount(m); index++) {
    m.setXmm(index, words[index * 2]! | words[index * 2 + 1]! << 64n)
  }
}

/** FXSAVE's image; the caller has checked alignment and that it can be written. */
export function fxsaveImage(m: Machine, place: Place, wide: boolean): void {
  saveX87(m, place, wide)
  saveMxcsr(m, place)
  saveXmm(m, place)
}

/** FXRSTOR's: everything that may fault comes before anything is changed. */
export function fxrstorImage(m: Machine, place: Place, wide: boolean): void {
  place.load(IMAGE_BYTES - 8)
  const mxcsr = loadMxcsr(m, place)
  const [x87, xmm] = [loadX87(place), loadXmm(m, place)]
  setX87(m, x87, wide)
  setXmm(m, xmm)
  m.mxcsr = mxcsr
}
