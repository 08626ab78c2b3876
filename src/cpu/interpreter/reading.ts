/**
 * The Wasm reading of the semantics: what the interpreter's handlers and compiled bodies are.
 *
 * Running a definition's `execute` with a WasmReading collects steps (value.ts); `finish` writes
 * them into the handler. Scalars are i64 and booleans i32, converted where they meet.
 */
import { assert } from '../../base/assert.ts'
import { ES, RDI, RSP, SS } from '../../abi/x86/registers.ts'
import {
  call, constantOf, globalGet, i32, i64, select, simd, v128,
  type Expression, type Local,
} from '../../wasm/expression.ts'
import { atomics } from '../../wasm/expression.ts'
import type { FunctionBuilder, StoreKind } from '../../wasm/function.ts'
import type { Backend, Flags, FloatOp } from '../../isa/backend.ts'
import type { FlagName } from '../../isa/definition.ts'
import { pureNumber, pureFunctions } from '../../isa/pure.ts'
import type { Operand } from '../../isa/operand.ts'
import { vectorOps, type VectorOp } from '../../isa/vector-op.ts'
import { CoreControl, coreMap } from '../core-memory.ts'
import { CpuContext } from '../state.ts'
import { MemoryAccess } from './memory-access.ts'
import { CORE, type EngineParts, type InstructionShape, type Site } from './parts.ts'
import { countUses, emitSteps, LocalPool, Value, type Effect, type Step } from './value.ts'

const at = CpuContext.offsets

export const floatOps: readonly FloatOp[] = [
  'add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'round', 'convert', 'fromInt32', 'fromInt64',
  'toInt32', 'toInt64', 'toInt32Truncated', 'toInt64Truncated', 'compare', 'compareSignaling',
]

/** Address of the word that holds the linear address of the current code page. */
export const CODE_PAGE = coreMap.control + CoreControl.offsets.codePage

const ZERO_ADDRESS = i32.const(0)

/** Bit of a lane-wise operation's result type. */
const SCALAR_RESULTS = new Set<VectorOp>([
  'i8x16.bitmask', 'i16x8.bitmask', 'i32x4.bitmask', 'i64x2.bitmask',
])
const SCALAR_COUNT = /\.sh[lr]/

export class WasmReading implements Backend<Value> {
  readonly operandSize: 16 | 32 | 64
  readonly addressSize: 16 | 32 | 64
  readonly stackWidth: 16 | 32 | 64
  readonly long: boolean
  readonly #shape: InstructionShape
  readonly #parts: EngineParts
  readonly #site: Site
  readonly #target: FunctionBuilder
  readonly #pool: LocalPool
  readonly #memory: MemoryAccess
  /** What readForWrite learnt about where a memory operand lies. */
  readonly #places = new Map<Operand, { readonly linear: Local, readonly machine: Local,
    readonly old: Local }>()
  #steps: Step[] = []
  #left = false
  /** The state changes last, when nothing can fault any more. */
  #entersMmx = false

  constructor(parts: EngineParts, site: Site, pool: LocalPool, shape: InstructionShape) {
    this.#parts = parts
    this.#site = site
    this.#target = site.target
    this.#pool = pool
    this.#shape = shape
    this.operandSize = shape.operandSize
    this.addressSize = shape.addressSize
    this.stackWidth = shape.stackWidth
    this.long = shape.long
    this.#memory = new MemoryAccess(parts, site, pool, shape)
  }

  /** Writes the collected steps, and goes on with the next instruction unless control left. */
  finish(): void {
    this.#completeMmx()
    countUses(this.#steps)
    emitSteps(this.#steps, this.#target, this.#pool)
    if (!this.#left) this.#site.exits.next()
  }

  /** What enterMmx announced, once no memory access can fault any more. */
  #completeMmx(): void {
    if (!this.#entersMmx) return
    this.#entersMmx = false
    this.#effect({ inputs: [], emit: () => this.#target.call(this.#parts.enterMmx) })
  }

  /** Goes on with the next instruction, from inside `when`. */
  leaveByNext(): void {
    this.#effect({ inputs: [], emit: () => this.#site.exits.next() })
  }

  /** Starts the instruction again, from inside `when`. */
  leaveByAgain(): void {
    this.#effect({ inputs: [], emit: () => this.#site.exits.again() })
  }

  widthOf(operand: Operand): number {
    return operand.width
  }

  isMemory(operand: Operand): boolean {
    return operand.kind === 'memory'
  }

  immediate(operand: Operand): Value {
    assert(operand.kind === 'immediate', 'an immediate operand')
    return this.#pure('i64', [], () => this.#site.operands.immediate(operand))
  }

  // Operands.

  read(operand: Operand): Value {
    switch (operand.kind) {
      case 'immediate': return this.immediate(operand)
      case 'memory': return this.#load(this.#linear(operand), operand.width)
      default: return this.#register(this.#addressOf(operand), operand.width)
    }
  }

  readSigned(operand: Operand): Value {
    if (operand.kind === 'immediate') return this.immediate(operand)
    return this.sx(this.read(operand), operand.width)
  }

  readForWrite(operand: Operand): Value {
    if (operand.kind !== 'memory') return this.read(operand)
    const address = this.#linear(operand, true)
    const value = this.#result('i64')
    const place = {
      linear: this.#pool.take('i64'), machine: this.#pool.take('i32'), old: this.#pool.take('i64'),
    }
    this.#places.set(operand, place)
    this.#effect({
      inputs: [address],
      result: value,
      emit: () => {
        this.#target.set(place.linear, address.expression())
        this.#memory.readForWrite(place.linear, operand.width, place.machine, value.local!)
        if (this.#shape.lock) this.#target.set(place.old, value.local!)
      },
    })
    return value
  }

  write(operand: Operand, value: Value): void {
    const scalar = this.scalar(value)
    if (operand.kind !== 'memory') {
      this.#setRegister(this.#addressOf(operand), operand.width, scalar)
      return
    }
    const place = this.#places.get(operand)
    if (!place) {
      this.#store(this.#linear(operand, true), operand.width, scalar)
      return
    }
    this.#effect({
      inputs: [scalar],
      emit: () => {
        if (this.#shape.lock) {
          this.#memory.exchange(place, operand.width, scalar.expression())
        } else {
          this.#memory.writeBack(place.linear, place.machine, operand.width, scalar.expression())
        }
      },
    })
  }

  address(operand: Operand): Value {
    return this.#effective(operand)
  }

  loadAt(operand: Operand, byteOffset: Value, width: number): Value {
    const offset = this.#cut(this.add(this.#effective(operand), byteOffset))
    return this.#load(this.#linearOf(this.#segmentOf(operand), offset, width, false), width)
  }

  storeAt(operand: Operand, byteOffset: Value, width: number, value: Value): void {
    const offset = this.#cut(this.add(this.#effective(operand), byteOffset))
    this.#store(this.#linearOf(this.#segmentOf(operand), offset, width, true), width,
      this.scalar(value))
  }

  gpr(index: number, width: number): Value {
    return this.#register(i32.const(at.gpr + index * 8), width)
  }

  setGpr(index: number, width: number, value: Value): void {
    this.#setRegister(i32.const(at.gpr + index * 8), width, this.scalar(value))
  }

  get segment(): number {
    return -1
  }

  load(segment: number, offset: Value, width: number): Value {
    const linear = this.#linearOf(this.#segmentNumber(segment), this.#cut(offset), width, false)
    return this.#load(linear, width)
  }

  store(segment: number, offset: Value, width: number, value: Value): void {
    const linear = this.#linearOf(this.#segmentNumber(segment), this.#cut(offset), width, true)
    this.#store(linear, width, this.scalar(value))
  }

  push(width: number, value: Value): void {
    const pointer = this.#stackCut(this.sub(this.gpr(RSP, this.stackWidth), this.const(width / 8)))
    this.#store(this.#linearOf(i32.const(SS), pointer, width, true), width, this.scalar(value),
      true)
    this.setGpr(RSP, this.stackWidth, pointer)
  }

  pop(width: number): Value {
    const pointer = this.gpr(RSP, this.stackWidth)
    const linear = this.#linearOf(i32.const(SS), pointer, width, false)
    const value = this.#load(linear, width, true)
    this.setGpr(RSP, this.stackWidth, this.add(pointer, this.const(width / 8)))
    return value
  }

  loadStack(offset: Value, width: number): Value {
    const linear = this.#linearOf(i32.const(SS), this.#stackCut(offset), width, false)
    return this.#load(linear, width, true)
  }

  storeStack(offset: Value, width: number, value: Value): void {
    const linear = this.#linearOf(i32.const(SS), this.#stackCut(offset), width, true)
    this.#store(linear, width, this.scalar(value), true)
  }

  // Values.

  const(value: bigint | number): Value {
    const bits = BigInt.asUintN(64, BigInt(value))
    return new Value('i64', [], () => i64.const(bits), { kind: 'constant', value: bits })
  }

  add(a: Value, b: Value): Value { return this.#binary(i64.add, a, b) }
  sub(a: Value, b: Value): Value { return this.#binary(i64.sub, a, b) }
  mul(a: Value, b: Value): Value { return this.#binary(i64.mul, a, b) }
  shl(a: Value, count: Value): Value { return this.#binary(i64.shl, a, count) }
  shr(a: Value, count: Value): Value { return this.#binary(i64.shrU, a, count) }
  sar(a: Value, count: Value): Value { return this.#binary(i64.shrS, a, count) }
  rotl(a: Value, count: Value): Value { return this.#binary(i64.rotl, a, count) }
  rotr(a: Value, count: Value): Value { return this.#binary(i64.rotr, a, count) }

  mulHighUnsigned(a: Value, b: Value): Value {
    return this.#binary((x, y) => call(this.#parts.mulHighUnsigned, x, y), a, b)
  }

  mulHighSigned(a: Value, b: Value): Value {
    return this.#binary((x, y) => call(this.#parts.mulHighSigned, x, y), a, b)
  }

  divideUnsigned(high: Value, low: Value, divisor: Value): Value {
    return this.#divide(this.#parts.divideQuotient, high, low, divisor)
  }

  remainderUnsigned(high: Value, low: Value, divisor: Value): Value {
    return this.#divide(this.#parts.divideRemainder, high, low, divisor)
  }

  and(a: Value, b: Value): Value { return this.#logic(i32.and, i64.and, a, b) }
  or(a: Value, b: Value): Value { return this.#logic(i32.or, i64.or, a, b) }
  xor(a: Value, b: Value): Value { return this.#logic(i32.xor, i64.xor, a, b) }

  not(a: Value): Value {
    return this.#pure('i64', [this.scalar(a)], (x) => i64.xor(x!, i64.const(-1n)))
  }

  neg(a: Value): Value {
    return this.#pure('i64', [this.scalar(a)], (x) => i64.sub(i64.const(0n), x!))
  }

  clz(a: Value): Value { return this.#pure('i64', [this.scalar(a)], (x) => i64.clz(x!)) }
  ctz(a: Value): Value { return this.#pure('i64', [this.scalar(a)], (x) => i64.ctz(x!)) }
  popcnt(a: Value): Value { return this.#pure('i64', [this.scalar(a)], (x) => i64.popcnt(x!)) }

  zx(a: Value, width: number): Value {
    const scalar = this.scalar(a)
    if (width === 64 || a.type === 'i32') return scalar
    const mask = (1n << BigInt(width)) - 1n
    return this.#pure('i64', [scalar], (x) => i64.and(x!, i64.const(mask)))
  }

  sx(a: Value, width: number): Value {
    const scalar = this.scalar(a)
    switch (width) {
      case 64: return scalar
      case 32: return this.#pure('i64', [scalar], (x) => i64.extend32(x!))
      case 16: return this.#pure('i64', [scalar], (x) => i64.extend16(x!))
      case 8: return this.#pure('i64', [scalar], (x) => i64.extend8(x!))
      default: {
        const shift = i64.const(64 - width)
        return this.#pure('i64', [scalar], (x) => i64.shrS(i64.shl(x!, shift), shift))
      }
    }
  }

  bitOf(a: Value, index: number): Value {
    const scalar = this.scalar(a)
    return this.#make(new Value('i32', [scalar],
      (x) => i32.and(i32.wrap(i64.shrU(x!, i64.const(index))), i32.const(1)),
      { kind: 'bit', of: scalar, index }))
  }

  isZero(a: Value): Value {
    if (a.type === 'i32') return this.#pure('i32', [a], (x) => i32.eqz(x!))
    return this.#make(new Value('i32', [a], (x) => i64.eqz(x!), { kind: 'isZero', of: a }))
  }

  equal(a: Value, b: Value): Value { return this.#compare(i64.eq, a, b) }
  lessUnsigned(a: Value, b: Value): Value { return this.#compare(i64.ltU, a, b) }
  lessSigned(a: Value, b: Value): Value { return this.#compare(i64.ltS, a, b) }

  evenParity(a: Value): Value {
    const scalar = this.scalar(a)
    return this.#make(new Value('i32', [scalar],
      (x) => i32.eqz(i32.and(
        i32.popcnt(i32.and(i32.wrap(x!), i32.const(0xff))), i32.const(1))),
      { kind: 'parity', of: scalar }))
  }

  select(condition: Value, a: Value, b: Value): Value {
    const test = this.#condition(condition)
    const bothBool = a.type === 'i32' && b.type === 'i32'
    const x = a.type === 'v128' || bothBool ? a : this.scalar(a)
    const y = b.type === 'v128' || bothBool ? b : this.scalar(b)
    return this.#pure(x.type, [x, y, test], (p, q, c) => select(p!, q!, c!))
  }

  // Flags.

  flag(name: FlagName | 'df'): Value {
    const slot = (): Expression => i64.load(CORE, ZERO_ADDRESS, at[name])
    const make = (): Expression => {
      switch (name) {
        case 'zf': return i64.eqz(slot())
        case 'sf': case 'of': return i64.ltS(slot(), i64.const(0n))
        case 'pf': return i32.eqz(i32.and(i32.popcnt(i32.load8U(CORE, ZERO_ADDRESS, at.pf)),
          i32.const(1)))
        case 'af': return i32.and(i32.shrU(i32.load(CORE, ZERO_ADDRESS, at.af), i32.const(4)),
          i32.const(1))
        case 'cf': case 'df': return i32.load(CORE, ZERO_ADDRESS, at[name])
      }
    }
    return this.#loaded('i32', make)
  }

  setFlags(flags: Flags<Value>): void {
    for (const [name, value] of Object.entries(flags) as [FlagName | 'df', Value][]) {
      const stored = slotValue(name, value, this)
      this.#effect({
        inputs: [stored],
        emit: () => this.#target.store('i64', CORE, ZERO_ADDRESS, stored.expression(), at[name]),
      })
    }
  }

  resultFlags(result: Value, width: number): Flags<Value> {
    const cut = this.zx(result, width)
    return { zf: this.isZero(cut), sf: this.bitOf(cut, width - 1), pf: this.evenParity(cut) }
  }

  condition(code: number): Value {
    const positive = this.#positiveCondition(code >> 1)
    return code & 1 ? this.#pure('i32', [positive], (x) => i32.eqz(x!)) : positive
  }

  #positiveCondition(group: number): Value {
    const signsDiffer = (): Expression => i64.ltS(
      i64.xor(i64.load(CORE, ZERO_ADDRESS, at.sf), i64.load(CORE, ZERO_ADDRESS, at.of)),
      i64.const(0n))
    const zero = (): Expression => i64.eqz(i64.load(CORE, ZERO_ADDRESS, at.zf))
    switch (group) {
      case 0: return this.flag('of')
      case 1: return this.flag('cf')
      case 2: return this.flag('zf')
      case 3:
        return this.#loaded('i32', () => i32.or(i32.load(CORE, ZERO_ADDRESS, at.cf), zero()))
      case 4: return this.flag('sf')
      case 5: return this.flag('pf')
      case 6: return this.#loaded('i32', signsDiffer)
      default: return this.#loaded('i32', () => i32.or(signsDiffer(), zero()))
    }
  }

  // Control.

  when(condition: Value, then: () => void, otherwise?: () => void): void {
    const test = this.#condition(condition)
    const outer = this.#steps
    const yes: Step[] = this.#steps = []
    then()
    const no: Step[] = this.#steps = []
    otherwise?.()
    this.#steps = outer
    const emitArm = (steps: Step[]) => (): void => emitSteps(steps, this.#target, this.#pool)
    this.#effect({
      inputs: [test],
      nested: [yes, no],
      emit: () => this.#target.if(test.expression(), emitArm(yes),
        no.length > 0 ? emitArm(no) : undefined),
    })
  }

  nextIp(): Value {
    const linear = this.#loaded('i64', () => this.#site.operands.nextLinear())
    if (this.long) return linear
    const base = this.#loaded('i64', () => i64.load(CORE, ZERO_ADDRESS, segmentBase(1)))
    return this.zx(this.sub(linear, base), 32)
  }

  branch(target: Operand, condition?: Value): void {
    assert(target.kind === 'relative', 'a branch needs a relative target')
    const { operands, exits } = this.#site
    const resolve = (): void => {
      const record = this.#pool.take('i32')
      operands.branchTo(target, record)
      exits.goTo(record)
    }
    if (!condition) {
      this.#effect({ inputs: [], emit: resolve })
      this.#left = true
      return
    }
    const test = this.#condition(condition)
    this.#effect({
      inputs: [test],
      emit: () => this.#target.if(test.expression(), resolve),
    })
  }

  jump(target: Value): void {
    const scalar = this.scalar(target)
    this.#effect({
      inputs: [scalar],
      emit: () => this.#site.exits.goTo(call(this.#parts.jump, scalar.expression())),
    })
    this.#left = true
  }

  faultIf(condition: Value, vector: number, errorCode?: number): void {
    const test = this.#condition(condition)
    this.#effect({
      inputs: [test],
      emit: () => this.#target.if(test.expression(), () => {
        this.#target.call(this.#parts.raise, i32.const(vector), i32.const(errorCode ?? 0),
          i32.const(errorCode === undefined ? 0 : 1))
        this.#site.exits.stop()
      }),
    })
  }

  // Vectors.

  readVector(operand: Operand): Value {
    return this.#readVector(operand, false)
  }

  readVectorAligned(operand: Operand): Value {
    return this.#readVector(operand, true)
  }

  writeVector(operand: Operand, value: Value): void {
    this.#writeVector(operand, value, false)
  }

  writeVectorAligned(operand: Operand, value: Value): void {
    this.#writeVector(operand, value, true)
  }

  xmm(index: number): Value {
    return this.#loaded('v128', () => v128.load(CORE, i32.const(at.vector + index * 32)))
  }

  vectorConst(bits: bigint): Value {
    return new Value('v128', [], () => v128.const(bits), { kind: 'constant', value: bits })
  }

  vector(op: VectorOp, ...operands: Value[]): Value {
    const opcode = vectorOps[op]
    if (SCALAR_RESULTS.has(op)) {
      return this.scalar(this.#pure('i32', operands, (x) => simd('i32', opcode, [x!])))
    }
    if (SCALAR_COUNT.test(op)) {
      const count = this.scalar(operands[1]!)
      return this.#pure('v128', [operands[0]!, count],
        (x, n) => simd('v128', opcode, [x!, i32.wrap(n!)]))
    }
    return this.#pure('v128', operands, (...x) => simd('v128', opcode, x))
  }

  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    return this.#pure('v128', [a, b], (x, y) => simd('v128', 13, [x!, y!], lanes))
  }

  lane(vector: Value, width: 8 | 16 | 32 | 64, index: number): Value {
    if (width === 64) return this.#pure('i64', [vector], (x) => simd('i64', 29, [x!], [index]))
    const opcode = width === 8 ? 22 : width === 16 ? 25 : 27
    return this.#pure('i64', [vector], (x) => i64.extendU(simd('i32', opcode, [x!], [index])))
  }

  withLane(vector: Value, width: 8 | 16 | 32 | 64, index: number, value: Value): Value {
    const scalar = this.scalar(value)
    const opcode = width === 8 ? 23 : width === 16 ? 26 : width === 32 ? 28 : 30
    return this.#pure('v128', [vector, scalar],
      (x, y) => simd('v128', opcode, [x!, width === 64 ? y! : i32.wrap(y!)], [index]))
  }

  vectorOf(low: Value): Value {
    return this.withLane(this.vectorConst(0n), 64, 0, low)
  }

  bitselect(a: Value, b: Value, mask: Value): Value {
    return this.#pure('v128', [a, b, mask], (x, y, z) => simd('v128', 82, [x!, y!, z!]))
  }

  enterMmx(): void {
    this.#check(this.#parts.mmxCheck)
    this.#entersMmx = true
  }

  // Floating point and pure functions.

  float(op: FloatOp, width: 32 | 64, ...operands: Value[]): Value {
    const number = floatOps.indexOf(op) | (width === 64 ? 0x100 : 0)
    const inputs = operands.map((operand) => this.scalar(operand))
    const result = this.#result('i64')
    this.#effect({
      inputs,
      result,
      emit: () => this.#target.set(result.local!, call(this.#parts.float, i32.const(number),
        inputs[0]!.expression(), inputs[1]?.expression() ?? i64.const(0n))),
    })
    return result
  }

  floatCheck(): void {
    // The processor has left x87 mode even when the conversion raises #XM.
    this.#completeMmx()
    this.#check(this.#parts.floatCheck)
  }

  sseCheck(): void {
    this.#check(this.#parts.sseCheck)
  }

  pure(name: string, ...operands: Value[]): Value {
    const { operands: kinds, result: resultKind } = pureFunctions[name]!
    const inputs = operands.map((operand, i) => kinds[i] === 'v' ? operand : this.scalar(operand))
    const result = this.#result(resultKind === 'v' ? 'v128' : 'i64')
    this.#effect({
      inputs,
      result,
      emit: () => {
        inputs.forEach((input, i) => {
          const kind: StoreKind = input.type === 'v128' ? 'v128' : 'i64'
          this.#target.store(kind, CORE, ZERO_ADDRESS, input.expression(),
            coreMap.scratch + 16 * i)
        })
        this.#target.call(this.#parts.pure, i32.const(pureNumber(name)))
        const from = i32.const(coreMap.scratch)
        this.#target.set(result.local!,
          resultKind === 'v' ? v128.load(CORE, from) : i64.load(CORE, from))
      },
    })
    return result
  }

  // The reading's own.

  /** A value computed from others. */
  #pure(
    type: Value['type'], operands: readonly Value[],
    make: (...operands: Expression[]) => Expression,
  ): Value {
    return this.#make(new Value(type, operands, make))
  }

  #make(value: Value): Value {
    this.#steps.push(value)
    return value
  }

  #effect(effect: Effect): void {
    this.#steps.push(effect)
  }

  #result(type: Value['type']): Value {
    return new Value(type, [], () => { throw new Error('a result lives in a local') })
  }

  /** A value read from core memory, here and now. */
  #loaded(type: Value['type'], make: () => Expression): Value {
    const result = this.#result(type)
    this.#effect({
      inputs: [], result, droppable: true,
      emit: () => this.#target.set(result.local!, make()),
    })
    return result
  }

  /** A boolean or scalar as a 64-bit scalar. */
  scalar(value: Value): Value {
    assert(value.type !== 'v128', 'a scalar is wanted')
    if (value.type === 'i64') return value
    return this.#pure('i64', [value], (x) => i64.extendU(x!))
  }

  #condition(value: Value): Value {
    if (value.type === 'i32') return value
    return this.#pure('i32', [value], (x) => i64.ne(x!, i64.const(0n)))
  }

  #binary(make: (a: Expression, b: Expression) => Expression, a: Value, b: Value): Value {
    return this.#pure('i64', [this.scalar(a), this.scalar(b)], (x, y) => make(x!, y!))
  }

  #logic(
    narrow: (a: Expression, b: Expression) => Expression,
    wide: (a: Expression, b: Expression) => Expression, a: Value, b: Value,
  ): Value {
    const x = this.#asBoolean(a)
    const y = this.#asBoolean(b)
    if (x && y && (a.type === 'i32' || b.type === 'i32')) {
      return this.#pure('i32', [x, y], (p, q) => narrow(p!, q!))
    }
    return this.#binary(wide, a, b)
  }

  #asBoolean(value: Value): Value | undefined {
    if (value.type === 'i32') return value
    if (value.shape.kind !== 'constant' || value.shape.value > 1n) return undefined
    const bit = Number(value.shape.value)
    return new Value('i32', [], () => i32.const(bit), value.shape)
  }

  #compare(make: (a: Expression, b: Expression) => Expression, a: Value, b: Value): Value {
    return this.#pure('i32', [this.scalar(a), this.scalar(b)], (x, y) => make(x!, y!))
  }

  #divide(
    target: EngineParts['divideQuotient'], high: Value, low: Value, divisor: Value,
  ): Value {
    const operands = [high, low, divisor].map((value) => this.scalar(value))
    return this.#pure('i64', operands, (h, l, d) => call(target, h!, l!, d!))
  }

  #check(target: { readonly index: number }): void {
    this.#effect({
      inputs: [],
      emit: () => {
        this.#target.call(target)
        this.#target.if(globalGet(this.#parts.stopped, 'i32'), () => this.#site.exits.stop())
      },
    })
  }

  /** The address in core memory of a register operand. */
  #addressOf(operand: Operand): Expression {
    return this.#site.operands.register(operand)
  }

  #register(address: Expression, width: number): Value {
    return this.#loaded('i64', () => {
      switch (width) {
        case 8: return i64.load8U(CORE, address)
        case 16: return i64.load16U(CORE, address)
        case 32: return i64.load32U(CORE, address)
        default: return i64.load(CORE, address)
      }
    })
  }

  #setRegister(address: Expression, width: number, value: Value): void {
    const stored = width === 32 ? this.zx(value, 32) : value
    const kind: StoreKind = width === 8 ? 'i64As8' : width === 16 ? 'i64As16' : 'i64'
    this.#effect({
      inputs: [stored],
      emit: () => this.#target.store(kind, CORE, address, stored.expression()),
    })
  }

  /** The effective address of a memory operand, cut to the address size. */
  #effective(operand: Operand): Value {
    assert(operand.kind === 'memory', 'an address needs memory')
    if (this.#shape.string) return this.gpr(operand.base, this.addressSize)
    const { addressing } = this.#shape
    const address = this.#loaded('i64',
      () => this.#site.operands.effective(operand, addressing !== 'base'))
    return this.#cut(address)
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
    if (this.#shape.string && operand.base === RDI) return i32.const(ES)
    return this.#site.operands.segment()
  }

  #segmentNumber(segment: number): Expression {
    return segment < 0
      ? this.#site.operands.segment()
      : i32.const(segment)
  }

  /** The linear address of the memory operand, with segment checks outside 64-bit code. */
  #linear(operand: Operand, write = false): Value {
    const offset = this.#effective(operand)
    const { addressing, string } = this.#shape
    if (string) return this.#linearOf(this.#segmentOf(operand), offset, operand.width, write)
    if (addressing === 'base' || addressing === 'indexed') return offset
    return this.#linearOf(this.#segmentOf(operand), offset, operand.width, write)
  }

  #linearOf(segment: Expression, offset: Value, width: number, write: boolean): Value {
    if (this.long) {
      const constant = constantOf(segment)
      if (typeof constant === 'number' && constant < 4) return offset
      const base = this.#loaded('i64', () => i64.load(CORE,
        i32.shl(segment, i32.const(4)), at.segments))
      return this.#flat(base, offset, segment)
    }
    const result = this.#result('i64')
    this.#effect({
      inputs: [offset],
      result,
      emit: () => {
        this.#target.set(result.local!, call(this.#parts.segmentLinear, segment,
          offset.expression(), i32.const(width / 8), i32.const(write ? 1 : 0)))
        this.#target.if(globalGet(this.#parts.stopped, 'i32'), () => this.#site.exits.stop())
      },
    })
    return result
  }

  /** In 64-bit code only FS and GS have a base; the others' bases are ignored. */
  #flat(base: Value, offset: Value, segment: Expression): Value {
    const known = typeof constantOf(segment) === 'number'
    const added = this.add(base, offset)
    if (known || this.#shape.addressing === 'segmented') return added
    const isFlat = this.#loaded('i32', () => i32.ltU(segment, i32.const(4)))
    return this.select(isFlat, offset, added)
  }

  #load(linear: Value, width: number, onStack = false): Value {
    const result = this.#result('i64')
    const load = (): void => this.#memory.load(linear.expression(), width, result.local!)
    this.#effect({
      inputs: [linear],
      result,
      emit: onStack ? () => this.#memory.onStack(load) : load,
    })
    return result
  }

  #store(linear: Value, width: number, value: Value, onStack = false): void {
    const store = (): void =>
      this.#memory.store(linear.expression(), width, value.expression())
    this.#effect({
      inputs: [linear, value],
      emit: onStack ? () => this.#memory.onStack(store) : store,
    })
  }

  #readVector(operand: Operand, aligned: boolean): Value {
    if (operand.kind === 'memory') {
      const linear = this.#linear(operand)
      if (operand.width !== 128) {
        return this.vectorOf(this.#load(linear, operand.width))
      }
      const result = this.#result('v128')
      this.#effect({
        inputs: [linear],
        result,
        emit: () => this.#memory.loadVector(linear.expression(), aligned, result.local!),
      })
      return result
    }
    if (operand.kind === 'gpr' || operand.kind === 'immediate') {
      return this.vectorOf(this.read(operand))
    }
    const address = this.#addressOf(operand)
    if (operand.kind === 'mm') {
      return this.vectorOf(this.#loaded('i64', () => i64.load(CORE, address)))
    }
    const whole = this.#loaded('v128', () => v128.load(CORE, address))
    if (operand.width >= 128 || operand.width === 0) return whole
    return this.vectorOf(this.zx(this.lane(whole, 64, 0), operand.width))
  }

  #writeVector(operand: Operand, value: Value, aligned: boolean): void {
    if (operand.kind === 'memory') {
      const linear = this.#linear(operand)
      if (operand.width !== 128) {
        this.#store(linear, operand.width, this.lane(value, 64, 0))
        return
      }
      this.#effect({
        inputs: [linear, value],
        emit: () => this.#memory.storeVector(linear.expression(), aligned, value.expression()),
      })
      return
    }
    if (operand.kind === 'gpr') {
      this.write(operand, this.lane(value, 64, 0))
      return
    }
    const address = this.#addressOf(operand)
    const isMmx = operand.kind === 'mm'
    const stored = isMmx ? this.lane(value, 64, 0) : value
    this.#effect({
      inputs: [stored],
      emit: () => {
        this.#target.store(isMmx ? 'i64' : 'v128', CORE, address, stored.expression())
        // An MMX write sets sign and exponent of the x87 register it lies in to all ones.
        if (isMmx) this.#target.store('i64As16', CORE, address, i64.const(0xffff), 8)
      },
    })
  }
}

/** Address of a segment register's base in core memory. */
function segmentBase(segment: number): number {
  return at.segments + segment * 16
}

/** The form in which a flag's slot holds `value`; see state.ts. */
function slotValue(name: FlagName | 'df', value: Value, m: WasmReading): Value {
  const { shape } = value
  switch (name) {
    case 'zf':
      return shape.kind === 'isZero' ? shape.of : m.scalar(m.xor(m.zx(value, 1), m.const(1)))
    case 'sf': case 'of':
      return shape.kind === 'bit'
        ? shape.index === 63 ? shape.of : m.shl(shape.of, m.const(63 - shape.index))
        : m.shl(value, m.const(63))
    case 'pf':
      return shape.kind === 'parity' ? shape.of : m.scalar(m.xor(m.zx(value, 1), m.const(1)))
    case 'af':
      return shape.kind === 'bit' && shape.index === 4 ? shape.of : m.shl(value, m.const(4))
    case 'cf': case 'df':
      return m.scalar(value)
  }
}
