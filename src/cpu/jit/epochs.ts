/**
 * Flags that are computed when a region is left, if at all.
 *
 * An *epoch* is a set of flags pending at some place. A region that is left says by number which
 * epoch it was in, and one switch at its end computes the flags of that epoch. Where paths meet, a
 * local says which epoch each came from.
 */
import { i32, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { slotAt } from '../interpreter/reading/flag-slots.ts'
import type { StateFile } from '../interpreter/reading/state-file.ts'
import type { FlagState, SlotWrite } from './flag-state.ts'

const NONE = i32.const(0)

export class Epochs {
  readonly #target: FunctionBuilder
  readonly #state: StateFile
  readonly #epochs: (readonly SlotWrite[])[] = []
  /** The epoch in which the region is left, or 0. */
  readonly #left: Local
  /** The epoch of flags that were not computed where paths met, or 0. */
  readonly #inherited: Local

  constructor(target: FunctionBuilder, state: StateFile) {
    this.#target = target
    this.#state = state
    this.#left = target.local('i32')
    this.#inherited = target.local('i32')
  }

  /** The region is being left with these flags. */
  leaveWith(flags: FlagState): void {
    this.#leaveIn(!flags.isEmpty ? i32.const(this.#numberOf(flags))
      : flags.inherited ? this.#inherited : NONE)
  }

  /** The region is being left after `meet`. */
  leaveInherited(): void {
    this.#leaveIn(this.#inherited)
  }

  /** Makes flags right for where paths meet: computes them if they are needed, or says which are
   * pending. */
  meet(flags: FlagState, areNeeded: boolean): void {
    if (flags.isEmpty && flags.inherited) return
    if (flags.mayBeInherited && !areNeeded) {
      flags.holdForEver()
      this.#target.set(this.#inherited, i32.const(this.#numberOf(flags)))
      return
    }
    this.#write(flags.writes())
    this.#target.set(this.#inherited, NONE)
  }

  /** Computes the flags of the epoch in which the region was left. */
  emitComputing(): void {
    const f = this.#target
    if (this.#epochs.length === 0) return
    f.block((done) => {
      const cases = this.#epochs.map((writes) => () => {
        this.#write(writes)
        f.br(done)
      })
      f.switch(i32.sub(this.#left, i32.const(1)), cases, () => {})
    })
  }

  #numberOf(flags: FlagState): number {
    if (flags.epoch === 0) flags.epoch = this.#epochs.push(flags.writes())
    return flags.epoch
  }

  #leaveIn(epoch: Expression): void {
    this.#target.set(this.#left, epoch)
  }

  #write(writes: readonly SlotWrite[]): void {
    for (const { name, value } of writes) {
      this.#state.store(i32.const(slotAt(name)), 64, value)
    }
  }
}
