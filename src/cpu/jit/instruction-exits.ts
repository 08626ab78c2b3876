/**
 * How an instruction of a region is left: to the next one, stopped, or to be carried out again.
 */
import { i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { Stop } from '../core-memory.ts'
import { controlAt, loadControl32, Z } from '../interpreter/core-fields.ts'
import { CORE, type Exits } from '../interpreter/parts.ts'
import type { InstructionPlace, Leaving } from './leaving.ts'

export class InstructionExits {
  readonly #target: FunctionBuilder
  readonly #leaving: Leaving
  readonly #budget: Local

  constructor(target: FunctionBuilder, leaving: Leaving, budget: Local) {
    this.#target = target
    this.#leaving = leaving
    this.#budget = budget
  }

  /** Of an instruction that is carried out once. */
  once(place: InstructionPlace): Exits {
    const f = this.#target
    const stop = (): void => this.#leaving.stop(place)
    return {
      next: () => {},
      goTo: () => { throw new Error('a region looks no record up') },
      stop,
      stopIf: (condition) => this.#leaving.stopIf(condition, place),
      again: () => { throw new Error('nothing says where it begins') },
      noteBudget: () => {
        const before = i32.add(this.#budget, i32.const(place.left))
        f.store('i32', CORE, Z, i32.add(before, loadControl32('withheld')),
          controlAt('budget'))
      },
      defer: () => {
        f.store('i32', CORE, Z, i32.const(Stop.DEFER), controlAt('stop'))
        stop()
      },
    }
  }

  /** Of one that is tried until it succeeds. */
  tried(place: InstructionPlace, again: Label): Exits {
    return { ...this.once(place), again: () => this.#target.br(again) }
  }

  /** Of a repeated one. Behind rounds that count the interpreter goes on with it: there may be many
   * left, between which it looks at budget and doorbell. */
  repeated(place: InstructionPlace, next: Label, again: Label): Exits {
    const f = this.#target
    const leave = (): void => {
      f.set(this.#budget, i32.sub(this.#budget, i32.const(1)))
      this.#leaving.goOnRarely(place.offset, place.path, place.left)
    }
    return {
      ...this.once(place),
      next: () => f.br(next),
      again: (counts) => {
        if (counts) {
          leave()
          return
        }
        f.ifUnlikely(loadControl32('roundByRound'), leave)
        f.br(again)
      },
    }
  }
}
