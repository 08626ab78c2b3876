/**
 * `Machine` for service routines: one instruction's view of the processor.
 */
import { assert } from '../../base/assert.ts'
import { FS, SS } from '../../abi/x86/registers.ts'
import type { Machine, X87State } from '../../isa/machine.ts'
import type { Instruction, MemoryOperand, Operand } from '../../isa/operand.ts'
import type { Processor } from '../interfaces.ts'
import { type CpuContextView, CpuContext, flagsOf, RFLAGS, SEGMENT_DB, SEGMENT_P, setFlags }
  from '../state.ts'

const MASK32 = 0xffff_ffffn
const MASK64 = 0xffff_ffff_ffff_ffffn
const ARITHMETIC = RFLAGS.CF | RFLAGS.PF | RFLAGS.AF | RFLAGS.ZF | RFLAGS.SF | RFLAGS.OF | RFLAGS.DF
const GP = 13
const SS_FAULT = 12
const at = CpuContext.offsets

function maskOf(width: number): bigint {
  return (1n << BigInt(width)) - 1n
}

/** The x87 state as it lies in the context. */
export class ContextX87 implements X87State {
  readonly #context: CpuContextView
  constructor(context: CpuContextView) {
    this.#context = context
  }

  get controlWord(): number { return this.#context.x87Control }
  set controlWord(value: number) { this.#context.x87Control = value }
  get statusWord(): number { return this.#context.x87Status }
  set statusWord(value: number) { this.#context.x87Status = value }
  get tags(): number { return this.#context.x87Tags }
  set tags(value: number) { this.#context.x87Tags = value }
  get lastOpcode(): number { return this.#context.x87LastOpcode }
  set lastOpcode(value: number) { this.#context.x87LastOpcode = value }
  get lastIp(): bigint { return this.#context.x87LastIp }
  set lastIp(value: bigint) { this.#context.x87LastIp = value }
  get lastDp(): bigint { return this.#context.x87LastDp }
  set lastDp(value: bigint) { this.#context.x87LastDp = value }
  get lastCs(): number { return this.#context.x87LastCs }
  set lastCs(value: number) { this.#context.x87LastCs = value }
  get lastDs(): number { return this.#context.x87LastDs }
  set lastDs(value: number) { this.#context.x87LastDs = value }

  significand(index: number): bigint {
    return this.#context.x87.item(index).significand
  }

  signExponent(index: number): number {
    return this.#context.x87.item(index).signExponent
  }

  setRegister(index: number, signExponent: number, significand: bigint): void {
    const register = this.#context.x87.item(index)
    register.signExponent = signExponent
    register.significand = significand
  }
}

export class MachineAdapter implements Machine {
  readonly x87: X87State
  readonly #processor: Processor
  readonly #context: CpuContextView
  readonly #gpr: BigUint64Array
  readonly #bytes: DataView
  #instruction!: Instruction
  /** Offset in the code segment of the instruction, and of the next one. */
  ip = 0n
  #nextIp = 0n

  constructor(processor: Processor, core: ArrayBuffer) {
    this.#processor = processor
    this.#context = processor.context
    this.#gpr = new BigUint64Array(core, at.gpr, 16)
    this.#bytes = new DataView(core)
    this.x87 = new ContextX87(this.#context)
  }

  /** Takes up the next instruction. */
  begin(instruction: Instruction, ip: bigint, nextIp: bigint): void {
    this.#instruction = instruction
    this.ip = ip
    this.#nextIp = nextIp
  }

  get long(): boolean {
    return (this.#processor.control.codeMode & 3) === 1
  }

  get cpl(): number { return this.#context.cpl }
  get cr0(): number { return Number(this.#context.cr0) }
  get cr4(): number { return Number(this.#context.cr4) }
  get xcr0(): number { return Number(this.#context.xcr0) }
  get mxcsr(): number { return this.#context.mxcsr }
  set mxcsr(value: number) { this.#context.mxcsr = value }
  get flags(): bigint { return BigInt(flagsOf(this.#context) & ARITHMETIC) }
  set flags(value: bigint) {
    setFlags(this.#context, flagsOf(this.#context) & ~ARITHMETIC | Number(value) & ARITHMETIC)
  }

  selector(segment: number): number {
    return this.#context.segments.item(segment).selector
  }

  gpr(index: number): bigint {
    return this.#gpr[index]!
  }

  setGpr(index: number, width: number, value: bigint): void {
    if (width >= 32) {
      this.#gpr[index] = value & maskOf(width)
      return
    }
    const mask = maskOf(width)
    this.#gpr[index] = this.#gpr[index]! & ~mask | value & mask
  }

  #memoryOperand(index: number): MemoryOperand {
    const operand = this.#instruction.operands[index]
    assert(operand?.kind === 'memory', 'an address needs a memory operand')
    return operand
  }

  effectiveAddress(operandIndex: number): bigint {
    const operand = this.#memoryOperand(operandIndex)
    let address = operand.displacement
    if (operand.ripRelative) address += this.#nextIp
    if (operand.base >= 0) address += this.#gpr[operand.base]!
    if (operand.index >= 0) address += this.#gpr[operand.index]! << BigInt(operand.scale)
    return address & maskOf(operand.addressWidth)
  }

  linearAddress(operandIndex: number): bigint {
    const { segment } = this.#memoryOperand(operandIndex)
    return this.#linearOf(segment, this.effectiveAddress(operandIndex))
  }

  read(operandIndex: number): bigint {
    const operand = this.#operand(operandIndex)
    switch (operand.kind) {
      case 'gpr':
        return this.#gpr[operand.index]! >> (operand.high ? 8n : 0n) & maskOf(operand.width)
      case 'memory': {
        const address = this.effectiveAddress(operandIndex)
        return this.load(operand.segment, address, operand.width / 8)
      }
      case 'immediate': return operand.value & MASK64
      case 'segment': return BigInt(this.selector(operand.index))
      case 'xmm': return this.xmm(operand.index)
      case 'mm': return this.x87.significand(operand.index)
      case 'relative': return BigInt(operand.displacement)
      default: return this.#contextOperand(operand)
    }
  }

  write(operandIndex: number, value: bigint): void {
    const operand = this.#operand(operandIndex)
    if (operand.kind === 'gpr') {
      if (!operand.high) this.setGpr(operand.index, operand.width, value)
      else this.#gpr[operand.index] = this.#gpr[operand.index]! & ~0xff00n | (value & 0xffn) << 8n
      return
    }
    if (operand.kind === 'xmm') {
      this.setXmm(operand.index, value)
      return
    }
    const memory = operand as MemoryOperand
    assert(memory.kind === 'memory', `operand ${operand.kind} is not written by services`)
    this.store(memory.segment, this.effectiveAddress(operandIndex), memory.width / 8,
      value & maskOf(memory.width))
  }

  load(segment: number, offset: bigint, size: number): bigint {
    return this.#processor.memory.read(this.#linear(segment, offset, size, false), size,
      this.#context.cpl === 3)
  }

  store(segment: number, offset: bigint, size: number, value: bigint): void {
    this.#processor.memory.write(this.#linear(segment, offset, size, true), size, value,
      this.#context.cpl === 3)
  }

  probeWrite(segment: number, offset: bigint, size: number): void {
    this.#processor.memory.probeWrite(this.#linear(segment, offset, size, true), size,
      this.#context.cpl === 3)
  }

  fault(vector: number, errorCode?: number): never {
    this.#processor.fault(vector, errorCode)
  }

  xmm(index: number): bigint {
    const from = at.vector + index * 32
    return this.#bytes.getBigUint64(from, true) | this.#bytes.getBigUint64(from + 8, true) << 64n
  }

  setXmm(index: number, value: bigint): void {
    const to = at.vector + index * 32
    this.#bytes.setBigUint64(to, value & MASK64, true)
    this.#bytes.setBigUint64(to + 8, value >> 64n & MASK64, true)
  }

  #operand(index: number): Operand {
    const operand = this.#instruction.operands[index]
    assert(operand, `${this.#instruction.definition.name} has an operand ${index}`)
    return operand
  }

  #contextOperand(operand: Operand): bigint {
    assert(operand.kind === 'debug' || operand.kind === 'control', 'a register operand')
    if (operand.kind === 'debug') return this.#context.dr.get(operand.index & 7)
    switch (operand.index) {
      case 0: return this.#context.cr0
      case 2: return this.#context.cr2
      case 3: return this.#context.cr3
      case 4: return this.#context.cr4
      default: return this.#context.cr8
    }
  }

  #linearOf(segment: number, offset: bigint): bigint {
    if (this.long && segment < FS) return offset
    return this.#context.segments.item(segment).base + offset & (this.long ? MASK64 : MASK32)
  }

  /** Segmentation as the engine's segmentLinear does it. */
  #linear(segment: number, offset: bigint, size: number, write: boolean): bigint {
    const state = this.#context.segments.item(segment)
    const linear = this.#linearOf(segment, offset)
    if (this.long) {
      if (BigInt.asIntN(48, linear) !== BigInt.asIntN(64, linear)) {
        this.fault(segment === SS ? SS_FAULT : GP, 0)
      }
      return linear
    }
    const { attributes } = state
    const limit = BigInt(state.limit)
    const last = offset + BigInt(size - 1)
    const isCode = (attributes & 8) !== 0
    const denied = (attributes & SEGMENT_P) === 0
      || (isCode ? write || (attributes & 2) === 0 : write && (attributes & 2) === 0)
    const expandDown = !isCode && (attributes & 4) !== 0
    const top = attributes & SEGMENT_DB ? MASK32 : 0xffffn
    const outside = expandDown ? offset <= limit || last > top : last > limit
    if (denied || outside) this.fault(segment === SS ? SS_FAULT : GP, 0)
    return linear
  }
}
