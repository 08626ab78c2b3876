/**
 * The ways out of a region, each of which says in one word how it is left; code that stands once at
 * the region's end takes the word apart.
 *
 * So a way out is a constant and a branch, and there is one for nearly every instruction.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { type Epochs, INHERITED } from './epochs.ts'
import type { FlagState } from './flag-state.ts'
import type { Path } from './region-reading.ts'

/** Fields of the word, from the lowest bit on: the epoch of pending flags; */
const EPOCHS = 1 << 12
/** whether that of flags from before paths met counts instead; */
const IS_INHERITED = 1 << 12
/** whether to go on, rather than stop; */
const GOES_ON = 1 << 13
/** whether the address is in the local `next`; */
const IS_COMPUTED = 1 << 14
/** instructions that were counted, but not executed; */
const LEFT_SHIFT = 15
const LEFT_LIMIT = 1 << 10
/** how far the top of the x87 stack has moved; */
const DEPTH_SHIFT = 25
/** and the offset of the address from the region's base. */
const OFFSET_SHIFT = 28

export class Leaving {
  /** Where a computed address to go on at is put. */
  readonly next: Local
  readonly #target: FunctionBuilder
  readonly #epochs: Epochs
  readonly #word: Local
  #label: Label | undefined

  constructor(target: FunctionBuilder, epochs: Epochs) {
    this.#target = target
    this.#epochs = epochs
    this.next = target.local('i64')
    this.#word = target.local('i64')
  }

  /** Runs `body`, which may leave. */
  around(body: () => void): void {
    this.#target.block((label) => {
      this.#label = label
      body()
    })
  }

  /** Stops before the instruction at `offset`, where `left` instructions were counted too many. */
  stop(offset: number, left: number, path: Path): void {
    this.#say(offset, left << LEFT_SHIFT | this.#stateOf(path))
    this.#target.br(this.#label!)
  }

  /** The same if `condition`, which is asked last, holds. */
  stopIf(condition: Expression, offset: number, left: number, path: Path): void {
    this.#say(offset, left << LEFT_SHIFT | this.#stateOf(path))
    this.#target.brUnlikely(this.#label!, condition)
  }

  /** Goes on at `offset`, where `left` instructions were counted too many. */
  goOn(offset: number, path: Path, left = 0): void {
    this.#say(offset, left << LEFT_SHIFT | GOES_ON | this.#stateOf(path))
    this.#target.br(this.#label!)
  }

  /** Goes on at `next`. */
  goOnComputed(path: Path): void {
    this.#say(0, GOES_ON | IS_COMPUTED | this.#stateOf(path))
    this.#target.br(this.#label!)
  }

  /** Goes on at `offset` after paths have met, with the top of the x87 stack moved by `depth`. */
  goOnInherited(offset: number, depth: number): void {
    this.#say(offset, GOES_ON | IS_INHERITED | depth << DEPTH_SHIFT)
    this.#target.br(this.#label!)
  }

  /** How far the top of the x87 stack has moved. */
  depth(): Expression {
    return i32.and(i32.shrU(i32.wrap(this.#word), i32.const(DEPTH_SHIFT)), i32.const(7))
  }

  /** Computes pending flags, and the budget. */
  emitSettling(budget: Local): void {
    const f = this.#target
    const word = i32.wrap(this.#word)
    this.#epochs.emitComputing(i32.and(word, i32.const(EPOCHS - 1)),
      i32.and(word, i32.const(IS_INHERITED)))
    const left = i32.and(i32.shrU(word, i32.const(LEFT_SHIFT)), i32.const(LEFT_LIMIT - 1))
    f.set(budget, i32.add(budget, left))
  }

  /** Returns what the region's function does. */
  emitReturn(base: Local, goOn: FunctionReference): void {
    const f = this.#target
    const word = i32.wrap(this.#word)
    f.if(i32.eqz(i32.and(word, i32.const(IS_COMPUTED))), () => {
      f.set(this.next, i64.add(base, i64.shrS(this.#word, i64.const(OFFSET_SHIFT))))
    })
    f.if(i32.eqz(i32.and(word, i32.const(GOES_ON))), () => {
      f.store('i64', CORE, Z, this.next, CpuContext.offsets.rip)
      f.return(Z)
    })
    f.returnCall(goOn, this.next)
  }

  #say(offset: number, rest: number): void {
    assert(rest < 1 << OFFSET_SHIFT, 'the fields are wide enough')
    this.#target.set(this.#word,
      i64.const(BigInt(offset) << BigInt(OFFSET_SHIFT) | BigInt(rest)))
  }

  #stateOf({ flags, facts }: Path): number {
    return this.#epochOf(flags) | facts.x87.depth << DEPTH_SHIFT
  }

  #epochOf(flags: FlagState): number {
    const epoch = this.#epochs.whereLeft(flags)
    assert(epoch < EPOCHS, 'a region has few epochs')
    return epoch === INHERITED ? IS_INHERITED : epoch
  }
}
