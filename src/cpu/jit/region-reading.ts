/**
 * The Wasm reading of one instruction of a region: flags wait to be computed, and jumps end blocks
 * instead of looking records up.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression } from '../../wasm/expression.ts'
import type { Flags } from '../../isa/backend.ts'
import type { Operand } from '../../isa/operand.ts'
import type { EngineParts, InstructionShape, Site } from '../interpreter/parts.ts'
import { slotAt, slotValue, type SlotName } from '../interpreter/reading/flag-slots.ts'
import { WasmReading } from '../interpreter/reading/reading.ts'
import { constantIn, type Locals, type Value } from '../interpreter/reading/value.ts'
import type { Comparison, FlagState } from './flag-state.ts'

/** Where a block may end. */
export interface Ends {
  branch(condition: Expression | undefined): void
  jump(linear: Expression): void
}

export class RegionReading extends WasmReading {
  readonly #flags: FlagState
  readonly #ends: Ends
  /** Inside arms of `when`, which flags they set; undefined outside. */
  #setInArms: Set<SlotName> | undefined

  constructor(
    parts: EngineParts, site: Site, locals: Locals, shape: InstructionShape, flags: FlagState,
    ends: Ends,
  ) {
    super(parts, site, locals, shape)
    this.#flags = flags
    this.#ends = ends
  }

  override immediate(operand: Operand): Value {
    assert(operand.kind === 'immediate', 'an immediate operand')
    return this.const(operand.value)
  }

  override setFlags(flags: Flags<Value>): void {
    if (this.#setInArms) {
      for (const name of Object.keys(flags) as SlotName[]) this.#setInArms.add(name)
      super.setFlags(flags)
      return
    }
    const values = Object.entries(flags).map(([name, value]) =>
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

/** The values that have no operands but are results of effects: what must be in locals. */
function leavesOf(value: Value): Value[] {
  if (constantIn(value) !== undefined) return []
  if (value.operands.length === 0) return [value]
  return value.operands.flatMap(leavesOf)
}

/** What flags that were all set by a subtraction are of. */
function comparisonOf(flags: Flags<Value>): Comparison | undefined {
  const { zf, cf, of } = flags
  if (zf?.shape.kind !== 'isZero' || cf?.shape.kind !== 'less' || !of) return undefined
  const difference = zf.shape.of.shape
  if (difference.kind !== 'difference') return undefined
  const { a, b, width } = difference
  return cf.shape.a === a && cf.shape.b === b ? { a, b, width } : undefined
}

const ZERO = i64.const(0n)

/** A condition on the difference of two values; undefined where the flags say it as simply. */
function compare(pair: number, { a, b, width }: Comparison): Expression | undefined {
  const [x, y] = [a.expression(), b.expression()]
  switch (pair) {
    case 1: return i64.ltU(x, y)
    case 2: return i64.eq(x, y)
    case 3: return i64.leU(x, y)
    case 4: return signed(width, 'ltS', difference(width, x, y), ZERO)
    case 6: return signed(width, 'ltS', x, y)
    case 7: return signed(width, 'leS', x, y)
    default: return undefined
  }
}

function difference(width: number, x: Expression, y: Expression): Expression {
  return width === 32 ? i64.extendU(i32.sub(i32.wrap(x), i32.wrap(y))) : i64.sub(x, y)
}

function signed(
  width: number, operation: 'ltS' | 'leS', x: Expression, y: Expression,
): Expression {
  switch (width) {
    case 64: return i64[operation](x, y)
    case 32: return i32[operation](i32.wrap(x), i32.wrap(y))
    case 16: return i32[operation](i32.extend16(i32.wrap(x)), i32.extend16(i32.wrap(y)))
    default: return i32[operation](i32.extend8(i32.wrap(x)), i32.extend8(i32.wrap(y)))
  }
}
