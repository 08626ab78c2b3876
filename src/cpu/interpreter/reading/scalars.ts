/**
 * Scalars and flags in the Wasm reading.
 */
import {
  call, i32, i64, select, type Expression,
} from '../../../wasm/expression.ts'
import type { Flags } from '../../../isa/backend.ts'
import {
  conditionExpressions, flagExpression, slotAt, slotValue, type SlotName,
} from './flag-slots.ts'
import { extended, type FoldedOperation, folds, identity } from './folding.ts'
import { StepCollector } from './steps.ts'
import { constantIn, PLAIN, type Shape, Value } from './value.ts'

/** Lanes are zero-extended as they are. */
function isNarrow({ shape }: Value, width: number): boolean {
  return shape.kind === 'lane' && shape.width <= width
}

export abstract class ScalarReading extends StepCollector {
  const(value: bigint | number): Value {
    const bits = BigInt.asUintN(64, BigInt(value))
    return new Value('i64', [], () => i64.const(bits), { kind: 'constant', value: bits })
  }

  add(a: Value, b: Value): Value {
    return this.#folded('add', a, b, constantIn(b) === undefined
      ? { kind: 'result', operation: 'add' } : { kind: 'sum', of: a })
  }

  sub(a: Value, b: Value): Value {
    return this.#folded('sub', a, b, { kind: 'difference', a, b, width: 64 })
  }

  mul(a: Value, b: Value): Value { return this.#folded('mul', a, b) }
  shl(a: Value, count: Value): Value { return this.#folded('shl', a, count) }
  shr(a: Value, count: Value): Value { return this.#folded('shrU', a, count) }
  sar(a: Value, count: Value): Value { return this.#folded('shrS', a, count) }
  rotl(a: Value, count: Value): Value { return this.#folded('rotl', a, count) }
  rotr(a: Value, count: Value): Value { return this.#folded('rotr', a, count) }

  rotl32(a: Value, count: Value): Value {
    return this.#binary((x, n) => i64.extendU(i32.rotl(i32.wrap(x), i32.wrap(n))), a, count)
  }

  rotr32(a: Value, count: Value): Value {
    return this.#binary((x, n) => i64.extendU(i32.rotr(i32.wrap(x), i32.wrap(n))), a, count)
  }

  /** By the four products of halves: a call would have the caller's registers spilled. */
  mulHighUnsigned(a: Value, b: Value): Value {
    const [low, half] = [this.const(0xffff_ffffn), this.const(32)]
    const [aLow, aHigh] = [this.and(a, low), this.shr(a, half)]
    const [bLow, bHigh] = [this.and(b, low), this.shr(b, half)]
    const middle = this.add(this.mul(aHigh, bLow), this.shr(this.mul(aLow, bLow), half))
    const other = this.add(this.mul(aLow, bHigh), this.and(middle, low))
    const high = this.add(this.mul(aHigh, bHigh), this.shr(middle, half))
    return this.add(high, this.shr(other, half))
  }

  mulHighSigned(a: Value, b: Value): Value {
    return this.#binary((x, y) => call(this.parts.mulHighSigned, x, y), a, b)
  }

  divideUnsigned(high: Value, low: Value, divisor: Value): Value {
    const [upper, lower, by] = [high, low, divisor].map((value) => this.scalar(value))
    const inLine = (): Expression => i64.divU(lower!.expression(), by!.expression())
    // Effects, so that they come after what makes sure that the divisor is not zero.
    if (constantIn(high) === 0n) return this.loaded('i64', inLine, lower!, by!)
    const result = this.result('i64')
    this.effect({
      // Each is used twice.
      inputs: [upper!, lower!, by!, upper!, lower!, by!], result, droppable: true,
      emit: () => this.target.if(i64.eqz(upper!.expression()),
        () => this.target.set(result.local!, inLine()),
        () => this.target.set(result.local!, call(this.parts.divide,
          upper!.expression(), lower!.expression(), by!.expression()))),
    })
    return result
  }

  and(a: Value, b: Value): Value { return this.#logic('and', a, b) }
  or(a: Value, b: Value): Value { return this.#logic('or', a, b) }
  xor(a: Value, b: Value): Value { return this.#logic('xor', a, b) }

  not(a: Value): Value {
    return this.computed('i64', [this.scalar(a)], (x) => i64.xor(x!, i64.const(-1n)))
  }

  neg(a: Value): Value {
    const known = constantIn(a)
    if (known !== undefined) return this.const(-known)
    return this.computed('i64', [this.scalar(a)], (x) => i64.sub(i64.const(0n), x!))
  }

  clz(a: Value): Value { return this.computed('i64', [this.scalar(a)], (x) => i64.clz(x!)) }
  ctz(a: Value): Value { return this.computed('i64', [this.scalar(a)], (x) => i64.ctz(x!)) }
  popcnt(a: Value): Value { return this.computed('i64', [this.scalar(a)], (x) => i64.popcnt(x!)) }

  zx(a: Value, width: number): Value {
    const scalar = this.scalar(a)
    if (width === 64 || a.type === 'i32' || isNarrow(scalar, width)) return scalar
    const mask = (1n << BigInt(width)) - 1n
    const known = constantIn(scalar)
    if (known !== undefined) return this.const(known & mask)
    const shape: Shape = scalar.shape.kind === 'difference' ? { ...scalar.shape, width } : PLAIN
    return this.make(new Value('i64', [scalar],
      width === 32 ? (x) => i64.extendU(i32.wrap(x!)) : (x) => i64.and(x!, i64.const(mask)),
      shape))
  }

  sx(a: Value, width: number): Value {
    const scalar = this.scalar(a)
    const known = constantIn(scalar)
    if (known !== undefined) return this.const(extended(known, width))
    switch (width) {
      case 64: return scalar
      case 32: return this.computed('i64', [scalar], (x) => i64.extend32(x!))
      case 16: return this.computed('i64', [scalar], (x) => i64.extend16(x!))
      case 8: return this.computed('i64', [scalar], (x) => i64.extend8(x!))
      default: {
        const shift = i64.const(64 - width)
        return this.computed('i64', [scalar], (x) => i64.shrS(i64.shl(x!, shift), shift))
      }
    }
  }

  bitOf(a: Value, index: number): Value {
    const scalar = this.scalar(a)
    const known = constantIn(scalar)
    if (known !== undefined) return this.truth((known >> BigInt(index) & 1n) === 1n)
    return this.make(new Value('i32', [scalar],
      (x) => i32.and(i32.wrap(i64.shrU(x!, i64.const(index))), i32.const(1)),
      { kind: 'bit', of: scalar, index }))
  }

  isZero(a: Value): Value {
    const known = constantIn(a)
    if (known !== undefined) return this.truth(known === 0n)
    if (a.type === 'i32') return this.computed('i32', [a], (x) => i32.eqz(x!))
    return this.make(new Value('i32', [a], (x) => i64.eqz(x!), { kind: 'isZero', of: a }))
  }

  equal(a: Value, b: Value): Value {
    return this.make(new Value('i32', [this.scalar(a), this.scalar(b)],
      (x, y) => i64.eq(x!, y!), { kind: 'equal' }))
  }

  lessUnsigned(a: Value, b: Value): Value {
    const [x, y] = [this.scalar(a), this.scalar(b)]
    const [known, limit] = [constantIn(x), constantIn(y)]
    if (known !== undefined && limit !== undefined) return this.truth(known < limit)
    return this.make(new Value('i32', [x, y], (p, q) => i64.ltU(p!, q!), { kind: 'less', a, b }))
  }

  lessSigned(a: Value, b: Value): Value { return this.#compare(i64.ltS, a, b) }

  evenParity(a: Value): Value {
    const scalar = this.scalar(a)
    return this.make(new Value('i32', [scalar],
      (x) => i32.eqz(i32.and(
        i32.popcnt(i32.and(i32.wrap(x!), i32.const(0xff))), i32.const(1))),
      { kind: 'parity', of: scalar }))
  }

  select(condition: Value, a: Value, b: Value): Value {
    const test = this.boolean(condition)
    const bothBool = a.type === 'i32' && b.type === 'i32'
    const x = a.type === 'v128' || bothBool ? a : this.scalar(a)
    const y = b.type === 'v128' || bothBool ? b : this.scalar(b)
    const known = constantIn(test)
    if (known !== undefined) return known === 0n ? y : x
    return this.make(new Value(x.type, [x, y, test],
      (p, q, c) => select(p!, q!, c!), { kind: 'choice', test, a: x, b: y }))
  }

  flag(name: SlotName): Value {
    return this.loaded('i32', () => flagExpression((slot) => this.slot(slot), name))
  }

  /** What a flag's slot holds here. */
  protected slot(name: SlotName): Expression {
    return this.site.state.load(i32.const(slotAt(name)), 64)
  }

  setFlags(flags: Flags<Value>): void {
    for (const [name, value] of Object.entries(flags) as [SlotName, Value][]) {
      const stored = slotValue(name, value, this)
      this.effect({
        inputs: [stored],
        emit: () => this.site.state.store(i32.const(slotAt(name)), 64, stored.expression()),
      })
    }
  }

  resultFlags(result: Value, width: number): Flags<Value> {
    const cut = this.zx(result, width)
    return { zf: this.isZero(cut), sf: this.bitOf(cut, width - 1), pf: this.evenParity(cut) }
  }

  condition(code: number): Value {
    const positive = this.loaded('i32', () => this.conditionOfSlots(code))
    return code & 1 ? this.computed('i32', [positive], (x) => i32.eqz(x!)) : positive
  }

  /** The positive one of the pair of conditions that `code` belongs to. */
  protected conditionOfSlots(code: number): Expression {
    return conditionExpressions[code >> 1]!((slot) => this.slot(slot))
  }

  /** A boolean that is known. */
  protected truth(value: boolean): Value {
    return new Value('i32', [], () => i32.const(value ? 1 : 0),
      { kind: 'constant', value: value ? 1n : 0n })
  }

  #folded(operation: FoldedOperation, a: Value, b: Value, shape: Shape = PLAIN): Value {
    const known = constantIn(b)
    if (known !== undefined) {
      const other = constantIn(a)
      if (other !== undefined) return this.const(folds[operation](other, known))
      const same = identity(operation, known)
      if (same === 'same') return this.scalar(a)
      if (same === 'zero') return this.const(0)
    }
    return this.make(new Value('i64', [this.scalar(a), this.scalar(b)],
      (x, y) => i64[operation](x!, y!), shape))
  }

  #binary(make: (a: Expression, b: Expression) => Expression, a: Value, b: Value): Value {
    return this.computed('i64', [this.scalar(a), this.scalar(b)], (x, y) => make(x!, y!))
  }

  #logic(operation: 'and' | 'or' | 'xor', a: Value, b: Value): Value {
    const x = this.#asBoolean(a)
    const y = this.#asBoolean(b)
    if (x && y && (a.type === 'i32' || b.type === 'i32')) {
      return this.computed('i32', [x, y], (p, q) => i32[operation](p!, q!))
    }
    return this.#folded(operation, a, b, { kind: 'result', operation })
  }

  #asBoolean(value: Value): Value | undefined {
    if (value.type === 'i32') return value
    if (value.shape.kind !== 'constant' || value.shape.value > 1n) return undefined
    const bit = Number(value.shape.value)
    return new Value('i32', [], () => i32.const(bit), value.shape)
  }

  #compare(make: (a: Expression, b: Expression) => Expression, a: Value, b: Value): Value {
    return this.computed('i32', [this.scalar(a), this.scalar(b)], (x, y) => make(x!, y!))
  }
}
