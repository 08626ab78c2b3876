/**
 * Instructions as text, in Intel's syntax as GNU objdump writes it: `add rax,QWORD PTR [rbx+0x8]`.
 *
 * Branch targets are absolute when the address of the instruction is given, and relative to its
 * end (`+0x10`) when it is not.
 */
import { FS, SS } from '../../abi/x86/registers.ts'
import type { Instruction, MemoryOperand, Operand } from '../operand.ts'

const wide = ['ax', 'cx', 'dx', 'bx', 'sp', 'bp', 'si', 'di'] as const
const lowBytes = ['al', 'cl', 'dl', 'bl', 'spl', 'bpl', 'sil', 'dil'] as const
const highBytes = ['ah', 'ch', 'dh', 'bh'] as const
const segments = ['es', 'cs', 'ss', 'ds', 'fs', 'gs'] as const
const sizes: Readonly<Record<number, string>> = {
  8: 'BYTE PTR ', 16: 'WORD PTR ', 32: 'DWORD PTR ', 48: 'FWORD PTR ', 64: 'QWORD PTR ',
  80: 'TBYTE PTR ', 128: 'XMMWORD PTR ',
}
const suffixes: Readonly<Record<number, string>> = { 8: 'b', 16: 'w', 32: 'd', 64: 'q' }

/** Mnemonics that the operand size decides. */
const bySize: Readonly<Record<string, readonly [string, string, string]>> = {
  cbw: ['cbw', 'cwde', 'cdqe'],
  cwd: ['cwd', 'cdq', 'cqo'],
}

/** A general register's name. */
function registerName(index: number, width: number, high = false): string {
  if (high) return highBytes[index] ?? '?'
  if (width === 8) return lowBytes[index] ?? `r${index}b`
  if (index >= 8) return width === 64 ? `r${index}` : `r${index}${suffixes[width] ?? ''}`
  const name = wide[index]!
  return width === 64 ? `r${name}` : width === 32 ? `e${name}` : name
}

/** The instruction in words; `address` is its own, where targets are to be absolute. */
export function printInstruction(instruction: Instruction, address?: bigint): string {
  const operands = instruction.operands.map((operand) =>
    printOperand(operand, instruction, address))
  const name = mnemonicOf(instruction)
  const prefix = instruction.lock ? 'lock ' : repeatOf(instruction)
  return `${prefix}${name}${operands.length ? ` ${operands.join(',')}` : ''}`
}

function mnemonicOf({ definition, operandSize, row }: Instruction): string {
  const { name } = definition
  const sized = bySize[name]
  if (sized) return sized[operandSize === 16 ? 0 : operandSize === 32 ? 1 : 2]
  if (row.properties.string && row.operands.length) {
    return `${name}${row.operands.some((code) => code === 'Xb' || code === 'Yb') ? 'b'
      : suffixes[operandSize]}`
  }
  return name
}

function repeatOf({ repeat, row }: Instruction): string {
  if (!repeat) return ''
  if (row.properties.string === 'rep') return 'rep '
  return repeat === 0xf3 ? 'repe ' : 'repne '
}

function printOperand(operand: Operand, instruction: Instruction, address?: bigint): string {
  switch (operand.kind) {
    case 'gpr': return registerName(operand.index, operand.width, operand.high)
    case 'memory': return printMemory(operand, instruction)
    case 'immediate': return printImmediate(operand.value, operand.width, instruction)
    case 'relative': {
      const step = operand.displacement
      if (address === undefined) return step < 0 ? `-${hex(-step)}` : `+${hex(step)}`
      const target = address + BigInt(instruction.length + step)
      return hex(BigInt.asUintN(operand.width, target))
    }
    case 'segment': return segments[operand.index] ?? '?'
    case 'control': return `cr${operand.index}`
    case 'debug': return `dr${operand.index}`
    case 'xmm': return `xmm${operand.index}`
    case 'mm': return `mm${operand.index}`
    case 'st': return operand.index === 0 ? 'st' : `st(${operand.index})`
    case 'far': return `${hex(operand.selector)}:${hex(operand.offset)}`
  }
}

function hex(value: number | bigint): string {
  return `0x${value.toString(16)}`
}

/** Shorter immediates appear at the width of the operation, as they are used. */
function printImmediate(value: bigint, width: number, instruction: Instruction): string {
  const [first] = instruction.operands
  const extended = first && (first.kind === 'gpr' || first.kind === 'memory')
    && instruction.definition.fields.execute && value < 0n
    && !/^(sh|sa|ro|rc|bt)/.test(instruction.definition.name)
  return hex(BigInt.asUintN(extended ? first.width : width, value))
}

function printMemory(operand: MemoryOperand, instruction: Instruction): string {
  const { base, index, scale, addressWidth } = operand
  const parts: string[] = []
  if (operand.ripRelative) parts.push(addressWidth === 32 ? 'eip' : 'rip')
  if (base >= 0) parts.push(registerName(base, addressWidth))
  if (index >= 0) parts.push(`${registerName(index, addressWidth)}*${1 << scale}`)
  let displacement = operand.displacement
  const popped = instruction.row.properties.pops && base === 4
  if (popped) displacement -= BigInt(instruction.operandSize >> 3)
  let text = parts.join('+')
  if (!text) text = hex(BigInt.asUintN(addressWidth, displacement))
  else if (displacement > 0n) text += `+${hex(displacement)}`
  else if (displacement < 0n) text += `-${hex(-displacement)}`
  return `${sizes[operand.width] ?? ''}${segmentOf(operand)}[${text}]`
}

/** The segment where it is not the one that the address implies. */
function segmentOf({ segment, base }: MemoryOperand): string {
  if (segment >= FS) return `${segments[segment]}:`
  const implied = base === 4 || base === 5 ? SS : 3
  return segment === implied ? '' : `${segments[segment]}:`
}
