/**
 * Makes instruction bytes out of a definition's row: the inverse of the decoder, with everything
 * that the row leaves open chosen at random. 32-bit code has no REX prefixes and no GS.
 */
import {
  MAP_0F, MAP_0F38, MAP_0F3A, MAP_VEX, PREFIX_66, PREFIX_F2, PREFIX_F3, PREFIX_NONE, type Pattern,
} from '../../../src/isa/decode/pattern.ts'
import type { Random } from '../decoder/byte-strings.ts'
import { ENTRY, WINDOW_AT, WINDOW_BYTES } from './layout.ts'

const mandatoryBytes: Readonly<Record<number, number>> = {
  [PREFIX_66]: 0x66, [PREFIX_F3]: 0xf3, [PREFIX_F2]: 0xf2,
}
const immediateBytes = [0, 1, 2, 7, 8, 0x0f, 0x10, 0x1f, 0x20, 0x3f, 0x40, 0x7f, 0x80, 0xff]

/** Where in the window memory operands are put: often aligned, sometimes over its end. */
export function targetAddress(random: Random): number {
  const inside = random.below(WINDOW_BYTES - 16)
  switch (random.below(24)) {
    case 0: return WINDOW_AT + WINDOW_BYTES - 1 - random.below(20)
    case 1: case 2: case 3: case 4: return WINDOW_AT + inside
    default: return WINDOW_AT + (inside & ~15)
  }
}

class Assembly {
  readonly bytes: number[] = []
  /** Where a rip-relative displacement stands, to be filled in at last. */
  ripAt = -1

  le(value: number, size: number): void {
    for (let i = 0; i < size; i++) this.bytes.push(value >> i * 8 & 0xff)
  }
}

/** Bytes for the row of `pattern`; the caller decodes them to see what came out. */
export function assemble(pattern: Pattern, random: Random, legacy: boolean): Uint8Array {
  const out = new Assembly()
  const chance = (n: number) => random.below(n) === 0
  const asMemory = pattern.hasModrm && (pattern.form === 'm' || pattern.form === '' && chance(2))
  const { row } = pattern
  if (row.properties.lock && asMemory && chance(6)) out.bytes.push(0xf0)
  // 16-bit addresses would not reach the window.
  if (!legacy && chance(12)) out.bytes.push(0x67)
  if (!legacy && chance(12)) out.bytes.push(0x65)
  const rex = legacy ? 0 : random.below(16)
  const w = pattern.w !== 3 ? pattern.w >> 1 : legacy ? 0 : rex >> 3
  if (pattern.map >= MAP_VEX) vexPrefix(out, pattern, rex, w, random)
  else legacyPrefix(out, pattern, legacy ? undefined : rex, w, random)
  out.bytes.push(pattern.opcode + (pattern.opcodes === 8 ? random.below(8) : 0))
  if (pattern.hasModrm) {
    const value = pattern.modrmValue | random.below(256) & ~pattern.modrmMask
    if (asMemory) memoryForm(out, value & 0x38, random, legacy)
    else out.bytes.push(pattern.form === '' || pattern.form === 'r' ? value | 0xc0 : value)
  }
  const short = out.bytes.includes(0x66) && pattern.prefixes !== 1 << PREFIX_66
  immediates(out, row.operands, { w: w === 1, short, legacy }, random)
  if (out.ripAt >= 0) {
    const displacement = targetAddress(random) - ENTRY - out.bytes.length
    for (let i = 0; i < 4; i++) out.bytes[out.ripAt + i] = displacement >> i * 8 & 0xff
  }
  return Uint8Array.from(out.bytes)
}

function legacyPrefix(
  out: Assembly, pattern: Pattern, rex: number | undefined, w: number, random: Random,
): void {
  const { prefixes } = pattern
  if (prefixes & 1 << PREFIX_NONE) {
    if (prefixes & 1 << PREFIX_66 && random.below(4) === 0) out.bytes.push(0x66)
    if (pattern.row.properties.string && random.below(2) === 0) {
      out.bytes.push(0xf2 | random.below(2))
    }
  } else {
    const which = [PREFIX_66, PREFIX_F3, PREFIX_F2].find((p) => prefixes >> p & 1)!
    if (which !== PREFIX_66 && random.below(6) === 0) out.bytes.push(0x66)
    out.bytes.push(mandatoryBytes[which]!)
  }
  if (rex !== undefined && (w || random.below(2) === 0)) out.bytes.push(0x40 | w << 3 | rex & 7)
  const { map } = pattern
  if (map >= MAP_0F) out.bytes.push(0x0f)
  if (map === MAP_0F38) out.bytes.push(0x38)
  if (map === MAP_0F3A) out.bytes.push(0x3a)
}

function vexPrefix(
  out: Assembly, pattern: Pattern, rex: number, w: number, random: Random,
): void {
  const pp = [PREFIX_NONE, PREFIX_66, PREFIX_F3, PREFIX_F2].find((p) => pattern.prefixes >> p & 1)!
  const vvvv = pattern.usesVvvv ? random.below(16) : 15
  const l = pattern.l === 3 ? random.below(2) : pattern.l >> 1
  out.bytes.push(0xc4, (~rex & 7) << 5 | pattern.map - MAP_VEX, w << 7 | vvvv << 3 | l << 2 | pp)
}

/** ModRM, SIB and displacement of a memory operand; registers are set to fit afterwards. */
function memoryForm(out: Assembly, reg: number, random: Random, legacy: boolean): void {
  const displacement = random.below(256)
  switch (legacy ? 1 + random.below(5) : random.below(6)) {
    case 0:
      out.bytes.push(0x05 | reg)
      out.ripAt = out.bytes.length
      out.le(0, 4)
      return
    case 1:
      out.bytes.push(0x04 | reg, 0x25)
      out.le(targetAddress(random), 4)
      return
    case 2: {
      const mode = 1 + random.below(2)
      out.bytes.push(mode << 6 | reg | 4, random.below(256))
      out.le(mode === 1 ? displacement : random.next() >> 4, mode === 1 ? 1 : 4)
      return
    }
    default: {
      const mode = random.below(3)
      const base = random.below(8)
      const rm = mode === 0 && base === 5 ? 3 : base
      out.bytes.push(mode << 6 | reg | rm)
      if (rm === 4) out.bytes.push(0x24)
      if (mode === 1) out.le(displacement, 1)
      if (mode === 2) out.le(random.next() >> 4, 4)
    }
  }
}

function immediates(
  out: Assembly, codes: readonly string[],
  size: { readonly w: boolean, readonly short: boolean, readonly legacy: boolean },
  random: Random,
): void {
  const byte = () => random.below(2) === 0 ? random.below(256)
    : immediateBytes[random.below(immediateBytes.length)]!
  for (const code of codes) {
    if (code[0] === 'O') {
      const narrow = size.legacy || out.bytes.includes(0x67)
      out.le(targetAddress(random), 4)
      if (!narrow) out.le(0, 4)
      continue
    }
    if (!/^[IJL][a-z]/.test(code)) continue
    const letter = code[1]
    const bytes = letter === 'b' || code[0] === 'L' ? 1 : letter === 'w' ? 2
      : letter === 'v' && size.w ? 8 : size.short && !size.w ? 2 : 4
    for (let i = 0; i < bytes; i++) out.bytes.push(byte())
  }
}
