/**
 * The 512-byte image of FXSAVE and FXRSTOR, whose parts XSAVE uses as well (Intel SDM 1, 10.5;
 * AMD APM 2, 11.5.1.3).
 *
 * As on the processor that we report, instruction and data pointers are saved only while an
 * unmasked exception waits, and as zeros otherwise. Images are read and written through a
 * `Place`, so that the caller checks and probes once for all.
 */
import type { Machine } from '../machine.ts'
import { setControlWord } from './environment.ts'
import { extended } from './extended.ts'
import { physical, set } from './unit.ts'

/** Where an image lies: bytes from its start. */
export interface Place {
  load(byte: number, size: number): bigint
  store(byte: number, size: number, value: bigint): void
}

/** Bits of MXCSR that may be set; MISALIGNSSE's is not among them. */
export const MXCSR_MASK = 0xffff

const MASK64 = 0xffffffffffffffffn
const REGISTERS = 32
const XMM = 160
const IMAGE_BYTES = 512
const SUMMARY = 1 << 7

/** The operand of an instruction at a segment's offset. */
export function placeAt(m: Machine, segment: number, offset: bigint): Place {
  const at = (byte: number) => BigInt.asUintN(64, offset + BigInt(byte))
  return {
    load: (byte, size) => m.load(segment, at(byte), size),
    store: (byte, size, value) => m.store(segment, at(byte), size, value),
  }
}

/** x87 and MMX state: bytes 0 to 23 and 32 to 159. `wide`: pointers of 64 bits (REX.W). */
function saveX87(m: Machine, place: Place, wide: boolean): void {
  const { x87 } = m
  const pending = (x87.statusWord & SUMMARY) !== 0
  place.store(0, 2, BigInt(x87.controlWord))
  place.store(2, 2, BigInt(x87.statusWord))
  place.store(4, 2, BigInt(x87.tags))
  place.store(6, 2, pending ? BigInt(x87.lastOpcode) : 0n)
  place.store(8, 8, pending ? pointer(x87.lastIp, x87.lastCs, wide) : 0n)
  place.store(16, 8, pending ? pointer(x87.lastDp, x87.lastDs, wide) : 0n)
  for (let i = 0; i < 8; i++) {
    const index = physical(m, i)
    place.store(REGISTERS + i * 16, 8, x87.significand(index))
    place.store(REGISTERS + i * 16 + 8, 8, BigInt(x87.signExponent(index)))
  }
}

function pointer(offset: bigint, selector: number, wide: boolean): bigint {
  return wide ? offset & MASK64 : offset & 0xffffffffn | BigInt(selector) << 32n
}

export function restoreX87(m: Machine, place: Place, wide: boolean): void {
  const { x87 } = m
  const control = Number(place.load(0, 2))
  const status = Number(place.load(2, 2))
  const tags = Number(place.load(4, 1))
  const opcode = Number(place.load(6, 2))
  const ip = place.load(8, 8)
  const dp = place.load(16, 8)
  const registers = Array.from({ length: 8 }, (_, i) => extended(
    Number(place.load(REGISTERS + i * 16 + 8, 2)), place.load(REGISTERS + i * 16, 8)))
  x87.statusWord = status
  registers.forEach((value, i) => set(m, i, value))
  x87.tags = tags
  x87.lastOpcode = opcode & 0x7ff
  x87.lastIp = wide ? ip : ip & 0xffffffffn
  x87.lastDp = wide ? dp : dp & 0xffffffffn
  x87.lastCs = wide ? 0 : Number(ip >> 32n & 0xffffn)
  x87.lastDs = wide ? 0 : Number(dp >> 32n & 0xffffn)
  setControlWord(x87, control)
}

/** Bytes 24 to 31. */
function saveMxcsr(m: Machine, place: Place): void {
  place.store(24, 4, BigInt(m.mxcsr))
  place.store(28, 4, BigInt(MXCSR_MASK))
}

/** MXCSR from the image; #GP(0) when a reserved bit is set. */
function loadMxcsr(m: Machine, place: Place): number {
  const value = Number(place.load(24, 4))
  if (value & ~MXCSR_MASK) m.fault(13, 0)
  return value
}

function xmmCount(m: Machine): number {
  return m.long ? 16 : 8
}

function saveXmm(m: Machine, place: Place): void {
  for (let index = 0; index < xmmCount(m); index++) {
    const value = m.xmm(index)
    place.store(XMM + index * 16, 8, value & MASK64)
    place.store(XMM + index * 16 + 8, 8, value >> 64n)
  }
}

function restoreXmm(m: Machine, place: Place): void {
  const values = Array.from({ length: xmmCount(m) }, (_, index) =>
    place.load(XMM + index * 16, 8) | place.load(XMM + index * 16 + 8, 8) << 64n)
  values.forEach((value, index) => m.setXmm(index, value))
}

/** FXSAVE's image; the caller has checked alignment and that 512 bytes can be written. */
export function fxsaveImage(m: Machine, place: Place, wide: boolean): void {
  saveX87(m, place, wide)
  saveMxcsr(m, place)
  saveXmm(m, place)
}

/** FXRSTOR's: everything that may fault comes before anything is changed. */
export function fxrstorImage(m: Machine, place: Place, wide: boolean): void {
  place.load(IMAGE_BYTES - 8, 8)
  const mxcsr = loadMxcsr(m, place)
  restoreX87(m, place, wide)
  restoreXmm(m, place)
  m.mxcsr = mxcsr
}
