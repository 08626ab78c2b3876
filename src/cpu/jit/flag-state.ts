/**
 * Flags that were set and not computed yet.
 *
 * Most flags are overwritten before anybody looks. So setting flags only notes how they would be
 * computed, from values in locals that are held until then; reading one, reaching a place where
 * paths meet, or leaving the region computes it.
 */
import type { Expression, Local, ValueType } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { SlotName } from '../interpreter/reading/flag-slots.ts'
import type { Locals, Value } from '../interpreter/reading/value.ts'

/** The locals of one instruction, held while flags may be computed from them. */
export interface Hold {
  readonly locals: readonly Local[]
  holders: number
}

/** Locals of a region: an instruction's are free again after it unless flags hold them. */
export class RegionLocals implements Locals {
  readonly #target: FunctionBuilder
  readonly #free = new Map<ValueType, Local[]>()
  #taken: Local[] = []

  constructor(target: FunctionBuilder) {
    this.#target = target
  }

  take(type: ValueType): Local {
    const local = this.#free.get(type)?.pop() ?? this.#target.local(type)
    this.#taken.push(local)
    return local
  }

  /** Ends an instruction; what it took is held by whoever holds the result, or free. */
  endInstruction(): Hold {
    const hold = { locals: this.#taken, holders: 1 }
    this.#taken = []
    return hold
  }

  hold(hold: Hold): void {
    hold.holders += 1
  }

  release(hold: Hold): void {
    hold.holders -= 1
    if (hold.holders > 0) return
    for (const local of hold.locals) {
      const free = this.#free.get(local.type) ?? []
      this.#free.set(local.type, free)
      free.push(local)
    }
  }
}

/** Two values whose difference the flags are of, or two floats and a width of 0. */
export interface Comparison {
  readonly a: Value
  readonly b: Value
  readonly width: number
}

interface Pending {
  /** In the form of the flag's slot. */
  readonly value: Value
  hold: Hold | undefined
}

/** What a flag's slot is to hold. */
export interface SlotWrite {
  readonly name: SlotName
  readonly value: Expression
}

/** The flags that instructions set by results. */
const ARITHMETIC = 6

export class FlagState {
  /** The local that says which flags are pending from before the paths met holds. */
  inherited: boolean
  /** The number of the pending flags, once they have one; see epochs.ts. */
  epoch = 0
  readonly #locals: RegionLocals
  readonly #pending = new Map<SlotName, Pending>()
  #comparison: Comparison | undefined

  constructor(locals: RegionLocals, inherited: boolean) {
    this.#locals = locals
    this.inherited = inherited
  }

  get isEmpty(): boolean {
    return this.#pending.size === 0
  }

  /** Whether all flags are pending. */
  get isWhole(): boolean {
    return this.#pending.size === ARITHMETIC
  }

  /** What all flags say of two values, if they do. */
  get comparison(): Comparison | undefined {
    return this.#comparison
  }

  /** The slot of a flag that is not computed yet. */
  expression(name: SlotName): Expression | undefined {
    return this.#pending.get(name)?.value.expression()
  }

  /** Notes a flag that the current instruction sets. */
  set(name: SlotName, value: Value): void {
    this.forget(name)
    this.#pending.set(name, { value, hold: undefined })
    // Who sets only some has made sure that nothing is inherited.
    this.inherited = false
  }

  compare(comparison: Comparison): void {
    this.#comparison = comparison
  }

  /** A flag's slot says what it is. */
  forget(name: SlotName): void {
    const pending = this.#pending.get(name)
    if (pending?.hold) this.#locals.release(pending.hold)
    this.#pending.delete(name)
    this.epoch = 0
    this.#comparison = undefined
  }

  forgetAll(): void {
    for (const name of [...this.#pending.keys()]) this.forget(name)
  }

  /** Ends an instruction: its locals are held by the flags that it set. */
  endInstruction(hold: Hold): void {
    for (const pending of this.#pending.values()) {
      if (pending.hold) continue
      pending.hold = hold
      this.#locals.hold(hold)
    }
  }

  /** What would have to be written for every slot to be right. */
  writes(): SlotWrite[] {
    return [...this.#pending].map(([name, { value }]) => ({ name, value: value.expression() }))
  }

  /** The values in locals that the pending flags would be computed from. */
  origins(): Value[] {
    const found = new Set<Value>()
    const search = (value: Value): void => {
      if (value.local) found.add(value)
      else value.operands.forEach(search)
    }
    for (const { value } of this.#pending.values()) search(value)
    return [...found]
  }

  /** Runs `body` while the origins are in other locals. */
  withOrigins(locals: readonly Local[], body: () => void): void {
    const origins = this.origins()
    const before = origins.map(({ local }) => local)
    origins.forEach((origin, index) => { origin.local = locals[index] })
    body()
    origins.forEach((origin, index) => { origin.local = before[index] })
  }

  clone(): FlagState {
    const copy = new FlagState(this.#locals, this.inherited)
    for (const [name, { value, hold }] of this.#pending) {
      if (hold) this.#locals.hold(hold)
      copy.#pending.set(name, { value, hold })
    }
    copy.#comparison = this.#comparison
    copy.epoch = this.epoch
    return copy
  }
}
