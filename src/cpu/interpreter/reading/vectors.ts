/**
 * Vectors and pure functions in the Wasm reading.
 */
import { i32, i64, simd, v128, type Expression } from '../../../wasm/expression.ts'
import type { StoreKind } from '../../../wasm/function.ts'
import type { FunctionReference } from '../../../wasm/module.ts'
import type { Operand } from '../../../isa/operand.ts'
import { pureFunctions, pureNumber } from '../../../isa/pure.ts'
import { vectorOps, type VectorOp } from '../../../isa/vector-op.ts'
import { coreMap } from '../../core-memory.ts'
import { CpuContext } from '../../state.ts'
import { xmmAt, Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'
import { OperandReading } from './operands.ts'
import { constantIn, type Shape, Value } from './value.ts'
import {
  bytesOf, foldShuffle, foldVectors, lanesOfMask, vectorIdentity, vectorOfBytes,
} from './vector-folding.ts'

/** Lane-wise operations that yield a scalar, and those whose second operand is one. */
const SCALAR_RESULTS = new Set<VectorOp>([
  'i8x16.bitmask', 'i16x8.bitmask', 'i32x4.bitmask', 'i64x2.bitmask',
])
const SCALAR_COUNT = /\.sh[lr]/

/** Where bytes of a vector, those of `bytes` that are its, were picked from. */
function originOf(
  vector: Value, bytes: readonly number[],
): { readonly of: Value, readonly bytes: readonly number[] } {
  const { shape } = vector
  if (shape.kind !== 'picked') return { of: vector, bytes }
  const isIts = (byte: number): boolean => byte >= 0 && byte < 16
  const origins = bytes.map((byte) => isIts(byte) ? shape.bytes[byte]! : byte)
  return bytes.some((byte, at) => isIts(byte) && !isIts(origins[at]!)) ? { of: vector, bytes }
    : { of: shape.of, bytes: origins }
}

export abstract class VectorReading extends OperandReading {
  /** The x87 state changes last, when nothing can fault any more. */
  #entersMmx = false

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
    return this.loadRegister(i32.const(xmmAt(index)))
  }

  vectorConst(bits: bigint): Value {
    return new Value('v128', [], () => v128.const(bits), { kind: 'constant', value: bits })
  }

  vector(op: VectorOp, ...operands: Value[]): Value {
    const opcode = vectorOps[op]
    const folded = this.#folded(op, operands)
    if (folded) return folded
    if (SCALAR_RESULTS.has(op)) {
      return this.scalar(this.computed('i32', operands, (x) => simd('i32', opcode, [x!])))
    }
    if (SCALAR_COUNT.test(op)) {
      const count = this.scalar(operands[1]!)
      return this.computed('v128', [operands[0]!, count],
        (x, n) => simd('v128', opcode, [x!, i32.wrap(n!)]))
    }
    return this.computed('v128', operands, (...x) => simd('v128', opcode, x))
  }

  /** What it comes to where an operand is known. */
  #folded(op: VectorOp, [a, b]: readonly Value[]): Value | undefined {
    if (!a || !b) return undefined
    const [x, y] = [constantIn(a), constantIn(b)]
    if (y === undefined) return op === 'v128.or' ? this.#joined(a, b) : undefined
    if (x !== undefined) {
      const known = foldVectors(op, x, y)
      return known === undefined ? undefined : this.vectorConst(known)
    }
    if (op === 'i8x16.swizzle') return this.#picked(a, bytesOf(y))
    const same = vectorIdentity(op, y)
    return same === 'same' ? a : same && this.vectorConst(0n)
  }

  #picked(of: Value, bytes: readonly number[]): Value {
    if (bytes.every((byte) => byte < 16)) return this.shuffle(of, of, bytes)
    if (bytes.every((byte) => byte >= 16)) return this.vectorConst(0n)
    return this.make(new Value('v128', [of, this.vectorConst(vectorOfBytes(bytes))],
      (x, y) => simd('v128', vectorOps['i8x16.swizzle'], [x!, y!]), { kind: 'picked', of, bytes }))
  }

  /** The disjunction of two vectors, where one has bytes only where the other has none. */
  #joined(a: Value, b: Value): Value | undefined {
    if (constantIn(a) === 0n) return b
    if (a.shape.kind !== 'picked' || b.shape.kind !== 'picked') return undefined
    const { of, bytes } = b.shape
    const lanes = a.shape.bytes.map((byte, at) =>
      byte < 16 ? (bytes[at]! < 16 ? -1 : byte) : bytes[at]! < 16 ? bytes[at]! + 16 : -1)
    return lanes.includes(-1) ? undefined : this.shuffle(a.shape.of, of, lanes)
  }

  shuffle(a: Value, b: Value, lanes: readonly number[]): Value {
    const [x, y] = [constantIn(a), constantIn(b)]
    if (x !== undefined && y !== undefined) return this.vectorConst(foldShuffle(x, y, lanes))
    const [first, second] = [originOf(a, lanes), originOf(b, lanes.map((lane) => lane - 16))]
    return this.#shuffled(first.of, second.of, lanes.map((lane, at) =>
      lane < 16 ? first.bytes[at]! : second.bytes[at]! + 16))
  }

  #shuffled(a: Value, b: Value, lanes: readonly number[]): Value {
    const make = (x?: Expression, y?: Expression): Expression => simd('v128', 13, [x!, y!], lanes)
    const isOfOne = a === b || lanes.every((lane) => lane < 16)
    if (!isOfOne && lanes.some((lane) => lane < 16)) return this.computed('v128', [a, b], make)
    const of = isOfOne ? a : b
    const bytes = lanes.map((lane) => lane % 16)
    if (bytes.every((byte, at) => byte === at)) return of
    return this.make(new Value('v128', [of, of], make, { kind: 'picked', of, bytes }))
  }

  lane(vector: Value, width: 8 | 16 | 32 | 64, index: number): Value {
    if (index === 0 && vector.shape.kind === 'low' && width >= vector.shape.width) {
      return vector.shape.of
    }
    const shape: Shape = { kind: 'lane', of: vector, width, index }
    if (width === 64) {
      return this.make(new Value('i64', [vector], (x) => simd('i64', 29, [x!], [index]), shape))
    }
    const opcode = width === 8 ? 22 : width === 16 ? 25 : 27
    return this.make(new Value('i64', [vector],
      (x) => i64.extendU(simd('i32', opcode, [x!], [index])), shape))
  }

  withLane(vector: Value, width: 8 | 16 | 32 | 64, index: number, value: Value): Value {
    if (value.shape.kind === 'float' && width >= 32) {
      const float = value.shape.of
      if (float.type === (width === 64 ? 'f64' : 'f32')) {
        return this.computed('v128', [vector, float],
          (x, y) => simd('v128', width === 64 ? 34 : 32, [x!, y!], [index]))
      }
    }
    const scalar = this.scalar(value)
    const opcode = width === 8 ? 23 : width === 16 ? 26 : width === 32 ? 28 : 30
    return this.computed('v128', [vector, scalar],
      (x, y) => simd('v128', opcode, [x!, width === 64 ? y! : i32.wrap(y!)], [index]))
  }

  vectorOf(low: Value): Value {
    return this.#vectorOf(low, 64)
  }

  /** A scalar's bits as a float of the width, if they come from one or from a lane. */
  protected floatIn({ shape }: Value, width: 32 | 64): Value | undefined {
    const type = width === 64 ? 'f64' : 'f32'
    if (shape.kind === 'float' && shape.of.type === type) return shape.of
    if (shape.kind !== 'lane' || shape.width !== width) return undefined
    return this.computed(type, [shape.of],
      (x) => simd(type, width === 64 ? 33 : 31, [x!], [shape.index]))
  }

  /** A scalar of `width` bits, zero-extended, in a vector. */
  #vectorOf(low: Value, width: number): Value {
    const known = constantIn(low)
    if (known !== undefined) return this.vectorConst(known)
    const { type, operands, make } = this.withLane(this.vectorConst(0n), 64, 0, low)
    return this.make(new Value(type, operands, make, { kind: 'low', of: this.scalar(low), width }))
  }

  bitselect(a: Value, b: Value, mask: Value): Value {
    const known = constantIn(mask)
    const lanes = known === undefined ? undefined : lanesOfMask(known)
    if (lanes) return this.shuffle(a, b, lanes)
    return this.computed('v128', [a, b, mask], (x, y, z) => simd('v128', 82, [x!, y!, z!]))
  }

  enterMmx(): void {
    this.check(this.parts.mmxCheck)
    this.#entersMmx = true
  }

  leaveMmx(): void {
    this.check(this.parts.mmxCheck)
    this.effect({
      inputs: [],
      emit: () => {
        this.target.call(this.parts.enterMmx)
        this.target.store('i32As8', CORE, Z, i32.const(0), CpuContext.offsets.x87Tags)
      },
    })
  }

  pure(name: string, ...operands: Value[]): Value {
    const { operands: kinds, result: resultKind } = pureFunctions[name]!
    const inputs = operands.map((operand, i) => kinds[i] === 'v' ? operand : this.scalar(operand))
    const result = this.result(resultKind === 'v' ? 'v128' : 'i64')
    this.effect({
      inputs,
      result,
      emit: () => {
        inputs.forEach((input, i) => {
          const kind: StoreKind = input.type === 'v128' ? 'v128' : 'i64'
          this.target.store(kind, CORE, Z, input.expression(),
            coreMap.scratch + 16 * i)
        })
        this.target.call(this.parts.pure, i32.const(pureNumber(name)))
        const from = i32.const(coreMap.scratch)
        this.target.set(result.local!,
          resultKind === 'v' ? v128.load(CORE, from) : i64.load(CORE, from))
      },
    })
    return result
  }

  protected get entersMmx(): boolean {
    return this.#entersMmx
  }

  /** What enterMmx announced, once no memory access can fault any more. */
  protected completeMmx(): void {
    if (!this.#entersMmx) return
    this.#entersMmx = false
    this.effect({ inputs: [], emit: () => this.target.call(this.parts.enterMmx) })
  }

  /** The same where `condition` is not zero. */
  protected checkIf(condition: () => Expression, target: FunctionReference): void {
    this.effect({
      inputs: [],
      emit: () => this.target.ifUnlikely(condition(), () => {
        this.target.call(target)
        this.memory.leaveIfStopped()
      }),
    })
  }

  /** Calls a function that may note an exception. */
  protected check(target: FunctionReference): void {
    this.effect({
      inputs: [],
      emit: () => {
        this.target.call(target)
        this.memory.leaveIfStopped()
      },
    })
  }

  /** 128 bits of a vector register. */
  protected loadRegister(address: Expression): Value {
    return this.loaded('v128', () => this.site.state.loadVector(address))
  }

  protected storeRegister(address: Expression, value: Value): void {
    this.effect({
      inputs: [value],
      emit: () => this.site.state.storeVector(address, value.expression()),
    })
  }

  #readVector(operand: Operand, aligned: boolean): Value {
    if (operand.kind === 'memory') {
      const linear = this.linearAddress(operand)
      const { width } = operand
      const symbol = this.symbolOf(linear)
      if (width === 32 || width === 64) {
        const result = this.result('v128', { kind: 'zeroAbove', width })
        this.effect({
          inputs: [linear],
          result,
          emit: () => this.memory.loadLow(linear.expression(), width, result.local!, symbol),
        })
        return result
      }
      if (width !== 128) return this.#vectorOf(this.loadLinear(linear, width), width)
      const result = this.result('v128')
      this.effect({
        inputs: [linear],
        result,
        emit: () => this.memory.loadVector(linear.expression(), aligned, result.local!, symbol),
      })
      return result
    }
    if (operand.kind === 'gpr' || operand.kind === 'immediate') {
      return this.vectorOf(this.read(operand))
    }
    const address = this.registerAddress(operand)
    if (operand.kind === 'mm') {
      return this.vectorOf(this.loaded('i64', () => i64.load(CORE, address)))
    }
    const whole = this.loadRegister(address)
    if (operand.width >= 128 || operand.width === 0) return whole
    const width = operand.width === 32 ? 32 : 64
    return this.#vectorOf(this.zx(this.lane(whole, width, 0), operand.width), operand.width)
  }

  #writeVector(operand: Operand, value: Value, aligned: boolean): void {
    if (operand.kind === 'memory') {
      const linear = this.linearAddress(operand)
      if (operand.width !== 128) {
        this.#storeLow(linear, operand.width, value)
        return
      }
      const symbol = this.symbolOf(linear)
      this.effect({
        inputs: [linear, value],
        emit: () => this.memory.storeVector(
          linear.expression(), aligned, value.expression(), symbol),
      })
      return
    }
    if (operand.kind === 'gpr') {
      this.write(operand, this.lane(value, 64, 0))
      return
    }
    const address = this.registerAddress(operand)
    if (operand.kind !== 'mm') {
      this.storeRegister(address, value)
      return
    }
    const stored = this.lane(value, 64, 0)
    this.effect({
      inputs: [stored],
      emit: () => {
        // An MMX write sets sign and exponent of the x87 register it lies in to all ones.
        this.target.store('i64', CORE, address, stored.expression())
        this.target.store('i64As16', CORE, address, i64.const(0xffff), 8)
      },
    })
  }

  /** Stores the lowest bits of a vector. */
  #storeLow(linear: Value, width: number, value: Value): void {
    const scalar = this.lane(value, width === 32 ? 32 : 64, 0)
    const float = width === 32 || width === 64 ? this.floatIn(scalar, width) : undefined
    if (!float) {
      this.storeLinear(linear, width, scalar)
      return
    }
    const symbol = this.symbolOf(linear)
    this.effect({
      inputs: [linear, float],
      emit: () => this.memory.storeFloat(linear.expression(), float.expression(), symbol),
    })
  }
}
