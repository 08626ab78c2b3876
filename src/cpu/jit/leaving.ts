/**
 * The ways out of a region.
 *
 * Where it goes on with other code, and that is no exception, what has to be done is written there:
 * only what may have been written on the way is stored, and flags are computed in place. All others
 * say in one word how the region is left, and code that stands once at its end takes the word
 * apart: such a way out is a constant and a branch, and there is one for nearly every instruction.
 */
import { assert } from '../../base/assert.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { controlAt, Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { type Epochs, INHERITED } from './epochs.ts'
import type { FlagState } from './flag-state.ts'
import type { LocalState } from './local-state.ts'
import type { LocalX87 } from './local-x87.ts'
import type { Path } from './region-reading.ts'
import type { WrittenRegisters } from './written-registers.ts'

/** Fields of the word, from the lowest bit on: the epoch of pending flags; */
const EPOCHS = 1 << 12
/** whether that of flags from before paths met counts instead; */
const IS_INHERITED = 1 << 12
/** whether to go on, rather than stop; */
const GOES_ON = 1 << 13
/** whether the address is in the context's rip: in a local, the last one that was computed would be
 * kept through all loops; */
const IS_COMPUTED = 1 << 14
/** instructions that were counted, but not executed; */
const LEFT_SHIFT = 15
const LEFT_LIMIT = 1 << 10
/** how far the top of the x87 stack has moved; */
const DEPTH_SHIFT = 25
/** and the offset of the address from the region's base. */
const OFFSET_SHIFT = 28

/** Where a region is left: the node whose block it is, and what is known there. */
export interface Place {
  readonly node: number
  readonly path: Path
}

/** The same before an instruction at an offset. */
export interface InstructionPlace extends Place {
  readonly offset: number
  /** Instructions of the block from it on, which are counted already. */
  readonly left: number
}

/** What a region has when it is left. */
export interface RegionState {
  readonly registers: LocalState
  readonly written: WrittenRegisters
  readonly epochs: Epochs
  readonly x87: LocalX87 | undefined
  /** Linear address of page 0. */
  readonly base: Local
  readonly budget: Local
}

export class Leaving {
  /** Where a computed address to go on at is put. */
  readonly next: Local
  readonly #target: FunctionBuilder
  readonly #state: RegionState
  readonly #goOn: FunctionReference
  readonly #word: Local
  #label: Label | undefined

  constructor(target: FunctionBuilder, state: RegionState, goOn: FunctionReference) {
    this.#target = target
    this.#state = state
    this.#goOn = goOn
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

  /** Stops before an instruction. */
  stop(place: InstructionPlace): void {
    this.#say(place.offset, place.left << LEFT_SHIFT | this.#stateOf(place.path))
    this.#target.br(this.#label!)
  }

  /** The same if `condition` holds. What is said is set there only: set before a branch it would be
   * another value to carry through each loop around. */
  stopIf(condition: Expression, place: InstructionPlace): void {
    this.#target.ifUnlikely(condition, () => this.stop(place))
  }

  /** Goes on at `offset`. */
  goOn(offset: number, place: Place): void {
    const { base } = this.#state
    if (this.#goesAlone(place)) this.#goAlone(place, i64.add(base, i64.const(offset)))
    else this.goOnRarely(offset, place.path)
  }

  /** The same where that hardly ever happens, and `left` instructions were counted too many. */
  goOnRarely(offset: number, path: Path, left = 0): void {
    this.#say(offset, left << LEFT_SHIFT | GOES_ON | this.#stateOf(path))
    this.#target.br(this.#label!)
  }

  /** Has `transfer`, a part of the engine, do an instruction of `length` bytes and go on. */
  transfer(transfer: FunctionReference, place: InstructionPlace, length: number): void {
    const f = this.#target
    const { flags, facts: { x87: { depth } } } = place.path
    assert(!flags.isEmpty || !flags.inherited, 'flags were computed where paths met')
    this.#settle(place)
    const { base, x87 } = this.#state
    f.postpone(() => x87?.emitStores(i32.const(depth), base))
    const linear = i64.add(base, i64.const(place.offset))
    f.store('i64', CORE, Z, linear, CpuContext.offsets.rip)
    f.returnCall(transfer, i64.add(linear, i64.const(length)))
  }

  /** Goes on at `next`. */
  goOnComputed(place: Place): void {
    if (this.#goesAlone(place)) this.#goAlone(place, this.next)
    else this.goOnComputedRarely(place.path)
  }

  goOnComputedRarely(path: Path): void {
    this.#target.store('i64', CORE, Z, this.next, CpuContext.offsets.rip)
    this.#say(0, GOES_ON | IS_COMPUTED | this.#stateOf(path))
    this.#target.br(this.#label!)
  }

  /** Goes on at `offset` after paths have met, with the top of the x87 stack moved by `depth`. */
  goOnInherited(offset: number, depth: number): void {
    this.#say(offset, GOES_ON | IS_INHERITED | depth << DEPTH_SHIFT)
    this.#target.br(this.#label!)
  }

  /** Writes the region's end. */
  finish(): void {
    const f = this.#target
    const { registers, written, x87, base, budget } = this.#state
    written.solve()
    f.writePostponed()
    // Before flags are computed by calls, over which nothing that is stored need be kept.
    registers.emitStores()
    x87?.emitStores(this.#depth(), base)
    this.#emitSettling()
    f.store('i32', CORE, Z, budget, controlAt('budget'))
    this.#emitReturn()
  }

  /** Whether the region is left there by code of its own. Flags from before paths met are computed
   * by a switch, and the x87 unit is large. */
  #goesAlone({ path: { flags } }: Place): boolean {
    return !this.#state.x87 && (!flags.isEmpty || !flags.inherited)
  }

  #goAlone(place: Place, linear: Expression): void {
    this.#settle(place)
    this.#target.returnCall(this.#goOn, linear)
  }

  /** Stores what the region has in locals. */
  #settle({ node, path: { flags } }: Place): void {
    const f = this.#target
    const { registers, written, epochs, budget } = this.#state
    epochs.compute(flags)
    f.store('i32', CORE, Z, budget, controlAt('budget'))
    f.postpone(() => registers.emitStores(written.behind(node)))
  }

  /** How far the top of the x87 stack has moved. */
  #depth(): Expression {
    return i32.and(i32.shrU(i32.wrap(this.#word), i32.const(DEPTH_SHIFT)), i32.const(7))
  }

  /** Computes pending flags, and the budget. */
  #emitSettling(): void {
    const f = this.#target
    const { epochs, budget } = this.#state
    const word = i32.wrap(this.#word)
    epochs.emitComputing(i32.and(word, i32.const(EPOCHS - 1)),
      i32.and(word, i32.const(IS_INHERITED)))
    const left = i32.and(i32.shrU(word, i32.const(LEFT_SHIFT)), i32.const(LEFT_LIMIT - 1))
    f.set(budget, i32.add(budget, left))
  }

  /** Returns what the region's function does. */
  #emitReturn(): void {
    const f = this.#target
    const word = i32.wrap(this.#word)
    const linear = i64.add(this.#state.base, i64.shrS(this.#word, i64.const(OFFSET_SHIFT)))
    f.if(i32.eqz(i32.and(word, i32.const(GOES_ON))), () => {
      f.store('i64', CORE, Z, linear, CpuContext.offsets.rip)
      f.return(Z)
    })
    f.if(i32.eqz(i32.and(word, i32.const(IS_COMPUTED))), () => f.returnCall(this.#goOn, linear))
    f.returnCall(this.#goOn, i64.load(CORE, Z, CpuContext.offsets.rip))
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
    const epoch = this.#state.epochs.leave(flags)
    assert(epoch < EPOCHS, 'a region has few epochs')
    return epoch === INHERITED ? IS_INHERITED : epoch
  }
}
