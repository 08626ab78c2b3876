/**
 * Flags that are computed when a region is left, if at all.
 *
 * An *epoch* is a set of flags pending at some place. A region that is left says by number which
 * epoch it was in, and one switch at its end computes the flags of that epoch.
 *
 * Where paths meet, what the flags of each would be computed from is in the same locals, and one
 * more local says which epoch it came from.
 */
import { i32, select, type Expression, type Local } from '../../wasm/expression.ts'
import { Bytes } from '../../wasm/bytes.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { slotAt } from '../interpreter/reading/flag-slots.ts'
import type { StateFile } from '../interpreter/reading/state-file.ts'
import type { FlagState, SlotWrite } from './flag-state.ts'

const NONE = i32.const(0)
/** In place of an epoch's number: the local says which. */
export const INHERITED = -1

export class Epochs {
  readonly #target: FunctionBuilder
  readonly #state: StateFile
  readonly #epochs: (readonly SlotWrite[])[] = []
  /** Epochs of places where paths meet, by their code. */
  readonly #known = new Map<string, number>()
  /** What flags that were not computed where paths met are computed from. */
  readonly #waiting: Local[] = []
  /** The epoch of flags that were not computed where paths met, or 0. */
  readonly #inherited: Local

  constructor(target: FunctionBuilder, state: StateFile) {
    this.#target = target
    this.#state = state
    this.#inherited = target.local('i32')
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
      this.#target.set(this.#inherited, i32.const(this.#keep(flags)))
      return
    }
    this.#write(flags.writes())
    this.#target.set(this.#inherited, NONE)
  }

  /** Computes the flags of the epoch in which the region was left, or of the inherited one. */
  emitComputing(epoch: Expression, isInherited: Expression): void {
    const f = this.#target
    if (this.#epochs.length === 0) return
    const left = select(this.#inherited, epoch, isInherited)
    f.block((done) => {
      const cases = this.#epochs.map((writes) => () => {
        this.#write(writes)
        f.br(done)
      })
      f.switch(i32.sub(left, i32.const(1)), cases, () => {})
    })
  }

  #numberOf(flags: FlagState): number {
    if (flags.epoch === 0) flags.epoch = this.#epochs.push(flags.writes())
    return flags.epoch
  }

  /** Has pending flags wait where paths meet; the number of their epoch. */
  #keep(flags: FlagState): number {
    const origins = flags.origins()
    const free = [...this.#waiting]
    const places = origins.map(({ type }) => {
      const index = free.findIndex((local) => local.type === type)
      if (index >= 0) return free.splice(index, 1)[0]!
      const local = this.#target.local(type)
      this.#waiting.push(local)
      return local
    })
    const before = origins.map(({ local }) => local!)
    places.forEach((place, index) => this.#target.set(place, before[index]!))
    origins.forEach((origin, index) => { origin.local = places[index] })
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

/** What tells flags apart that are computed in different ways. */
function codeOf(writes: readonly SlotWrite[]): string {
  return writes.map(({ name, value }) => {
    const code = new Bytes()
    value.emit(code)
    return `${name}:${code.view().join()}`
  }).join(';')
}
