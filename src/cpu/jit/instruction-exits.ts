/**
 * How an instruction of a region is left: to the next one, stopped, or to be carried out again.
 */
import { call, i32, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { Stop } from '../core-memory.ts'
import { controlAt, loadControl32, Z } from '../interpreter/core-fields.ts'
import { CORE, type Exits } from '../interpreter/parts.ts'
import { writeFlags } from './flag-writers.ts'
import type { InstructionPlace, Leaving } from './leaving.ts'

export class InstructionExits {
  readonly #target: FunctionBuilder
  readonly #leaving: Leaving
  readonly #budget: Local
  readonly #nextSlice: FunctionReference

  constructor(
    target: FunctionBuilder, leaving: Leaving, budget: Local, nextSlice: FunctionReference,
  ) {
    this.#target = target
    this.#leaving = leaving
    this.#budget = budget
    this.#nextSlice = nextSlice
  }

  /** Has `leave` leave when the budget is used up and no more is to be had. */
  poll(leave: () => void): void {
    const f = this.#target
    f.ifUnlikely(i32.leS(this.#budget, Z), () => {
      f.set(this.#budget, call(this.#nextSlice, this.#budget))
      f.ifUnlikely(i32.leS(this.#budget, Z), leave)
    })
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

  /** Of a repeated one that does a round after the other. The flags of a round are where those of
   * the rounds before it were: a fault of the next one must find them, whichever that is. */
  inRounds(place: InstructionPlace, next: Label, again: Label, setsFlags: boolean): Exits {
    const f = this.#target
    const { offset, path, left } = place
    const settle = (): void => {
      if (setsFlags) writeFlags(f, path.flags)
    }
    return {
      ...this.once(place),
      next: () => {
        settle()
        f.br(next)
      },
      again: () => {
        settle()
        f.set(this.#budget, i32.sub(this.#budget, i32.const(1)))
        this.poll(() => this.#leaving.goOnRarely(offset, path, left))
        f.br(again)
      },
    }
  }

  /** Of one that does many rounds at once. Behind rounds that count the interpreter goes on: there
   * may be many left, between which it looks at budget and doorbell. */
  inBlocks(place: InstructionPlace, next: Label, again: Label): Exits {
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
