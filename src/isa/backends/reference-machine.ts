/**
 * `Machine` over the reference's state: what service routines run on in tests.
 */
import { assert } from '../../base/assert.ts'
import type { Machine, X87State } from '../machine.ts'
import type { Instruction, MemoryOperand } from '../operand.ts'
import { ReferenceBackend } from './reference.ts'
import { ReferenceFault, type ReferenceState } from './reference-state.ts'

const MASK32 = 0xffffffffn
const MASK64 = 0xffffffffffffffffn

export class ReferenceMachine implements Machine {
  readonly #state: ReferenceState
  readonly #instruction: Instruction
  readonly #backend: ReferenceBackend

  constructor(state: ReferenceState, instruction: Instruction) {
    this.#state = state
    this.#instruction = instruction
    this.#backend = new ReferenceBackend(state, instruction)
  }

  get long(): boolean { return this.#state.long }
  get cpl(): number { return this.#state.cpl }
  get ip(): bigint { return this.#state.rip }
  get x87(): X87State { return this.#state.x87 }
  get cr0(): number { return this.#state.cr0 }
  get cr4(): number { return this.#state.cr4 }
  get xcr0(): number { return this.#state.xcr0 }
  get mxcsr(): number { return this.#state.mxcsr }
  set mxcsr(value: number) { this.#state.mxcsr = value }
  get flags(): bigint { return BigInt(this.#state.flags) }
  set flags(value: bigint) { this.#state.flags = Number(value) & 0xcd5 }

  selector(segment: number): number { return this.#state.selectors[segment]! }
  gpr(index: number): bigint { return this.#state.gpr[index]! }
  setGpr(index: number, width: number, value: bigint): void {
    this.#backend.setGpr(index, width, value)
  }

  #memoryOperand(index: number): MemoryOperand {
    const operand = this.#instruction.operands[index]
    assert(operand?.kind === 'memory', 'an address needs a memory operand')
    return operand
  }

  effectiveAddress(operandIndex: number): bigint {
    return this.#backend.address(this.#memoryOperand(operandIndex))
  }

  linearAddress(operandIndex: number): bigint {
    const { segment } = this.#memoryOperand(operandIndex)
    return this.#linear(segment, this.effectiveAddress(operandIndex))
  }

  read(operandIndex: number): bigint {
    return this.#backend.read(this.#instruction.operands[operandIndex]!)
  }

  write(operandIndex: number, value: bigint): void {
    this.#backend.write(this.#instruction.operands[operandIndex]!, value)
  }

  #linear(segment: number, offset: bigint): bigint {
    const mask = this.#state.long ? MASK64 : MASK32
    return offset + this.#state.segmentBases[segment]! & mask
  }

  load(segment: number, offset: bigint, size: number): bigint {
    return this.#state.memory.load(this.#linear(segment, offset), size)
  }

  store(segment: number, offset: bigint, size: number, value: bigint): void {
    const mask = (1n << BigInt(size * 8)) - 1n
    this.#state.memory.store(this.#linear(segment, offset), size, value & mask)
  }

  probeWrite(segment: number, offset: bigint, size: number): void {
    this.#state.memory.probeWrite(this.#linear(segment, offset), size)
  }

  fault(vector: number, errorCode?: number): never {
    throw new ReferenceFault(vector, errorCode)
  }

  xmm(index: number): bigint { return this.#state.xmm[index]! }
  setXmm(index: number, value: bigint): void { this.#state.xmm[index] = value }
}
