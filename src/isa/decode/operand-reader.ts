/**
 * From operand codes (operand.ts) to functions that make operands out of what was decoded.
 */
import { assert } from '../../base/assert.ts'
import { CS, DS, ES, FS, GS, RDI, RSI, SS } from '../../abi/x86/registers.ts'
import type { Operand, Width } from '../operand.ts'
import type { Decoding } from './decoding.ts'

export type OperandReader = (decoding: Decoding) => Operand

type Size = (operandSize: number) => Width

const sizes: Readonly<Record<string, Size>> = {
  '': () => 0,
  b: () => 8,
  w: () => 16,
  d: () => 32,
  q: () => 64,
  t: () => 80,
  x: () => 128,
  qq: () => 256,
  s: () => 0,
  v: (size) => size as Width,
  z: (size) => size === 16 ? 16 : 32,
  y: (size) => size === 64 ? 64 : 32,
  p: (size) => (size + 16) as Width,
  // The immediates of `83 /0 Ib`; the same as b, spelled out.
  bs: () => 8,
}

const registerNames = ['AX', 'CX', 'DX', 'BX', 'SP', 'BP', 'SI', 'DI']
const segmentNames: Readonly<Record<string, number>> = { ES, CS, SS, DS, FS, GS }

/** Shared operands of general registers, by width / 16 rounded, then number. */
const registers = new Map<number, readonly Operand[]>()
for (const width of [0, 8, 16, 32, 64] as const) {
  registers.set(width, Array.from({ length: 16 }, (_, index): Operand =>
    ({ kind: 'gpr', width, index, high: false })))
}
const highBytes = Array.from({ length: 4 }, (_, index): Operand =>
  ({ kind: 'gpr', width: 8, index, high: true }))
const byteRegisters = registers.get(8)!
const wideRegisters = [registers.get(16)!, registers.get(32)!, registers.get(64)!] as const

function gpr(decoding: Decoding, width: Width, index: number): Operand {
  if (width === 8) {
    return index >= 4 && index < 8 && !decoding.rex ? highBytes[index - 4]! : byteRegisters[index]!
  }
  const list = width === 32 ? wideRegisters[1] : width === 64 ? wideRegisters[2]
    : width === 16 ? wideRegisters[0] : registers.get(width)
  assert(list !== undefined, 'general registers have 16, 32 or 64 bits')
  return list[index]!
}

const SMALL = Array.from({ length: 512 }, (_, index) => BigInt(index - 256))

/** BigInt(value), without an allocation for small ones. */
export function bigOf(value: number): bigint {
  return value >= -256 && value < 256 ? SMALL[value + 256]! : BigInt(value)
}

/** The reader for an operand code. Throws Bug for a code that does not exist. */
export function operandReader(code: string): OperandReader {
  const fixed = fixedOperand(code)
  if (fixed) return fixed
  const size = sizes[code.slice(1)]
  const make = size && addressing[code[0]!]
  assert(make !== undefined, `operand code ${code} does not exist`)
  return make(size!)
}

function fixedOperand(code: string): OperandReader | undefined {
  const full = /^([er])?([ABCDS][XPI])$/.exec(code)
  if (full) {
    const index = registerNames.indexOf(full[2]!)
    if (full[1] === 'r') return (d) => gpr(d, d.operandSize as Width, index)
    if (full[1] === 'e') return (d) => gpr(d, d.operandSize === 16 ? 16 : 32, index)
    return (d) => gpr(d, 16, index)
  }
  const low = /^([ACDB])([LH])$/.exec(code)
  if (low) {
    const index = registerNames.indexOf(`${low[1]}X`)
    const operand = low[2] === 'L' ? byteRegisters[index]! : highBytes[index]!
    return () => operand
  }
  let operand: Operand | undefined
  if (code === '1' || code === '3') {
    operand = { kind: 'immediate', width: 8, value: BigInt(code) }
  } else if (code in segmentNames) {
    operand = { kind: 'segment', width: 16, index: segmentNames[code]! }
  } else if (code === 'XMM0') {
    operand = { kind: 'xmm', width: 128, index: 0 }
  } else if (/^F[0-7]$/.test(code)) {
    operand = { kind: 'st', width: 80, index: Number(code[1]) }
  } else if (code === 'Fi') {
    return (d) => ({ kind: 'st', width: 80, index: d.modrm & 7 })
  }
  return operand && (() => operand)
}

const addressing: Readonly<Record<string, (size: Size) => OperandReader>> = {
  E: (size) => (d) => d.modrm < 0xc0
    ? d.memory(size(d.operandSize)) : gpr(d, size(d.operandSize), d.rm),
  M: (size) => (d) => d.memory(size(d.operandSize)),
  R: (size) => (d) => gpr(d, size(d.operandSize), d.rm),
  G: (size) => (d) => gpr(d, size(d.operandSize), d.reg),
  Z: (size) => (d) => gpr(d, size(d.operandSize), d.opcodeRegister),
  B: (size) => (d) => gpr(d, size(d.operandSize), d.vvvv),
  I: (size) => (d) => {
    const width = size(d.operandSize)
    return { kind: 'immediate', width, value: d.immediate(width) }
  },
  J: (size) => (d) => {
    const displacement = Number(d.immediate(size(d.operandSize)))
    return { kind: 'relative', width: d.operandSize as Width, displacement }
  },
  O: (size) => (d) => d.offset(size(d.operandSize)),
  X: (size) => (d) => d.string(size(d.operandSize), d.segment, RSI),
  Y: (size) => (d) => d.string(size(d.operandSize), ES, RDI),
  A: () => (d) => {
    const width = (d.operandSize + 16) as Width
    const offset = d.operandSize === 16 ? d.unsigned(2) : d.unsigned(4)
    return { kind: 'far', width, offset, selector: d.unsigned(2) }
  },
  V: (size) => (d) => ({ kind: 'xmm', width: size(d.operandSize), index: d.reg }),
  U: (size) => (d) => ({ kind: 'xmm', width: size(d.operandSize), index: d.rm }),
  H: (size) => (d) => ({ kind: 'xmm', width: size(d.operandSize), index: d.vvvv }),
  L: (size) => (d) => {
    const index = d.unsigned(1) >> 4
    return { kind: 'xmm', width: size(d.operandSize), index: d.long ? index : index & 7 }
  },
  K: (size) => (d) => d.gatherBase(size(d.operandSize)),
  T: (size) => (d) => {
    const index = d.gatherIndex
    // Destination, index and mask must be three registers.
    if (index < 0 || d.reg === index || d.vvvv === index || d.reg === d.vvvv) d.bad = true
    return { kind: 'xmm', width: size(d.operandSize), index }
  },
  W: (size) => (d) => d.modrm < 0xc0 ? d.memory(size(d.operandSize))
    : { kind: 'xmm', width: size(d.operandSize), index: d.rm },
  P: (size) => (d) => ({ kind: 'mm', width: size(d.operandSize), index: d.reg & 7 }),
  N: (size) => (d) => ({ kind: 'mm', width: size(d.operandSize), index: d.rm & 7 }),
  Q: (size) => (d) => d.modrm < 0xc0 ? d.memory(size(d.operandSize))
    : { kind: 'mm', width: size(d.operandSize), index: d.rm & 7 },
  S: () => (d) => {
    const index = d.reg & 7
    if (index > GS) d.bad = true
    return { kind: 'segment', width: 16, index }
  },
  C: (size) => (d) => {
    // Control registers 1, 5 to 7 and 9 to 15 do not exist.
    if (!(0x11d >> d.reg & 1)) d.bad = true
    return { kind: 'control', width: size(d.operandSize), index: d.reg }
  },
  D: (size) => (d) => {
    if (d.reg > 7) d.bad = true
    return { kind: 'debug', width: size(d.operandSize), index: d.reg }
  },
}
