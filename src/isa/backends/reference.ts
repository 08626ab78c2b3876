/**
 * The reference reading: semantics evaluated at once on bigints. Slow and obvious, the oracle of
 * the other readings where the host CPU cannot be one.
 */
import { assert } from '../../base/assert.ts'
import { CR0, Vector } from '../../abi/x86/control.ts'
import { RSP, SS } from '../../abi/x86/registers.ts'
import type { Backend, Flags, SystemField } from '../backend.ts'
import type { FlagName } from '../definition.ts'
import type { Instruction, MemoryOperand, Operand } from '../operand.ts'
import { pureFunctions } from '../pure.ts'
import { ReferenceFloat } from './reference-float.ts'
import { MASK128, MASK64, maskOf } from './reference-values.ts'
import { flagBits, ReferenceFault, type ReferenceState } from './reference-state.ts'

/** Evaluates semantics over a state, for one instruction at a time. */
export class ReferenceBackend extends ReferenceFloat implements Backend<bigint> {
  readonly #state: ReferenceState
  readonly #instruction: Instruction
  /** Where control goes after the instruction. */
  target: bigint
  #enteredMmx = false

  constructor(state: ReferenceState, instruction: Instruction) {
    super(state, instruction)
    this.#state = state
    this.#instruction = instruction
    this.target = this.nextIp()
  }

  get operandSize() { return this.#instruction.operandSize }
  get addressSize() { return this.#instruction.addressSize }
  get segment() { return this.#instruction.segment }
  get stackWidth() { return this.#state.stackWidth }
  get long() { return this.#state.long }
  widthOf(operand: Operand): number { return operand.width }
  isMemory(operand: Operand): boolean { return operand.kind === 'memory' }

  immediate(operand: Operand): bigint {
    assert(operand.kind === 'immediate', 'immediate() is for immediates')
    return operand.value & MASK64
  }

  read(operand: Operand): bigint {
    switch (operand.kind) {
      case 'gpr': return operand.high ? this.gpr(operand.index, 16) >> 8n
        : this.gpr(operand.index, operand.width)
      case 'memory': return this.load(operand.segment, this.address(operand), operand.width)
      case 'immediate': return operand.value & MASK64
      case 'segment': return BigInt(this.#state.selectors[operand.index]!)
      case 'mm': return this.#state.x87.significand(operand.index) & maskOf(operand.width)
      case 'xmm': return this.#state.xmm[operand.index]! & MASK64 & maskOf(operand.width)
      default: throw new Error(`read of ${operand.kind}`)
    }
  }

  readSigned(operand: Operand): bigint { return this.sx(this.read(operand), operand.width) }

  readForWrite(operand: Operand): bigint {
    if (operand.kind === 'memory') this.#probe(operand, this.address(operand), operand.width)
    return this.read(operand)
  }

  write(operand: Operand, value: bigint): void {
    if (operand.kind === 'memory') {
      this.store(operand.segment, this.address(operand), operand.width, value)
    } else if (operand.kind === 'gpr') {
      if (!operand.high) this.setGpr(operand.index, operand.width, value)
      else {
        const rest = this.gpr(operand.index, 64) & ~0xff00n
        this.#state.gpr[operand.index] = rest | (value & 0xffn) << 8n
      }
    } else {
      this.writeVector(operand, value)
    }
  }

  address(operand: Operand): bigint {
    assert(operand.kind === 'memory', 'only memory has an address')
    let address = operand.displacement
    if (operand.ripRelative) address += this.nextIp()
    if (operand.base >= 0) address += this.gpr(operand.base, 64)
    if (operand.index >= 0) address += this.gpr(operand.index, 64) << BigInt(operand.scale)
    return address & maskOf(operand.addressWidth)
  }

  #probe(operand: MemoryOperand, offset: bigint, width: number): void {
    this.#state.memory.probeWrite(this.#linear(operand.segment, offset), width / 8)
  }

  probeWrite(operand: Operand): void {
    assert(operand.kind === 'memory', 'probeWrite() is for memory')
    this.#probe(operand, this.address(operand), operand.width)
  }

  #linear(segment: number, offset: bigint): bigint {
    return offset + this.#state.segmentBases[segment]! & (this.long ? MASK64 : maskOf(32))
  }

  loadAt(operand: Operand, byteOffset: bigint, width: number): bigint {
    assert(operand.kind === 'memory', 'loadAt() is for memory')
    return this.load(operand.segment, this.address(operand) + byteOffset, width)
  }

  loadForWriteAt(operand: Operand, byteOffset: bigint, width: number): bigint {
    assert(operand.kind === 'memory', 'loadForWriteAt() is for memory')
    this.#probe(operand, this.address(operand) + byteOffset & maskOf(this.addressSize), width)
    return this.loadAt(operand, byteOffset, width)
  }

  storeAt(operand: Operand, byteOffset: bigint, width: number, value: bigint): void {
    assert(operand.kind === 'memory', 'storeAt() is for memory')
    this.store(operand.segment, this.address(operand) + byteOffset, width, value)
  }

  gpr(index: number, width: number): bigint {
    return this.#state.gpr[index]! & maskOf(width)
  }

  setGpr(index: number, width: number, value: bigint): void {
    const mask = maskOf(width)
    const kept = width >= 32 ? 0n : this.#state.gpr[index]! & ~mask
    this.#state.gpr[index] = kept | value & mask
  }

  load(segment: number, offset: bigint, width: number): bigint {
    const cut = offset & maskOf(this.addressSize)
    return this.#state.memory.load(this.#linear(segment, cut), width / 8)
  }

  store(segment: number, offset: bigint, width: number, value: bigint): void {
    const linear = this.#linear(segment, offset & maskOf(this.addressSize))
    this.#state.memory.store(linear, width / 8, value & maskOf(width))
  }

  loadStack(offset: bigint, width: number): bigint {
    const linear = this.#linear(SS, offset & maskOf(this.stackWidth))
    return this.#state.memory.load(linear, width / 8)
  }

  storeStack(offset: bigint, width: number, value: bigint): void {
    const linear = this.#linear(SS, offset & maskOf(this.stackWidth))
    this.#state.memory.store(linear, width / 8, value & maskOf(width))
  }

  push(width: number, value: bigint): void {
    const pointer = this.gpr(RSP, this.stackWidth) - BigInt(width / 8)
    this.storeStack(pointer, width, value)
    this.setGpr(RSP, this.stackWidth, pointer)
  }

  pop(width: number): bigint {
    const pointer = this.gpr(RSP, this.stackWidth)
    const value = this.loadStack(pointer, width)
    this.setGpr(RSP, this.stackWidth, pointer + BigInt(width / 8))
    return value
  }

  flag(name: FlagName | 'df'): bigint {
    return this.#state.flags & flagBits[name] ? 1n : 0n
  }

  setFlags(flags: Flags<bigint>): void {
    for (const [name, value] of Object.entries(flags) as [FlagName | 'df', bigint][]) {
      assert(value === 0n || value === 1n, `${name} is a boolean`)
      if (value) this.#state.flags |= flagBits[name]
      else this.#state.flags &= ~flagBits[name]
    }
  }

  resultFlags(result: bigint, width: number): Flags<bigint> {
    const cut = this.zx(result, width)
    return { zf: this.isZero(cut), sf: this.bitOf(cut, width - 1), pf: this.evenParity(cut) }
  }

  condition(code: number): bigint {
    const less = this.flag('sf') ^ this.flag('of')
    const values = [
      this.flag('of'), this.flag('cf'), this.flag('zf'), this.flag('cf') | this.flag('zf'),
      this.flag('sf'), this.flag('pf'), less, less | this.flag('zf'),
    ]
    return values[code >> 1]! ^ BigInt(code & 1)
  }

  when(condition: bigint, then: () => void, otherwise?: () => void): void {
    if (condition) then()
    else otherwise?.()
  }

  nextIp(): bigint {
    const next = this.#state.rip + BigInt(this.#instruction.length)
    return next & (this.long ? MASK64 : maskOf(32))
  }

  branch(target: Operand, condition = 1n): void {
    assert(target.kind === 'relative', 'branch() is for relative targets')
    if (condition) this.jump(this.nextIp() + BigInt(target.displacement))
  }

  jump(target: bigint): void { this.target = target & maskOf(this.operandSize) }

  faultIf(condition: bigint, vector: number, errorCode?: number): void {
    if (condition) throw new ReferenceFault(vector, errorCode)
  }

  // The reference is one of programs: the system's state is not in it.

  system(field: SystemField): bigint { throw new Error(`the reference has no ${field}`) }
  setSystem(field: SystemField): void { throw new Error(`the reference has no ${field}`) }
  /** There is nobody else. */
  fence(): void {}
  exchangePair(
    operand: Operand, expected: readonly [bigint, bigint], wanted: readonly [bigint, bigint],
  ): readonly [bigint, bigint] {
    const [low, high] = [this.loadAt(operand, 0n, 64), this.loadAt(operand, 8n, 64)]
    const equal = low === expected[0] && high === expected[1]
    this.storeAt(operand, 0n, 64, equal ? wanted[0] : low)
    this.storeAt(operand, 8n, 64, equal ? wanted[1] : high)
    return [low, high]
  }

  tsc(): bigint { throw new Error('the reference has no time') }
  deferIf(): void { throw new Error('the reference has no services') }
  transferState(): void { throw new Error('the reference has no services') }
  forgetPage(): void {}
  loadSpace(): void { throw new Error('the reference has one address space') }

  readVector(operand: Operand): bigint {
    switch (operand.kind) {
      case 'xmm': return this.#state.xmm[operand.index]!
      case 'mm': return this.#state.x87.significand(operand.index)
      case 'memory': {
        const linear = this.#linear(operand.segment, this.address(operand))
        return this.#state.memory.load(linear, operand.width / 8)
      }
      default: throw new Error(`readVector of ${operand.kind}`)
    }
  }

  readVectorAligned(operand: Operand): bigint {
    this.#align(operand, 128)
    return this.readVector(operand)
  }

  writeVector(operand: Operand, value: bigint): void {
    switch (operand.kind) {
      case 'xmm':
        this.#state.xmm[operand.index] = value & MASK128
        return
      case 'mm':
        this.#state.x87.setRegister(operand.index, 0xffff, value & MASK64)
        return
      case 'memory':
        this.store(operand.segment, this.address(operand), operand.width, value)
        return
      default: throw new Error(`writeVector of ${operand.kind}`)
    }
  }

  writeVectorAligned(operand: Operand, value: bigint): void {
    this.#align(operand, 128)
    this.writeVector(operand, value)
  }

  #align(operand: Operand, width: number): void {
    if (operand.kind !== 'memory' || operand.width !== width) return
    const linear = this.#linear(operand.segment, this.address(operand))
    if (linear % BigInt(width / 8)) throw new ReferenceFault(Vector.GP, 0)
  }

  readHalves(operand: Operand, aligned = false): readonly [bigint, bigint] {
    if (operand.kind === 'xmm') {
      return [this.#state.xmm[operand.index]!, this.#state.ymm[operand.index]!]
    }
    if (aligned) this.#align(operand, 256)
    const whole = this.readVector(operand)
    return [whole & MASK128, whole >> 128n]
  }

  writeHalves(operand: Operand, low: bigint, high: bigint, aligned = false): void {
    if (operand.kind === 'xmm') {
      this.#state.xmm[operand.index] = low & MASK128
      this.#state.ymm[operand.index] = high & MASK128
      return
    }
    if (aligned) this.#align(operand, 256)
    this.writeVector(operand, low & MASK128 | high << 128n)
  }

  clearUpper(index: number): void { this.#state.ymm[index] = 0n }

  scaled(operand: Operand, index: bigint): bigint {
    assert(operand.kind === 'memory', 'memory has a scale')
    return this.shl(index, BigInt(operand.scale))
  }

  probeAt(operand: Operand, byteOffset: bigint, width: number): void {
    assert(operand.kind === 'memory', 'probeAt() is for memory')
    const offset = this.address(operand) + byteOffset & maskOf(this.addressSize)
    this.#probe(operand, offset, width)
  }

  xmm(index: number): bigint { return this.#state.xmm[index]! }

  enterMmx(): void {
    this.#checkMmx()
    this.#enteredMmx = true
  }

  leaveMmx(): void {
    this.#checkMmx()
    this.#state.x87.statusWord &= ~0x3800
    this.#state.x87.tags = 0
  }

  #checkMmx(): void {
    if (this.#state.cr0 & CR0.EM) throw new ReferenceFault(Vector.UD)
    if (this.#state.cr0 & CR0.TS) throw new ReferenceFault(Vector.NM)
    // Bit 7, ES, says that an unmasked exception waits.
    if (this.#state.x87.statusWord & 0x80) throw new ReferenceFault(Vector.MF)
  }

  /** What comes only when nothing can fault any more. */
  finish(): void {
    if (!this.#enteredMmx) return
    this.#state.x87.statusWord &= ~0x3800
    this.#state.x87.tags = 0xff
  }

  pure(name: string, ...operands: bigint[]): bigint {
    const known = pureFunctions[name]
    assert(known !== undefined, `pure function ${name} exists`)
    return known.run(...operands)
  }
}
