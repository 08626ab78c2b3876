/**
 * Floating point in the reference reading: arithmetic under MXCSR and the x87 unit.
 */
import { CR0, CR4, Vector, XCR0 } from '../../abi/x86/control.ts'
import type { FloatOp, FloatVectorOp, FusedOp } from '../backend.ts'
import { float, floatFlags, fused } from '../float/float.ts'
import { compareLanes, floatLanes } from '../float/lanes.ts'
import { BEFORE_COMPUTING } from '../float/round.ts'
import type { Instruction, Operand } from '../operand.ts'
import { setControlWord } from '../x87/environment.ts'
import { formNumber, shapeOfOperands } from '../x87/form.ts'
import { StackMachine } from '../x87/stack-machine.ts'
import { opcodeOf } from '../x87/unit.ts'
import { ReferenceFault, type ReferenceState } from './reference-state.ts'
import { ReferenceValues } from './reference-values.ts'

export abstract class ReferenceFloat extends ReferenceValues {
  readonly #state: ReferenceState
  readonly #instruction: Instruction
  readonly #stack: StackMachine
  #floatFlags = 0

  constructor(state: ReferenceState, instruction: Instruction) {
    super()
    this.#state = state
    this.#instruction = instruction
    this.#stack = new StackMachine(state.x87)
  }

  abstract address(operand: Operand): bigint
  abstract probeWrite(operand: Operand): void
  abstract storeAt(operand: Operand, byteOffset: bigint, width: number, value: bigint): void
  /** What comes only when nothing can fault any more. */
  abstract finish(): void

  x87Check(waits: boolean): void {
    const { cr0, x87 } = this.#state
    if (cr0 & (CR0.EM | CR0.TS)) throw new ReferenceFault(Vector.NM)
    if (waits && x87.statusWord & 0x80) throw new ReferenceFault(Vector.MF)
  }

  x87(name: string, operands: readonly Operand[], low = 0n, high = 0n): bigint {
    const [target = 0, source = 1] = operands.map((operand) =>
      operand.kind === 'st' ? operand.index : undefined)
    const form = formNumber(name, shapeOfOperands(operands))
    return this.#stack.run(form, target, source, low, Number(high))
  }

  x87High(): bigint { return BigInt(this.#stack.high) }
  x87Stores(): bigint { return this.#stack.stores ? 1n : 0n }
  x87Commit(): void { this.#stack.commit() }

  x87Remember(operands: readonly Operand[]): void {
    const { x87, selectors, rip } = this.#state
    x87.lastIp = rip
    x87.lastCs = selectors[1]!
    x87.lastOpcode = opcodeOf(this.#instruction)
    const [memory] = operands
    if (memory?.kind !== 'memory') return
    x87.lastDp = this.address(memory)
    x87.lastDs = selectors[memory.segment]!
  }

  x87Word(which: 'control' | 'status'): bigint {
    const { controlWord, statusWord } = this.#state.x87
    return BigInt(which === 'control' ? controlWord : statusWord)
  }

  setX87Control(value: bigint): void { setControlWord(this.#state.x87, Number(value)) }

  storeExtended(operand: Operand, low: bigint, high: bigint): void {
    this.probeWrite(operand)
    this.storeAt(operand, 0n, 64, low)
    this.storeAt(operand, 8n, 16, high)
  }

  float(op: FloatOp, width: 32 | 64, ...operands: bigint[]): bigint {
    const [a, b] = operands
    const result = float(op, width, a!, b ?? 0n, this.#state.mxcsr)
    this.#floatFlags |= floatFlags
    return result
  }

  floatVector(op: FloatVectorOp, width: 32 | 64, a: bigint, b = 0n): bigint {
    return floatLanes(op, width, a, b, (...lane) => this.float(...lane))
  }

  floatCompare(width: 32 | 64, predicate: bigint, a: bigint, b: bigint): bigint {
    return compareLanes(width, Number(predicate), a, b, (...lane) => this.float(...lane))
  }

  fused(op: FusedOp, width: 32 | 64, a: bigint, b: bigint, c: bigint): bigint {
    const result = fused(op, width, a, b, c, this.#state.mxcsr)
    this.#floatFlags |= floatFlags
    return result
  }

  mxcsr(): bigint { return BigInt(this.#state.mxcsr) }
  setMxcsr(value: bigint): void { this.#state.mxcsr = Number(value & 0xffffffffn) }

  floatCheck(): void {
    const mxcsr = this.#state.mxcsr
    const unmasked = this.#floatFlags & ~(mxcsr >> 7) & 63
    // An unmasked exception found before computing hides those found after, in all lanes.
    this.#state.mxcsr |= unmasked & BEFORE_COMPUTING ? this.#floatFlags & BEFORE_COMPUTING
      : this.#floatFlags
    this.#floatFlags = 0
    if (unmasked) this.finish()
    if (unmasked) throw new ReferenceFault(Vector.XM)
  }

  sseCheck(): void {
    const { cr0, cr4 } = this.#state
    if (cr0 & CR0.EM || !(cr4 & CR4.OSFXSR)) throw new ReferenceFault(Vector.UD)
    if (cr0 & CR0.TS) throw new ReferenceFault(Vector.NM)
  }

  avxCheck(): void {
    const { cr0, cr4, xcr0 } = this.#state
    const enabled = XCR0.SSE | XCR0.AVX
    if (!(cr4 & CR4.OSXSAVE) || (xcr0 & enabled) !== enabled) throw new ReferenceFault(Vector.UD)
    if (cr0 & CR0.TS) throw new ReferenceFault(Vector.NM)
  }
}
