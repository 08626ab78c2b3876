/**
 * Operands in the Wasm reading: registers, memory through segments, the stack.
 */
import { assert } from '../../../base/assert.ts'
import { call, constantOf, i32, i64, type Expression } from '../../../wasm/expression.ts'
import { ES, FS, RDI, RSP, SS } from '../../../abi/x86/registers.ts'
import type { MemoryOperand, Operand } from '../../../isa/operand.ts'
import { gprAt, segmentAt } from '../core-fields.ts'
import { type AddressSymbol, CORE } from '../parts.ts'
import type { Place, ScalarMemory } from './memory-access.ts'
import { ScalarReading } from './scalars.ts'
import { emitUpdate, type LockedUpdate, lockedUpdateOf } from './locked-update.ts'
import type { Step, Value } from './value.ts'

/** A memory operand that is read and then written. */
interface Written extends Place {
  readonly value: Value
  /** What comes before it is read, and what its reading waits for. */
  readonly before: readonly Step[]
  readonly inputs: Value[]
  /** Reading writes it as well. */
  update: LockedUpdate | undefined
}

export abstract class OperandReading extends ScalarReading {
  /** What readForWrite learnt about where a memory operand lies. */
  readonly #places = new Map<Operand, Written>()

  widthOf(operand: Operand): number {
    return operand.width
  }

  isMemory(operand: Operand): boolean {
    return operand.kind === 'memory'
  }

  immediate(operand: Operand): Value {
    assert(operand.kind === 'immediate', 'an immediate operand')
    const known = constantOf(this.site.operands.immediate(operand))
    if (known !== undefined) return this.const(known)
    return this.computed('i64', [], () => this.site.operands.immediate(operand))
  }

  read(operand: Operand): Value {
    switch (operand.kind) {
      case 'immediate': return this.immediate(operand)
      case 'memory': return this.loadLinear(this.linearAddress(operand), operand.width)
      default: return this.readRegister(this.registerAddress(operand), operand.width)
    }
  }

  readSigned(operand: Operand): Value {
    if (operand.kind === 'immediate') return this.immediate(operand)
    return this.sx(this.read(operand), operand.width)
  }

  readForWrite(operand: Operand): Value {
    if (operand.kind !== 'memory') return this.read(operand)
    return this.#loadForWrite(operand, this.linearAddress(operand, 'write'), operand.width)
  }

  #loadForWrite(operand: Operand, address: Value, width: number): Value {
    const symbol = this.symbolOf(address)
    const value = this.result('i64')
    const place: Written = {
      linear: this.pool.take('i64'), machine: this.pool.take('i32'), old: this.pool.take('i64'),
      value, before: [...this.steps], inputs: [address], update: undefined,
    }
    this.#places.set(operand, place)
    this.effect({
      inputs: place.inputs,
      result: value,
      emit: () => {
        this.target.set(place.linear, address.expression())
        const { update } = place
        this.memory.readForWrite(place.linear, width, place.machine, value.local!, symbol,
          update && ((machine) => emitUpdate(update, width, machine)))
        if (this.shape.lock) this.target.set(place.old, value.local!)
      },
    })
    return value
  }

  write(operand: Operand, value: Value): void {
    const scalar = this.scalar(value)
    if (operand.kind !== 'memory') {
      this.writeRegister(this.registerAddress(operand), operand.width, scalar)
      return
    }
    const place = this.#places.get(operand)
    if (!place) {
      this.storeLinear(this.linearAddress(operand, 'write'), operand.width, scalar)
      return
    }
    this.#writeBack(place, operand.width, scalar)
  }

  #writeBack(place: Written, width: number, value: Value): void {
    if (this.shape.lock) place.update = lockedUpdateOf(value, place.value, place.before)
    const { update } = place
    if (update) place.inputs.push(...update.operands)
    this.effect({
      inputs: [value],
      emit: () => {
        if (update) this.memory.storeUnlessUpdated(place, width, value.expression())
        else if (this.shape.lock) this.memory.exchange(place, width, value.expression())
        else this.memory.writeBack(place.linear, place.machine, width, value.expression())
      },
    })
  }

  address(operand: Operand): Value {
    return this.#effective(operand)
  }

  loadAt(operand: Operand, byteOffset: Value, width: number): Value {
    return this.loadLinear(this.linearAt(operand, byteOffset, width, 'read'), width)
  }

  loadForWriteAt(operand: Operand, byteOffset: Value, width: number): Value {
    return this.#loadForWrite(operand, this.linearAt(operand, byteOffset, width, 'write'), width)
  }

  storeAt(operand: Operand, byteOffset: Value, width: number, value: Value): void {
    const place = this.#places.get(operand)
    if (place) this.#writeBack(place, width, this.scalar(value))
    else this.storeLinear(this.linearAt(operand, byteOffset, width, 'write'), width,
      this.scalar(value))
  }

  gpr(index: number, width: number): Value {
    return this.readRegister(i32.const(gprAt(index)), width)
  }

  setGpr(index: number, width: number, value: Value): void {
    this.writeRegister(i32.const(gprAt(index)), width, this.scalar(value))
  }

  get segment(): number {
    return -1
  }

  load(segment: number, offset: Value, width: number): Value {
    const linear = this.#linearOf(this.#segmentNumber(segment), this.#cut(offset), width, 'read')
    return this.loadLinear(linear, width)
  }

  store(segment: number, offset: Value, width: number, value: Value): void {
    const linear = this.#linearOf(this.#segmentNumber(segment), this.#cut(offset), width, 'write')
    this.storeLinear(linear, width, this.scalar(value))
  }

  push(width: number, value: Value): void {
    const pointer = this.#stackCut(this.sub(this.gpr(RSP, this.stackWidth), this.const(width / 8)))
    this.#storeOnStack(pointer, width, value)
    this.setGpr(RSP, this.stackWidth, pointer)
  }

  pop(width: number): Value {
    const pointer = this.gpr(RSP, this.stackWidth)
    const value = this.#loadOnStack(pointer, width)
    this.setGpr(RSP, this.stackWidth, this.add(pointer, this.const(width / 8)))
    return value
  }

  loadStack(offset: Value, width: number): Value {
    return this.#loadOnStack(this.#stackCut(offset), width)
  }

  storeStack(offset: Value, width: number, value: Value): void {
    this.#storeOnStack(this.#stackCut(offset), width, value)
  }

  /** The address in core memory of a register operand. */
  protected registerAddress(operand: Operand): Expression {
    return this.site.operands.register(operand)
  }

  protected readRegister(address: Expression, width: number): Value {
    return this.loaded('i64', () => this.site.state.load(address, width))
  }

  protected writeRegister(address: Expression, width: number, value: Value): void {
    const stored = width === 32 ? this.zx(value, 32) : value
    this.effect({
      inputs: [stored],
      emit: () => this.site.state.store(address, width === 32 ? 64 : width, stored.expression()),
    })
  }

  /** The effective address of a memory operand, cut to the address size. */
  #effective(operand: Operand): Value {
    assert(operand.kind === 'memory', 'an address needs memory')
    if (this.shape.string) return this.gpr(operand.base, this.addressSize)
    return this.#cut(this.sumOf(operand))
  }

  /** Base, index and displacement of a memory operand added up. */
  protected sumOf(operand: MemoryOperand): Value {
    const indexed = this.shape.addressing !== 'base'
    return this.loaded('i64', () => this.site.operands.effective(operand, indexed))
  }

  /** What is known of an address. */
  protected symbolOf(_address: Value): AddressSymbol | undefined {
    return undefined
  }

  #cut(offset: Value): Value {
    return this.zx(offset, this.addressSize)
  }

  #stackCut(offset: Value): Value {
    return this.zx(offset, this.stackWidth)
  }

  #segmentOf(operand: Operand): Expression {
    assert(operand.kind === 'memory', 'a segment needs memory')
    // The destination of a string instruction is in ES, whatever prefix stands before it.
    if (this.shape.string && operand.base === RDI) return i32.const(ES)
    return this.site.operands.segment()
  }

  #segmentNumber(segment: number): Expression {
    return segment < 0 ? this.site.operands.segment() : i32.const(segment)
  }

  /** The linear address of the memory operand, with segment checks outside 64-bit code. */
  protected linearAddress(operand: Operand, access: 'read' | 'write' = 'read'): Value {
    const offset = this.#effective(operand)
    const { addressing, string } = this.shape
    if (string) return this.#linearOf(this.#segmentOf(operand), offset, operand.width, access)
    if (addressing === 'base' || addressing === 'indexed') return offset
    return this.#linearOf(this.#segmentOf(operand), offset, operand.width, access)
  }

  /** The linear address of `width` bits at an offset from the memory operand. */
  protected linearAt(
    operand: Operand, byteOffset: Value, width: number, access: 'read' | 'write',
  ): Value {
    const offset = this.#cut(this.add(this.#effective(operand), byteOffset))
    return this.#linearOf(this.#segmentOf(operand), offset, width, access)
  }

  #linearOf(segment: Expression, offset: Value, width: number, access: 'read' | 'write'): Value {
    if (this.isFlat(segment)) return offset
    if (this.long) {
      const base = this.loaded('i64', () => i64.load(CORE,
        i32.shl(segment, i32.const(4)), segmentAt(0)))
      return this.#flat(base, offset, segment)
    }
    const result = this.result('i64')
    this.effect({
      inputs: [offset],
      result,
      emit: () => {
        this.target.set(result.local!, call(this.parts.segmentLinear, segment,
          offset.expression(), i32.const(width / 8), i32.const(access === 'write' ? 1 : 0)))
        this.memory.leaveIfStopped()
      },
    })
    return result
  }

  /** Whether offsets in a segment are known to be linear addresses that need no check. */
  protected isFlat(segment: Expression): boolean {
    const constant = constantOf(segment)
    return this.long && typeof constant === 'number' && constant < FS
  }

  /** In 64-bit code only FS and GS have a base; the others' bases are ignored. */
  #flat(base: Value, offset: Value, segment: Expression): Value {
    const known = typeof constantOf(segment) === 'number'
    const added = this.add(base, offset)
    if (known || this.shape.addressing === 'segmented') return added
    const isFlat = this.loaded('i32', () => i32.ltU(segment, i32.const(FS)))
    return this.select(isFlat, offset, added)
  }

  protected loadLinear(linear: Value, width: number, memory: ScalarMemory = this.memory): Value {
    const result = this.result('i64')
    const symbol = this.symbolOf(linear)
    this.effect({
      inputs: [linear],
      result,
      emit: () => memory.load(linear.expression(), width, result.local!, symbol),
    })
    return result
  }

  protected storeLinear(
    linear: Value, width: number, value: Value, memory: ScalarMemory = this.memory,
  ): void {
    const symbol = this.symbolOf(linear)
    this.effect({
      inputs: [linear, value],
      emit: () => memory.store(linear.expression(), width, value.expression(), symbol),
    })
  }

  /** At an offset in the stack segment that is cut already. */
  #loadOnStack(offset: Value, width: number): Value {
    const linear = this.#linearOf(i32.const(SS), offset, width, 'read')
    return this.loadLinear(linear, width, this.memory.stack)
  }

  #storeOnStack(offset: Value, width: number, value: Value): void {
    const linear = this.#linearOf(i32.const(SS), offset, width, 'write')
    this.storeLinear(linear, width, this.scalar(value), this.memory.stack)
  }
}
