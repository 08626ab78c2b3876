/**
 * Flags that are computed when a region is left, if at all.
 *
 * An *epoch* is a set of flags pending at some place. A region that is left through its end says by
 * number which epoch it was in, and one switch there computes the flags of that epoch.
 *
 * Where paths meet, what the flags of each would be computed from is put into core memory, with the
 * number of the epoch that it came from. That is two or three stores, while values in locals would
 * take registers from those that somebody looks at.
 */
import {
  f32, f64, i32, i64, select, v128, type Expression, type Local, type ValueType,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, StoreKind } from '../../wasm/function.ts'
import { coreMap } from '../core-memory.ts'
import { Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import type { FlagState } from './flag-state.ts'
import { type FlagWriters, writeFlags } from './flag-writers.ts'

/** In place of an epoch's number: the local says which. */
export const INHERITED = -1

interface Epoch {
  readonly writer: FunctionBuilder
  readonly operands: readonly Local[]
}

export class Epochs {
  readonly #target: FunctionBuilder
  readonly #writers: FlagWriters
  readonly #epochs: Epoch[] = []
  /** Their numbers, by their writers. */
  readonly #numbers = new Map<FunctionBuilder, number>()
  /** In which the operands of writers come to the end, or from where they wait in memory. */
  readonly #carried: Local[] = []

  constructor(target: FunctionBuilder, writers: FlagWriters) {
    this.#target = target
    this.#writers = writers
  }

  /** At the region's entry, nothing is pending. */
  emitEntry(): void {
    if (this.#epochs.length > 0) this.#noteInherited(0)
  }

  /** Before the region is left with these flags: their epoch, 0 for none, or INHERITED, as after
   * `meet`. What they are computed from goes to where the end finds it. */
  leave(flags: FlagState): number {
    const origins = flags.isEmpty ? [] : localsOf(flags)
    const operands = this.#operandsFor(origins)
    // What was carried for other places would be kept in registers up to here.
    for (const local of this.#carried) {
      const origin = origins[operands.indexOf(local)]
      this.#target.set(local, origin ?? zeroOf(local.type))
    }
    if (flags.isEmpty) return flags.inherited ? INHERITED : 0
    return this.#numberOf(flags, operands)
  }

  /** Makes flags right for where paths meet: computes them if they are needed, or says which are
   * pending. */
  meet(flags: FlagState, areNeeded: boolean): void {
    if (flags.isEmpty && flags.inherited) return
    if (flags.isWhole && !areNeeded) {
      this.#noteInherited(this.#keep(flags))
      return
    }
    this.compute(flags)
    this.#noteInherited(0)
  }

  /** Computes pending flags here. */
  compute(flags: FlagState): void {
    writeFlags(this.#target, flags)
  }

  /** Computes the flags of the epoch in which the region was left, or of the inherited one. */
  emitComputing(epoch: Expression, isInherited: Expression): void {
    const f = this.#target
    if (this.#epochs.length === 0) return
    f.if(isInherited, () => {
      this.#carried.forEach((local, index) => f.set(local, waitingAt(index, local.type)))
    })
    const left = select(i32.load(CORE, Z, coreMap.waiting), epoch, isInherited)
    f.block((done) => {
      const cases = this.#epochs.map(({ writer, operands }) => () => {
        f.call(writer, ...operands)
        f.br(done)
      })
      f.switch(i32.sub(left, i32.const(1)), cases, () => {})
    })
  }

  #noteInherited(epoch: number): void {
    this.#target.store('i32', CORE, Z, i32.const(epoch), coreMap.waiting)
  }

  /** Has pending flags wait where paths meet; the number of their epoch. */
  #keep(flags: FlagState): number {
    const origins = localsOf(flags)
    const operands = this.#operandsFor(origins)
    origins.forEach((local, index) => this.#target.store(local.type as StoreKind, CORE, Z, local,
      addressOf(this.#carried.indexOf(operands[index]!))))
    return this.#numberOf(flags, operands)
  }

  /** Which of those that are carried take the place of some locals: of each type from the first. */
  #operandsFor(locals: readonly Local[]): Local[] {
    const free = new Set(this.#carried)
    return locals.map(({ type }) => {
      const operand = [...free].find((local) => local.type === type)
        ?? this.#target.local(type)
      if (!free.delete(operand)) this.#carried.push(operand)
      return operand
    })
  }

  #numberOf(flags: FlagState, operands: readonly Local[]): number {
    if (flags.epoch !== 0) return flags.epoch
    const writer = this.#writers.writerOf(flags)
    flags.epoch = this.#numbers.get(writer) ?? this.#epochs.push({ writer, operands })
    this.#numbers.set(writer, flags.epoch)
    return flags.epoch
  }
}

function localsOf(flags: FlagState): Local[] {
  return flags.origins().map(({ local }) => local!)
}

function addressOf(index: number): number {
  return coreMap.waiting + 16 * (1 + index)
}

/** What waits at a place. */
function waitingAt(index: number, type: ValueType): Expression {
  const { load } = { i32, i64, f32, f64, v128 }[type]
  return load(CORE, Z, addressOf(index))
}

function zeroOf(type: ValueType): Expression {
  return type === 'v128' ? v128.const(0n) : { i32, i64, f32, f64 }[type].const(0)
}
