/**
 * The Wasm reading of one instruction of a region: flags wait to be computed, and jumps end blocks
 * instead of looking records up.
 */
import { assert } from '../../base/assert.ts'
import { constantOf, i32, i64, type Expression } from '../../wasm/expression.ts'
import type { Flags } from '../../isa/backend.ts'
import type { MemoryOperand, Operand } from '../../isa/operand.ts'
import type { VectorOp } from '../../isa/vector-op.ts'
import { FS } from '../../abi/x86/registers.ts'
import { gprAt } from '../interpreter/core-fields.ts'
import type { AddressSymbol, EngineParts, InstructionShape } from '../interpreter/parts.ts'
import { slotAt, slotValue, type SlotName } from '../interpreter/reading/flag-slots.ts'
import type { LaneBounds } from '../interpreter/reading/floats.ts'
import { WasmReading } from '../interpreter/reading/reading.ts'
import { constantIn, type Locals, type Value } from '../interpreter/reading/value.ts'
import { REGION_BASE } from './base-uses.ts'
import { compare, comparisonOf } from './comparison.ts'
import type { FlagState } from './flag-state.ts'
import { type FloatLanes, type FloatWidth, KnownFloats } from './float-lanes.ts'
import type { PathFacts } from './path-facts.ts'
import type { RegionOperands, RegionSite } from './region-operands.ts'
import { X87Operations } from './x87-operations.ts'

/** Where a block may end. */
export interface Ends {
  branch(condition: Expression | undefined): void
  jump(linear: Expression): void
}

/** What is known where an instruction stands. */
export interface Path {
  readonly flags: FlagState
  readonly facts: PathFacts
}

export class RegionReading extends WasmReading {
  readonly #flags: FlagState
  readonly #facts: PathFacts
  readonly #operands: RegionOperands
  readonly #site: RegionSite
  readonly #x87: X87Operations | undefined
  /** Values whose symbols are known. */
  readonly #symbols = new Map<Value, AddressSymbol>()
  readonly #ends: Ends
  readonly #floats = new KnownFloats()
  /** Vector registers that values were read from, by their addresses. */
  readonly #sources = new Map<Value, number>()
  /** Of addresses; what is above in a register does not matter to them. */
  readonly #addressWidth: 32 | 64
  /** Inside arms of `when`, which flags they set; undefined outside. */
  #setInArms: Set<SlotName> | undefined

  constructor(
    parts: EngineParts, site: RegionSite, locals: Locals, shape: InstructionShape,
    { flags, facts }: Path, ends: Ends,
  ) {
    super(parts, site, locals, shape)
    this.#operands = site.operands
    this.#site = site
    const { x87, target, exits } = site
    this.#x87 = x87 && new X87Operations(parts, target, x87, facts.x87, exits, locals)
    this.#flags = flags
    this.#facts = facts
    this.#ends = ends
    this.#addressWidth = this.long ? 64 : 32
  }

  /** Regions of 32-bit code are of flat code. */
  protected override isFlat(segment: Expression): boolean {
    const constant = constantOf(segment)
    return typeof constant === 'number' && constant < FS
  }

  override get movesBlocks(): boolean {
    return this.addressSize === this.#addressWidth
  }

  override nextIp(): Value {
    const linear = this.loaded('i64', () => this.#operands.nextLinear())
    return this.long ? linear : this.zx(linear, 32)
  }

  override zx(a: Value, width: number): Value {
    const value = super.zx(a, width)
    // Roots name what differs by a constant in the bits that are of addresses.
    const symbol = width === 32 && !this.long ? this.#symbolOf(a) : undefined
    if (symbol) this.#symbols.set(value, symbol)
    return value
  }

  override immediate(operand: Operand): Value {
    assert(operand.kind === 'immediate', 'an immediate operand')
    return this.const(operand.value)
  }

  override sseCheck(): void {
    if (this.#facts.sseChecked) return
    super.sseCheck()
    this.#facts.sseChecked = true
  }

  override avxCheck(): void {
    if (this.#facts.avxChecked) return
    super.avxCheck()
    this.#facts.avxChecked = true
  }

  protected override readRegister(address: Expression, width: number): Value {
    const index = gprOf(address)
    const isPart = index >= 0 && this.#facts.parts.get(index) === width && !isHigh(address)
    if (isPart) return this.loaded('i64', () => this.#site.state.lowPart(address))
    const value = super.readRegister(address, width)
    const isAddress = width >= this.#addressWidth && index >= 0
    if (isAddress) this.#symbols.set(value, this.#facts.register(index))
    return value
  }

  protected override writeRegister(address: Expression, width: number, value: Value): void {
    super.writeRegister(address, width, value)
    const index = gprOf(address)
    if (index < 0) return
    if (width < 32 && !this.#setInArms && !isHigh(address)) this.#facts.parts.set(index, width)
    else this.#facts.parts.delete(index)
    const isKnown = width >= this.#addressWidth && !this.#setInArms
    this.#facts.setRegister(index, isKnown ? this.#symbolOf(value) : undefined)
  }

  protected override sumOf(operand: MemoryOperand): Value {
    const register = (index: number): Value => this.gpr(index, 64)
    let sum = operand.ripRelative ? this.#regionBase() : this.const(0)
    if (operand.base >= 0) sum = register(operand.base)
    if (operand.index >= 0) {
      const base = operand.base < 0 ? undefined : this.#symbolOf(sum)
      const index = register(operand.index)
      sum = this.add(this.shl(index, this.const(operand.scale)), sum)
      this.#symbols.set(sum, this.#facts.sum(base, this.#symbolOf(index)!, operand.scale))
    }
    const { displacement, ripRelative } = operand
    const next = ripRelative ? this.#operands.nextOffset : 0
    const offset = displacement + BigInt(next)
    const address = this.add(sum, this.const(offset))
    const symbol = this.#symbolOf(sum)
    if (symbol) this.#symbols.set(address, { ...symbol, offset: Number(offset) })
    return address
  }

  /** Not in arms: what they access may not be accessed, and tells nothing of its page. */
  protected override symbolOf(address: Value): AddressSymbol | undefined {
    return this.#setInArms ? undefined : this.#symbolOf(address)
  }

  #symbolOf(value: Value): AddressSymbol | undefined {
    const known = this.#symbols.get(value)
    if (known) return known
    const { shape } = value
    if (shape.kind === 'sum') return this.#symbolOf(shape.of)
    if (shape.kind === 'choice') {
      const [a, b] = [this.#symbolOf(shape.a), this.#symbolOf(shape.b)]
      return a?.root === b?.root ? a : undefined
    }
    if (shape.kind !== 'difference' || shape.width < this.#addressWidth) return undefined
    return constantIn(shape.b) === undefined ? undefined : this.#symbolOf(shape.a)
  }

  protected override loadRegister(address: Expression): Value {
    const value = super.loadRegister(address)
    const register = Number(constantOf(address))
    this.#sources.set(value, register)
    this.#floats.noteLanes(value, this.#facts.floats(register))
    return value
  }

  protected override storeRegister(address: Expression, value: Value): void {
    super.storeRegister(address, value)
    const register = Number(constantOf(address))
    this.#facts.setFloats(register,
      this.#setInArms ? undefined : this.#floats.lanesOfAny(value))
    for (const [source, from] of this.#sources) if (from === register) this.#sources.delete(source)
  }

  override vector(op: VectorOp, ...operands: Value[]): Value {
    const [a, b] = operands.map((operand) => this.#sources.get(operand))
    if (op === 'v128.xor' && a !== undefined && a === b) return this.vectorConst(0n)
    return super.vector(op, ...operands)
  }

  override withLane(vector: Value, width: 8 | 16 | 32 | 64, index: number, value: Value): Value {
    const result = super.withLane(vector, width, index, value)
    if (width >= 32) {
      this.#floats.noteReplaced(result, vector, width as FloatWidth, index, value)
    }
    return result
  }

  override shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    const result = super.shuffle(a, b, lanes)
    this.#floats.noteShuffle(result, a, b, lanes)
    return result
  }

  protected override get keepsBounds(): boolean {
    return true
  }

  protected override boundsOf(value: Value, width: FloatWidth): LaneBounds {
    return value.type === 'v128' ? this.#floats.lanesOf(value, width)
      : [this.#floats.scalarOf(value, width)]
  }

  protected override noteBounds(value: Value, width: FloatWidth, bounds: LaneBounds): void {
    if (this.#setInArms) return
    if (value.type === 'v128') {
      this.#noteLanes(value, { width, bounds })
      return
    }
    const [known] = bounds
    this.#floats.noteScalar(value, width, known!)
    const { shape } = value
    if (shape.kind !== 'lane' || shape.width !== width) return
    const lanes = this.#floats.lanesOf(shape.of, width).with(shape.index, known)
    this.#noteLanes(shape.of, { width, bounds: lanes })
  }

  /** Notes it of a vector, and of the register that it was read from. */
  #noteLanes(vector: Value, known: FloatLanes): void {
    this.#floats.noteLanes(vector, known)
    const register = this.#sources.get(vector)
    if (register !== undefined) this.#facts.setFloats(register, known)
  }

  override x87Check(waits: boolean): void {
    const x87 = this.#x87
    if (x87) this.effect({ inputs: [], emit: () => x87.requireUsable() })
    else super.x87Check(waits)
  }

  override x87(name: string, operands: readonly Operand[], low?: Value, high?: Value): Value {
    const x87 = this.#x87
    if (!x87) return super.x87(name, operands, low, high)
    const inputs = [low, high].map((value) => value && this.scalar(value))
    const result = this.result('i64')
    this.effect({
      inputs: inputs.filter((value) => value !== undefined), result,
      emit: () => x87.carryOut({
        name, operands, low: inputs[0]?.expression(), high: inputs[1]?.expression(),
        result: result.local!,
      }),
    })
    return result
  }

  override x87High(): Value {
    const x87 = this.#x87
    return x87 ? this.loaded('i64', () => i64.extendU(x87.storedHigh)) : super.x87High()
  }

  override x87Stores(): Value {
    return this.#x87 ? this.const(1) : super.x87Stores()
  }

  override x87Commit(): void {
    const x87 = this.#x87
    if (x87) this.effect({ inputs: [], emit: () => x87.commit() })
    else super.x87Commit()
  }

  override x87Remember(operands: readonly Operand[]): void {
    const unit = this.#site.x87
    if (!unit) {
      super.x87Remember(operands)
      return
    }
    const [memory] = operands
    const address = memory?.kind === 'memory' ? this.address(memory) : undefined
    this.effect({
      inputs: address ? [address] : [],
      emit: () => {
        unit.remember(this.#operands.offset, this.#operands.opcode)
        if (memory?.kind !== 'memory') return
        unit.rememberPointer(memory.segment, address!.expression())
      },
    })
  }

  override x87Word(which: 'control' | 'status'): Value {
    const x87 = this.#x87
    return x87 && which === 'status' ? this.loaded('i64', () => i64.extendU(x87.statusWord()))
      : super.x87Word(which)
  }

  override setX87Control(value: Value): void {
    super.setX87Control(value)
    const x87 = this.#x87
    if (x87) this.effect({ inputs: [], emit: () => x87.controlChanged() })
  }

  /** The linear address that the offsets of the region's instructions count from. */
  #regionBase(): Value {
    const value = this.loaded('i64', () => this.#operands.base)
    this.#symbols.set(value, this.#facts.register(REGION_BASE))
    return value
  }

  override setFlags(flags: Flags<Value>): void {
    if (this.#setInArms) {
      for (const name of Object.keys(flags) as SlotName[]) this.#setInArms.add(name)
      super.setFlags(flags)
      return
    }
    // DF does not wait: it is read by what does not look at flags.
    const { df, ...arithmetic } = flags
    if (df) super.setFlags({ df })
    const values = Object.entries(arithmetic).map(([name, value]) =>
      [name as SlotName, slotValue(name as SlotName, value, this)] as const)
    const comparison = comparisonOf(flags)
    this.effect({
      inputs: [...new Set(values.flatMap(([, value]) => leavesOf(value)))],
      emit: () => {
        for (const [name, value] of values) this.#flags.set(name, value)
        if (comparison) this.#flags.compare(comparison)
      },
    })
  }

  override condition(code: number): Value {
    const negative = (code & 1) === 1
    const positive = this.loaded('i32', () => {
      const { comparison } = this.#flags
      const compared = comparison && compare(code >> 1, comparison)
      return compared ?? this.conditionOfSlots(code)
    })
    return negative ? this.computed('i32', [positive], (x) => i32.eqz(x!)) : positive
  }

  override when(condition: Value, then: () => void, otherwise?: () => void): void {
    if (this.#setInArms || constantIn(condition) !== undefined) {
      super.when(condition, then, otherwise)
      return
    }
    const names = new Set<SlotName>()
    this.effect({ inputs: [], emit: () => this.#settle(names) })
    this.#setInArms = names
    super.when(condition, then, otherwise)
    this.#setInArms = undefined
  }

  override branch(target: Operand, condition?: Value): void {
    assert(target.kind === 'relative', 'a branch needs a relative target')
    const test = condition && this.boolean(condition)
    this.effect({
      inputs: test ? [test] : [],
      emit: () => this.#ends.branch(test?.expression()),
    })
  }

  override jump(target: Value): void {
    const linear = this.scalar(target)
    this.effect({ inputs: [linear], emit: () => this.#ends.jump(linear.expression()) })
  }

  protected override slot(name: SlotName): Expression {
    return this.#flags.expression(name) ?? super.slot(name)
  }

  /** Computes flags into their slots. */
  #settle(names: ReadonlySet<SlotName>): void {
    for (const name of names) {
      const value = this.#flags.expression(name)
      if (!value) continue
      this.site.state.store(i32.const(slotAt(name)), 64, value)
      this.#flags.forget(name)
    }
  }
}

/** The index of the general register at an address, or -1; high bytes count as their register. */
function gprOf(address: Expression): number {
  const place = constantOf(address)
  const index = Math.floor((Number(place) - gprAt(0)) / 8)
  return index >= 0 && index < 16 ? index : -1
}

/** Whether a general register's address is that of AH, CH, DH or BH. */
function isHigh(address: Expression): boolean {
  return (Number(constantOf(address)) & 1) === 1
}

/** The values that have no operands but are results of effects: what must be in locals. */
function leavesOf(value: Value): Value[] {
  if (constantIn(value) !== undefined) return []
  if (value.operands.length === 0) return [value]
  return value.operands.flatMap(leavesOf)
}
