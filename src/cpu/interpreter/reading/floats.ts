/**
 * Floating point under MXCSR in the Wasm reading: WebAssembly's own instructions in line, and calls
 * for what their tests reject (fpu/inline-float.ts, fpu/inline-vector.ts).
 *
 * A scalar travels as the bits of a lane; where it comes from a lane of the width or goes to one,
 * it stays a float all the way.
 */
import {
  call, f32, f64, i32, i64, type Expression, type Local,
} from '../../../wasm/expression.ts'
import type { FloatOp, FloatVectorOp } from '../../../isa/backend.ts'
import { PREDICATE_ORDERS, SIGNALING_PREDICATES } from '../../../isa/float/lanes.ts'
import { notesDenormals } from '../../fpu/denormals.ts'
import { COMPARE_DOUBLE, COMPARE_SIGNALING, floatVectorNumber } from '../../fpu/float-lanes.ts'
import {
  areNormal, boundsOfResult, eitherOf, type FloatBounds, INTEGER, isBounded, MODERATE, notDenormal,
} from '../../fpu/float-bounds.ts'
import { floatNumber } from '../../fpu/float-number.ts'
import { loadMxcsr, NOT_MASKED } from '../../fpu/float-state.ts'
import { orderOf, resultTypeOf, writeInlineFloat, writeOrdered } from '../../fpu/inline-float.ts'
import {
  type InlineVector, writeInlineCompare, writeInlineVector,
} from '../../fpu/inline-vector.ts'
import { CpuContext } from '../../state.ts'
import { Z } from '../core-fields.ts'
import { CORE } from '../parts.ts'
import { type Step, Value } from './value.ts'
import { VectorReading } from './vectors.ts'

type Width = 32 | 64

/** What bounds say of an operation. */
interface Asked {
  /** Which operands need not be asked, and which are known to be finite. */
  readonly known: readonly boolean[]
  readonly finite: readonly boolean[]
  /** Where bounds are kept: what the result is tested for. */
  readonly bounded: 'normal' | 'moderate' | undefined
  /** Of the result, if anything is known of it. */
  readonly bounds?: LaneBounds
}

/** Operands and result of an operation on scalars. */
interface Scalars {
  readonly floats: readonly Value[]
  readonly asked: Asked
  readonly integers: readonly Value[]
  readonly result: Value
  readonly computing: Computing
}

/** The same of an operation on vectors. */
interface Vectors {
  readonly width: Width
  readonly a: Value
  readonly b: Value
  readonly asked: Asked
  readonly result: Value
  readonly computing: Computing
}

/** An operation that may have raised exceptions which are not masked. */
interface Computing {
  readonly steps: readonly Step[]
  /** While some are not masked, it always goes the slow way, which may then look for them. */
  readonly isSlowUnmasked: boolean
  checks: boolean
}

/** Bounds of the lanes of a vector, or of a scalar alone. */
export type LaneBounds = readonly (FloatBounds | undefined)[]

/** What has to be asked where bounds of operands are known. */
function askedBeyond(bounds: readonly LaneBounds[]): Asked {
  return {
    known: bounds.map((lanes) => lanes.every((lane) => lane !== undefined)),
    finite: bounds.map((lanes) => lanes.every((lane) => lane && lane.high < Infinity)),
    bounded: undefined,
  }
}

/** What raises nothing goes the short way, whatever MXCSR says. */
function mayBeShort(op: FloatOp | FloatVectorOp, width: Width): boolean {
  return op === 'min' || op === 'max' || op.startsWith('compare')
    || op === 'fromInt32' || (op === 'convert' && width === 32)
}

export abstract class FloatReading extends VectorReading {
  /** Operations since exceptions were looked for. */
  #computed: Computing[] = []

  float(op: FloatOp, width: Width, ...operands: Value[]): Value {
    if (op.startsWith('compare')) return this.#compare(op, width, operands)
    const takesInteger = op.startsWith('fromInt')
    const floats = takesInteger ? [] : operands.slice(0, op === 'round' || op === 'toHalf' ? 1 : 2)
      .map((operand) => this.#asFloat(operand, width))
    const integers = operands.slice(floats.length).map((operand) => this.scalar(operand))
    const type = resultTypeOf(op, width)
    const result = this.result(type)
    const asked = this.#ask(op, width, operands.slice(0, floats.length))
    const computing = this.#computes(!mayBeShort(op, width))
    this.effect({
      inputs: [...floats, ...integers], result,
      emit: () => this.#emitFloat(op, width, { floats, asked, integers, result, computing }),
    })
    const bits = type === 'i64' ? result : this.#bitsOf(result)
    const bounds = takesInteger ? [INTEGER] : asked.bounds
    if (bounds) this.noteBounds(bits, width, bounds)
    return bits
  }

  /** Leaves two floats that compare as the operands do, so that what asks how they compare is a
   * comparison of floats. */
  #compare(op: FloatOp, width: Width, operands: readonly Value[]): Value {
    const f = this.target
    const floats = operands.map((operand) => this.#asFloat(operand, width))
    const type = width === 64 ? 'f64' : 'f32'
    const [x, y] = [this.result(type), this.result(type)]
    const asked = this.#ask(op, width, operands)
    const computing = this.#computes(false)
    this.effect({
      inputs: floats, result: x,
      emit: () => {
        y.local = this.pool.take(type)
        f.set(x.local!, floats[0]!.expression())
        f.set(y.local, floats[1]!.expression())
        this.#emitCompare(op, width, asked, computing, [x.local!, y.local])
      },
    })
    return this.make(new Value('i64', [x, y], (a, b) => orderOf(a!, b!),
      { kind: 'order', a: x, b: y }))
  }

  #emitCompare(
    op: FloatOp, width: Width, asked: Asked, computing: Computing, [x, y]: [Local, Local],
  ): void {
    const f = this.target
    f.block((done) => {
      f.block((slow) => {
        writeInlineFloat({
          f, width, x, y, ...asked, result: x, slow,
          unsettled: () => this.site.floats.unsettled(),
        }, op, i64.const(0))
        f.br(done)
      })
      const number = i32.const(floatNumber(op, width))
      const order = this.pool.take('i64')
      f.set(order, call(this.parts.floatNoting, number, bitsOf(x), bitsOf(y)))
      writeOrdered(f, x, y, order)
      this.site.floats.changed()
      this.#afterSlow(computing)
    })
  }

  /** Whether bounds of floats are kept; then operations go by them, and note those of operands and
   * results. */
  protected get keepsBounds(): boolean {
    return false
  }

  /** The bounds of a scalar, or of all lanes of a vector, unless the contrary was noted. */
  protected boundsOf(value: Value, width: Width): LaneBounds {
    return value.type === 'v128' ? new Array<undefined>(128 / width).fill(undefined) : [undefined]
  }

  protected noteBounds(_value: Value, _width: Width, _bounds: LaneBounds): void {}

  /** Finds out what must be asked, and notes what is known of the operands from then on. */
  #ask(op: FloatOp | FloatVectorOp, width: Width, operands: readonly Value[]): Asked {
    const bounds = operands.map((operand) => this.boundsOf(operand, width))
    const asked = askedBeyond(bounds)
    const { known, finite } = asked
    const isBounding = isBounded(op) || op === 'addsub'
    if (!this.keepsBounds || width === 32 || !isBounding) {
      if (!notesDenormals(op)) return asked
      operands.forEach((operand, index) => {
        if (known[index]) return
        this.noteBounds(operand, width, bounds[index]!.map(() => notDenormal[width]))
      })
      const areFinite = finite.every((isFinite) => isFinite)
      const result = bounds[0]!.map((lane, index) => areFinite
        ? eitherOf(lane, bounds.at(-1)![index]) : notDenormal[width])
      return { ...asked, bounds: result }
    }
    operands.forEach((operand, index) => {
      if (finite[index]) return
      bounds[index] = bounds[index]!.map(() => MODERATE)
      this.noteBounds(operand, width, bounds[index]!)
    })
    const derived = bounds[0]!.map((lane, index) =>
      boundsOfResult(op === 'addsub' ? 'add' : op, lane!, bounds.at(-1)![index]!))
    const isNormal = derived.every(areNormal)
    return {
      known: finite, finite, bounded: isNormal ? 'normal' : 'moderate',
      bounds: isNormal ? derived : derived.map(() => MODERATE),
    }
  }

  floatVector(op: FloatVectorOp, width: Width, a: Value, b?: Value): Value {
    const immediate = op === 'round' ? this.scalar(b!) : undefined
    const second = op === 'round' ? this.vectorOf(b!) : b ?? a
    const result = this.result('v128')
    const asked = this.#ask(op, width, [a, second])
    if (asked.bounds) this.noteBounds(result, width, asked.bounds)
    const computing = this.#computes(!mayBeShort(op, width))
    this.effect({
      inputs: immediate ? [a, second, immediate] : [a, second], result,
      emit: () => {
        const number = i32.const(floatVectorNumber(op, width))
        const part = notesDenormals(op) ? this.parts.floatVectorNoting : this.parts.floatVector
        const write = (site: InlineVector): void =>
          writeInlineVector(site, op, immediate?.expression() ?? i64.const(0))
        this.#emitVector({ width, a, b: second, asked, result, computing }, write, (x, y) => {
          const isDone = width === 64
            && this.site.floats.compute(op, asked, [x, y], result.local!)
          if (isDone) return
          this.target.set(result.local!, call(part, number, x, y))
          this.site.floats.changed()
        })
      },
    })
    return result
  }

  floatCompare(width: Width, predicate: Value, a: Value, b: Value): Value {
    const { orders, how } = this.#predicate(predicate, width)
    const result = this.result('v128')
    const asked = askedBeyond([a, b].map((operand) => this.boundsOf(operand, width)))
    const computing = this.#computes(false)
    this.effect({
      inputs: [orders, how, a, b], result,
      emit: () => this.#emitVector({ width, a, b, asked, result, computing },
        (site) => writeInlineCompare(site, orders.expression()),
        (x, y) => {
          const compared = call(this.parts.floatCompare, i32.wrap(how.expression()), x, y)
          this.target.set(result.local!, compared)
          this.site.floats.changed()
        }),
    })
    return result
  }

  /** The orders that a predicate wants, and with them what the part floatCompare is told. */
  #predicate(predicate: Value, width: Width): { orders: Value, how: Value } {
    const flags = width === 64 ? COMPARE_DOUBLE : 0
    if (predicate.shape.kind === 'constant') {
      const known = Number(predicate.shape.value & 31n)
      const orders = Number(PREDICATE_ORDERS >> BigInt((known & 15) * 4) & 15n)
      const signals = SIGNALING_PREDICATES >> known & 1 ? COMPARE_SIGNALING : 0
      return { orders: this.const(orders), how: this.const(orders | signals | flags) }
    }
    const nibble = this.shl(this.and(predicate, this.const(15)), this.const(2))
    const orders = this.and(this.shr(this.const(PREDICATE_ORDERS), nibble), this.const(15))
    const signals = this.and(this.shr(this.const(SIGNALING_PREDICATES), predicate), this.const(1))
    const how = this.or(this.or(orders, this.shl(signals, this.const(4))), this.const(flags))
    return { orders, how }
  }

  mxcsr(): Value {
    return this.loaded('i64', () => i64.extendU(loadMxcsr()))
  }

  setMxcsr(value: Value): void {
    const stored = this.scalar(value)
    this.effect({
      inputs: [stored],
      emit: () => {
        this.target.store('i64As32', CORE, Z, stored.expression(), CpuContext.offsets.mxcsr)
        this.site.floats.changed()
      },
    })
  }

  /** An operation follows of which `floatCheck` is to know. */
  #computes(isSlowUnmasked: boolean): Computing {
    const computing = { steps: this.steps, isSlowUnmasked, checks: false }
    this.#computed.push(computing)
    return computing
  }

  /** One that another layer writes follows. */
  protected computesElsewhere(): void {
    this.#computed.push({ steps: [], isSlowUnmasked: false, checks: false })
  }

  /** Exceptions come of the slow way alone, which looks for them where it is always gone. */
  floatCheck(): void {
    const last = this.#computed.at(-1)
    const isGone = last?.isSlowUnmasked || this.#computed.length === 1
    this.#computed = []
    if (last && isGone && last.steps === this.steps && !this.entersMmx) {
      last.checks = true
      return
    }
    // The processor has left x87 mode even when the conversion raises #XM.
    this.completeMmx()
    this.effect({ inputs: [], emit: () => this.#emitCheck() })
  }

  #emitCheck(): void {
    const isUnmasked = i32.and(this.site.floats.unsettled(), i32.const(NOT_MASKED))
    this.target.ifUnlikely(isUnmasked, () => {
      this.target.call(this.parts.floatCheck)
      this.memory.leaveIfStopped()
    })
  }

  #afterSlow({ checks }: Computing): void {
    if (checks) this.#emitCheck()
  }

  sseCheck(): void {
    this.checkIf(() => this.site.floats.unavailable(), this.parts.sseCheck)
  }

  /** A scalar's bits as a float of the width. */
  #asFloat(value: Value, width: Width): Value {
    const float = this.floatIn(value, width)
    if (float) return float
    const scalar = this.scalar(value)
    return this.computed(width === 64 ? 'f64' : 'f32', [scalar],
      (x) => width === 64 ? f64.reinterpret(x!) : f32.reinterpret(i32.wrap(x!)))
  }

  #bitsOf(float: Value): Value {
    return this.make(new Value('i64', [float],
      (x) => bitsOf(x!), { kind: 'float', of: float }))
  }

  #emitFloat(
    op: FloatOp, width: Width, { floats, asked, integers, result, computing }: Scalars,
  ): void {
    const f = this.target
    const type = width === 64 ? 'f64' : 'f32'
    const [x, y] = [this.pool.take(type), this.pool.take(type)]
    if (floats[0]) f.set(x, floats[0].expression())
    if (floats[1]) f.set(y, floats[1].expression())
    const integer = integers[0]?.expression() ?? i64.const(0)
    f.block((done) => {
      f.block((slow) => {
        writeInlineFloat({
          f, width, x, y, ...asked, result: result.local!, slow,
          unsettled: () => this.site.floats.unsettled(),
        }, op, integer)
        f.br(done)
      })
      if (!this.site.floats.compute(op, asked, [x, y], result.local!)) {
        const first = floats[0] ? bitsOf(x) : integer
        const second = floats[1] ? bitsOf(y) : integer
        const part = notesDenormals(op) ? this.parts.floatNoting : this.parts.float
        const bits = call(part, i32.const(floatNumber(op, width)), first, second)
        f.set(result.local!, result.type === 'f64' ? f64.reinterpret(bits)
          : result.type === 'f32' ? f32.reinterpret(i32.wrap(bits)) : bits)
        this.site.floats.changed()
      }
      this.#afterSlow(computing)
    })
  }

  #emitVector(
    { width, a, b, asked, result, computing }: Vectors, write: (site: InlineVector) => void,
    writeSlow: (x: Local, y: Local) => void,
  ): void {
    const f = this.target
    const [x, y] = [this.pool.take('v128'), this.pool.take('v128')]
    f.set(x, a.expression())
    f.set(y, b.expression())
    f.block((done) => {
      f.block((slow) => {
        write({
          f, width, x, y, ...asked, result: result.local!, slow,
          constant: (value) => this.site.floats.constant(value),
          unsettled: () => this.site.floats.unsettled(),
        })
        f.br(done)
      })
      writeSlow(x, y)
      this.#afterSlow(computing)
    })
  }
}

/** The bits of a float as a 64-bit scalar. */
function bitsOf(float: Expression): Expression {
  return float.type === 'f64' ? i64.reinterpret(float) : i64.extendU(i32.reinterpret(float))
}
