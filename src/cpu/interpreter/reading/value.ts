/**
 * Values of the Wasm reading: a graph of pure operations over locals, and the list of effects that
 * uses them.
 *
 * Semantics run once and leave steps in order. A pure value that is used once is written where it
 * is used; one that is used more often is computed into a local where it was made; one that is
 * never used costs nothing. So definitions may name and share values freely.
 */
import { Local, type Expression, type ValueType } from '../../../wasm/expression.ts'
import type { FunctionBuilder } from '../../../wasm/function.ts'

/** How a value was made, where the reading can exploit it. */
export type Shape =
  | { readonly kind: 'plain' }
  | { readonly kind: 'constant', readonly value: bigint }
  | { readonly kind: 'isZero', readonly of: Value }
  | { readonly kind: 'bit', readonly of: Value, readonly index: number }
  | { readonly kind: 'parity', readonly of: Value }
  /** `a` - `b`, cut to `width`. */
  | { readonly kind: 'difference', readonly a: Value, readonly b: Value, readonly width: number }
  /** `of` plus a constant. */
  | { readonly kind: 'sum', readonly of: Value }
  /** One of two values. */
  | { readonly kind: 'choice', readonly test: Value, readonly a: Value, readonly b: Value }
  /** Whether its operands are equal; or what an operation on them yields. */
  | { readonly kind: 'equal' }
  | { readonly kind: 'result', readonly operation: 'add' | 'and' | 'or' | 'xor' }
  /** `a` is less than `b`, unsigned. */
  | { readonly kind: 'less', readonly a: Value, readonly b: Value }
  /** How the floats `a` and `b` compare, as FloatOp says. */
  | { readonly kind: 'order', readonly a: Value, readonly b: Value }
  /** A lane of a vector. */
  | { readonly kind: 'lane', readonly of: Value, readonly width: number, readonly index: number }
  /** A vector that is zero but for a scalar of `width` bits. */
  | { readonly kind: 'low', readonly of: Value, readonly width: number }
  /** A vector that is zero above its lowest `width` bits. */
  | { readonly kind: 'zeroAbove', readonly width: number }
  /** The bytes of a vector that numbers say, zero where they go beyond it. */
  | { readonly kind: 'picked', readonly of: Value, readonly bytes: readonly number[] }
  /** The bits of a value of a float type. */
  | { readonly kind: 'float', readonly of: Value }

export const PLAIN: Shape = { kind: 'plain' }

/** The value where it is known when code is generated. */
export function constantIn(value: Value): bigint | undefined {
  return value.shape.kind === 'constant' ? value.shape.value : undefined
}

export class Value {
  readonly type: ValueType
  readonly operands: readonly Value[]
  readonly make: (...operands: Expression[]) => Expression
  readonly shape: Shape
  uses = 0
  /** Where it was computed into, when it is used more than once or is an effect's result. */
  local: Local | undefined

  constructor(
    type: ValueType, operands: readonly Value[], make: (...operands: Expression[]) => Expression,
    shape: Shape = PLAIN,
  ) {
    this.type = type
    this.operands = operands
    this.make = make
    this.shape = shape
  }

  /** Counts one more use, and those of its operands when it is the first. */
  use(): void {
    if (this.uses++ === 0) for (const operand of this.operands) operand.use()
  }

  /** The expression that yields it here. */
  expression(): Expression {
    if (this.local) return this.local
    return this.make(...this.operands.map((operand) => operand.expression()))
  }

  get isConstant(): boolean {
    return this.shape.kind === 'constant'
  }
}

/** Something that happens at its place in the order: a load, a store, a branch. */
export interface Effect {
  readonly inputs: readonly Value[]
  /** A value that it yields, always through a local. */
  readonly result?: Value
  /** It may be left out when nobody uses its result. */
  readonly droppable?: boolean
  readonly nested?: readonly (readonly Step[])[]
  emit(): void
}

export type Step = Value | Effect

function isValue(step: Step): step is Value {
  return step instanceof Value
}

/** Where locals for intermediate values come from. */
export interface Locals {
  take(type: ValueType): Local
}

/** Locals that handlers share: each handler takes them from the start again. */
export class LocalPool implements Locals {
  readonly #function: FunctionBuilder
  readonly #locals = new Map<ValueType, Local[]>()
  readonly #taken = new Map<ValueType, number>()

  constructor(target: FunctionBuilder) {
    this.#function = target
  }

  take(type: ValueType): Local {
    const taken = this.#taken.get(type) ?? 0
    this.#taken.set(type, taken + 1)
    const locals = this.#locals.get(type) ?? []
    this.#locals.set(type, locals)
    return locals[taken] ?? (locals[taken] = this.#function.local(type))
  }

  releaseAll(): void {
    this.#taken.clear()
  }
}

/** Marks what is used, from the effects backwards. */
export function countUses(steps: readonly Step[]): void {
  for (let i = steps.length - 1; i >= 0; i--) {
    const step = steps[i]!
    if (isValue(step)) continue
    if (step.droppable && step.result!.uses === 0) continue
    for (const nested of step.nested ?? []) countUses(nested)
    for (const input of step.inputs) input.use()
  }
}

/** Writes the steps into the function; uses must have been counted. */
export function emitSteps(steps: readonly Step[], target: FunctionBuilder, pool: Locals): void {
  for (const step of steps) {
    if (isValue(step)) {
      if (step.uses > 1 && !step.isConstant) {
        const expression = step.expression()
        step.local = pool.take(step.type)
        target.set(step.local, expression)
      }
      continue
    }
    if (step.droppable && step.result!.uses === 0) continue
    if (step.result) step.result.local = pool.take(step.result.type)
    step.emit()
  }
}
