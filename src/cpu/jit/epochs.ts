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
import { Bytes } from '../../wasm/bytes.ts'
import type { FunctionBuilder, StoreKind } from '../../wasm/function.ts'
import { coreMap } from '../core-memory.ts'
import { Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import { slotAt } from '../interpreter/reading/flag-slots.ts'
import type { StateFile } from '../interpreter/reading/state-file.ts'
import type { FlagState, SlotWrite } from './flag-state.ts'

/** In place of an epoch's number: the local says which. */
export const INHERITED = -1

export class Epochs {
  readonly #target: FunctionBuilder
  readonly #state: StateFile
  readonly #epochs: (readonly SlotWrite[])[] = []
  /** Epochs of places where paths meet, by their code. */
  readonly #known = new Map<string, number>()
  /** Locals for what waits in memory, at its place there. */
  readonly #waiting: Local[] = []

  constructor(target: FunctionBuilder, state: StateFile) {
    this.#target = target
    this.#state = state
  }

  /** At the region's entry, nothing is pending. */
  emitEntry(): void {
    if (this.#epochs.length > 0) this.#noteInherited(0)
  }

  /** The epoch of a place where the region is left with these flags: 0 for none, or INHERITED, as
   * after `meet`. */
  whereLeft(flags: FlagState): number {
    if (!flags.isEmpty) return this.#numberOf(flags)
    return flags.inherited ? INHERITED : 0
  }

  /** Makes flags right for where paths meet: computes them if they are needed, or says which are
   * pending. */
  meet(flags: FlagState, areNeeded: boolean): void {
    if (flags.isEmpty && flags.inherited) return
    if (flags.isWhole && !areNeeded) {
      this.#noteInherited(this.#keep(flags))
      return
    }
    this.#write(flags.writes())
    this.#noteInherited(0)
  }

  /** Computes pending flags here. */
  compute(flags: FlagState): void {
    this.#write(flags.writes())
  }

  /** Computes the flags of the epoch in which the region was left, or of the inherited one. */
  emitComputing(epoch: Expression, isInherited: Expression): void {
    const f = this.#target
    if (this.#epochs.length === 0) return
    f.if(isInherited, () => {
      this.#waiting.forEach((local, index) => f.set(local, waitingAt(index, local.type)))
    })
    const left = select(i32.load(CORE, Z, coreMap.waiting), epoch, isInherited)
    f.block((done) => {
      const cases = this.#epochs.map((writes) => () => {
        this.#write(writes)
        f.br(done)
      })
      f.switch(i32.sub(left, i32.const(1)), cases, () => {})
    })
  }

  #noteInherited(epoch: number): void {
    this.#target.store('i32', CORE, Z, i32.const(epoch), coreMap.waiting)
  }

  #numberOf(flags: FlagState): number {
    if (flags.epoch === 0) flags.epoch = this.#epochs.push(flags.writes())
    return flags.epoch
  }

  /** Has pending flags wait where paths meet; the number of their epoch. */
  #keep(flags: FlagState): number {
    const origins = flags.origins()
    const free = new Set(this.#waiting.keys())
    const places = origins.map(({ type }) => {
      const known = [...free].find((index) => this.#waiting[index]!.type === type)
      const place = known ?? this.#waiting.push(this.#target.local(type)) - 1
      free.delete(place)
      return place
    })
    const before = origins.map(({ local }) => local!)
    places.forEach((place, index) => this.#target.store(
      before[index]!.type as StoreKind, CORE, Z, before[index]!, addressOf(place)))
    origins.forEach((origin, index) => { origin.local = this.#waiting[places[index]!] })
    const writes = flags.writes()
    origins.forEach((origin, index) => { origin.local = before[index] })
    const code = codeOf(writes)
    const number = this.#known.get(code) ?? this.#epochs.push(writes)
    this.#known.set(code, number)
    return number
  }

  #write(writes: readonly SlotWrite[]): void {
    for (const { name, value } of writes) {
      this.#state.store(i32.const(slotAt(name)), 64, value)
    }
  }
}

function addressOf(index: number): number {
  return coreMap.waiting + 16 * (1 + index)
}

/** What waits at a place. */
function waitingAt(index: number, type: ValueType): Expression {
  const { load } = { i32, i64, f32, f64, v128 }[type]
  return load(CORE, Z, addressOf(index))
}

/** What tells flags apart that are computed in different ways. */
function codeOf(writes: readonly SlotWrite[]): string {
  return writes.map(({ name, value }) => {
    const code = new Bytes()
    value.emit(code)
    return `${name}:${code.view().join()}`
  }).join(';')
}
