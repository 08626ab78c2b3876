/**
 * x87 services on the register stack alone: memory operands come as bits and leave as bits, so that
 * whoever holds the rest of the processor can load and store them.
 *
 * What a store changes in the unit must wait until the store has not faulted; it is kept in
 * `pending` and put into place by `commit`.
 */
import { assert } from '../../base/assert.ts'
import { row, type Definition } from '../definition.ts'
import type { Machine, X87State } from '../machine.ts'
import type { Instruction, MemoryOperand, Operand } from '../operand.ts'
import { formOf, stackServices, type StackShape } from './form.ts'

/** Stands for whatever instruction is carried out. */
const operation: Definition = {
  name: 'x87 operation', fields: { encodings: [] }, service: undefined,
}
const anyRow = row('d8 /0')

export class StackMachine implements Machine {
  readonly x87: X87State
  readonly long = true
  readonly cpl = 0
  readonly ip = 0n
  readonly cr0 = 0
  readonly cr4 = 0
  readonly xcr0 = 0
  readonly mxcsr = 0
  flags = 0n
  /** Bits of the memory operand, or of the result; the upper 16 of 80 are in `high`. */
  low = 0n
  high = 0
  /** The result is to be stored. */
  stores = false
  /** Status word and tags after the store. */
  readonly pending = { status: 0, tags: 0 }

  constructor(x87: X87State) {
    this.x87 = x87
  }

  /**
   * Carries out the operation of a number (form.ts). `target` and `source` are the numbers of its
   * stack registers; `low` and `high` are a memory operand's bits, or a condition. Returns the bits
   * to store, or the flags that it sets.
   */
  run(number: number, target: number, source: number, low: bigint, high: number): bigint {
    const { name, shape } = formOf(number)
    this.low = low
    this.high = high
    this.flags = 0n
    this.stores = false
    const { statusWord, tags } = this.x87
    const isMemory = shape !== '' && shape !== 'st' && shape !== 'st st'
    stackServices[name]!(this, pseudoInstruction(shape, target, source))
    if (!isMemory) return this.flags
    if (!name.startsWith('fst') && !name.startsWith('fist') && name !== 'fbstp') return 0n
    this.pending.status = this.x87.statusWord
    this.pending.tags = this.x87.tags
    this.x87.statusWord = statusWord
    this.x87.tags = tags
    return this.low
  }

  commit(): void {
    this.x87.statusWord = this.pending.status
    this.x87.tags = this.pending.tags
  }

  read(): bigint { return this.low }

  write(_operand: number, value: bigint): void {
    this.low = value
    this.stores = true
  }

  load(_segment: number, offset: bigint): bigint {
    return offset === 0n ? this.low : BigInt(this.high)
  }

  store(_segment: number, offset: bigint, _size: number, value: bigint): void {
    if (offset === 0n) this.low = value
    else this.high = Number(value)
    this.stores = true
  }

  selector(): number { return 0 }
  gpr(): bigint { return 0n }
  setGpr(): void {}
  effectiveAddress(): bigint { return 0n }
  linearAddress(): bigint { return 0n }
  probeWrite(): void {}
  xmm(): bigint { return 0n }
  setXmm(): void {}
  fault(): never { assert(false, 'what may fault was checked before') }
}

function pseudoInstruction(shape: StackShape, target: number, source: number): Instruction {
  const registers: Operand[] = [target, source].map((index) => ({ kind: 'st', width: 80, index }))
  const operands = shape === '' ? [] : shape === 'st' ? registers.slice(0, 1)
    : shape === 'st st' ? registers : [memoryOf(Number(shape))]
  return {
    definition: operation, row: anyRow, length: 2, operands, operandSize: 64, addressSize: 64,
    segment: 3, repeat: 0, lock: false,
  }
}

function memoryOf(width: number): MemoryOperand {
  return {
    kind: 'memory', width: width as MemoryOperand['width'], segment: 3, base: -1, index: -1,
    scale: 0, displacement: 0n, ripRelative: false, addressWidth: 64,
  }
}
