/**
 * From a region to a WebAssembly function: (the word of an entry) -> the record that the
 * interpreter goes on with, or 0 when something stopped.
 *
 * Registers are locals while the region runs, and flags wait. It is left in two ways: to go on at
 * an address, mostly by code that stands there, or stopped before an instruction, whose address is
 * then the context's rip, through code that stands once at the end. That computes flags that were
 * not computed by then, by the number of the *epoch* that the leaving place is in: the set of flags
 * pending there.
 */
import {
  call, globalGet, i32, i64, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import { loadControl32, loadControl64 } from '../interpreter/core-fields.ts'
import { CORE, type EngineParts, type Exits } from '../interpreter/parts.ts'
import { emitExecution } from '../interpreter/repeat.ts'
import { modeShapeOf } from '../interpreter/code-mode.ts'
import { type CodeModeShape, shapeOf } from '../interpreter/shape.ts'
import { Access } from '../mmu/environment.ts'
import { emitExecHit } from '../mmu/exec-tlb.ts'
import { laterBases } from './base-uses.ts'
import { entryOf } from './entry-word.ts'
import { Epochs } from './epochs.ts'
import { flagNeeds } from './flag-needs.ts'
import { FlagState, RegionLocals } from './flag-state.ts'
import { type Structure, structureOf } from './graph.ts'
import { InstructionExits } from './instruction-exits.ts'
import { jumpSwitch } from './jump-switch.ts'
import { type InstructionPlace, Leaving } from './leaving.ts'
import { LocalFloatState } from './local-float-state.ts'
import { LocalState } from './local-state.ts'
import { keepsX87, LocalX87 } from './local-x87.ts'
import { PathJoins } from './path-joins.ts'
import { RegionOperands } from './region-operands.ts'
import { type Path, RegionReading } from './region-reading.ts'
import {
  type Block, lastPageOf, PAGE_BYTES, pageOf, pagesOf, type Placed, type Placement, type Region,
  type Target, targetsOf, transferIn,
} from './region.ts'
import { emitRepeated } from './repeated.ts'
import type { Callees, SlowCalls } from './slow-calls.ts'
import { WrittenRegisters } from './written-registers.ts'
import { X87Facts } from './x87-facts.ts'

/** Up to so many targets of a jump are compared one after the other. */
const COMPARED = 3

/** Writes the region into a function of (i32) -> i32. */
export function translate(
  callees: Callees, target: FunctionBuilder, region: Region, placement: Placement,
): void {
  new Translator(callees, target, region, placement).run()
}

class Translator {
  readonly #parts: EngineParts
  readonly #slow: SlowCalls
  readonly #f: FunctionBuilder
  readonly #region: Region
  readonly #mode: CodeModeShape
  readonly #placement: Placement
  readonly #structure: Structure
  readonly #state: LocalState
  readonly #floats: LocalFloatState
  readonly #x87: LocalX87 | undefined
  readonly #locals: RegionLocals
  /** Linear address of page 0. */
  readonly #base: Local
  readonly #budget: Local
  readonly #leaving: Leaving
  readonly #exits: InstructionExits
  /** For each block, whether its flags must be computed. */
  readonly #needsFlags: readonly boolean[]
  readonly #laterBases: readonly (readonly number[])[]
  readonly #entry: Local
  readonly #tables: Local
  /** What the look-up of a page uses. */
  readonly #execEntry: Local
  readonly #epochs: Epochs
  readonly #joins: PathJoins
  readonly #loops = new Map<number, Label>()
  readonly #follows = new Map<number, Label>()

  constructor(
    { parts, slow, slowFloats, flagWriters, without }: Callees, target: FunctionBuilder,
    region: Region, placement: Placement,
  ) {
    this.#parts = parts
    this.#slow = slow
    this.#f = target
    this.#region = region
    this.#mode = modeShapeOf(region.codeMode)
    this.#placement = placement
    const successors = [
      region.entries.map((block) => block + 1), ...region.blocks.map(successorsOf),
    ]
    this.#structure = structureOf(successors)
    const written = new WrittenRegisters(successors)
    this.#state = new LocalState(target, written)
    this.#floats = new LocalFloatState(target, slowFloats)
    this.#x87 = !without.includes('x87') && keepsX87(region)
      ? new LocalX87(target, this.#structure.entries) : undefined
    this.#locals = new RegionLocals(target)
    this.#base = target.local('i64')
    this.#budget = target.local('i32')
    this.#epochs = new Epochs(target, flagWriters)
    this.#joins =
      new PathJoins(target, this.#state, this.#floats, region, this.#structure, without)
    this.#leaving = new Leaving(target, {
      registers: this.#state, written, epochs: this.#epochs, x87: this.#x87,
      base: this.#base, budget: this.#budget,
    }, this.#mode.long ? parts.goOn : parts.goOnFlat32)
    this.#exits = new InstructionExits(target, this.#leaving, this.#budget, parts.nextSlice)
    this.#needsFlags = without.includes('flags') ? region.blocks.map(() => true)
      : flagNeeds(region)
    this.#laterBases = laterBases(region, this.#structure)
    this.#entry = target.parameters[0]!
    this.#tables = target.local('i32')
    this.#execEntry = target.local('i32')
  }

  run(): void {
    const f = this.#f
    this.#leaving.around(() => this.#node(0, this.#newPath(0, false)))
    // What is left in locals is known now, and must have been loaded.
    f.atStart(() => this.#enter())
    this.#leaving.finish()
  }

  #enter(): void {
    const f = this.#f
    f.set(this.#base, loadControl64('codePage'))
    if (this.#region.entries.some((block) => pageOf(this.#region.blocks[block]!.offset) !== 0)) {
      const { number, page } = entryOf(this.#entry)
      f.set(this.#base, i64.sub(this.#base, i64.shl(i64.extendS(page), i64.const(12))))
      f.set(this.#entry, number)
    }
    f.set(this.#budget, loadControl32('budget'))
    f.set(this.#tables, loadControl32('tables'))
    this.#state.emitLoads()
    this.#floats.emitLoads()
    this.#x87?.emitLoads()
    this.#epochs.emitEntry()
  }

  /** A path to a node, of which nothing is known; flags may be inherited where others meet, unless
   * they are computed there. */
  #newPath(node: number, inherited = true): Path {
    const x87 = this.#x87?.factsAt(node) ?? new X87Facts(0)
    const facts = this.#joins.factsAt(node, this.#locals, x87)
    const waits = inherited && !this.#needsFlags[node - 1]
    return { flags: new FlagState(this.#locals, waits), facts }
  }

  // The nest of blocks.

  /** A node with all that is nested in it. */
  #node(node: number, path: Path): void {
    const isLoop = this.#structure.isLoop[node] || node === 0 && this.#structure.dispatches
    if (!isLoop) {
      this.#within(node, this.#structure.follows[node]!, path)
      return
    }
    this.#f.loop((label) => {
      this.#loops.set(node, label)
      this.#within(node, this.#structure.follows[node]!, path)
    })
  }

  #within(node: number, follows: readonly number[], path: Path): void {
    const [outermost, ...inner] = follows
    if (outermost === undefined) {
      if (node === 0) this.#root()
      else this.#block(node, path)
      return
    }
    this.#f.block((label) => {
      this.#follows.set(outermost, label)
      this.#within(node, inner, path)
    })
    this.#node(outermost, this.#newPath(outermost))
  }

  #root(): void {
    const { entries, dispatches, isLoop } = this.#structure
    const go = (node: number) => (): void => {
      this.#joins.arrive(node, undefined)
      if (this.#structure.edge(0, node) === 'inline') {
        this.#node(node, this.#newPath(node, dispatches || isLoop[node]))
      } else {
        this.#f.br(this.#follows.get(node)!)
      }
    }
    const last = entries.at(-1)!
    this.#f.switch(this.#entry, entries.slice(0, -1).map(go), go(last))
  }

  /** Number by which the root enters a node. */
  #entryOf(node: number): number {
    return this.#structure.entries.indexOf(node)
  }

  #block(node: number, path: Path): void {
    const f = this.#f
    const block = this.#region.blocks[node - 1]!
    const count = block.instructions.length
    if (count > 0) f.set(this.#budget, i32.sub(this.#budget, i32.const(count)))
    this.#state.enterBlock(node)
    block.instructions.forEach((placed, index) => {
      path.facts.later = this.#laterBases[node - 1]![index]!
      const place = { node, path, offset: placed.offset, left: count - index }
      this.#instruction(placed, place)
    })
    this.#end(node, block, path)
  }

  /** The ends that no instruction writes. */
  #end(node: number, block: Block, path: Path): void {
    const { end } = block
    if (end.kind === 'leaves') this.#leaving.goOn(end.at, { node, path })
    else if (end.kind === 'goes' && !isJump(block)) this.#edge(node, end.to, path)
    path.flags.forgetAll()
    path.facts.forgetAll()
  }

  #edge(node: number, target: Target, path: Path): void {
    const f = this.#f
    if (target.block < 0) {
      this.#leaving.goOn(target.offset, { node, path })
      return
    }
    const to = target.block + 1
    const kind = this.#structure.edge(node, to)
    this.#checkPage(node, target, path)
    if (kind === 'inline' && !this.#structure.isLoop[to]) {
      this.#node(to, clonePath(path))
      return
    }
    this.#epochs.meet(path.flags, this.#needsFlags[target.block]!)
    const depth = this.#x87?.meet(to, path.facts.x87.depth) ?? 0
    if (kind !== 'dispatch') this.#joins.arrive(to, path.facts, kind === 'back')
    if (kind === 'inline') {
      // What holds at the head of a loop holds whenever it is come back to.
      this.#node(to, this.#newPath(to))
      return
    }
    // Flags are settled.
    if (kind !== 'forward') {
      this.#exits.poll(() => this.#leaving.goOnInherited(target.offset, depth))
    }
    if (kind === 'dispatch') f.set(this.#entry, i32.const(this.#entryOf(to)))
    f.br(kind === 'forward' ? this.#follows.get(to)!
      : this.#loops.get(kind === 'back' ? to : 0)!)
  }

  /** Leaves when the target's page is not where it was when the region was made. */
  #checkPage(node: number, target: Target, path: Path): void {
    const page = pageOf(target.offset)
    if (node > 0 && pagesOf(this.#region.blocks[node - 1]!).includes(page)) return
    this.#unlessThere(page, () => this.#leaving.goOnRarely(target.offset, path))
  }

  /** Fetches the rest of an instruction from a page, as `#checkPage`; if that is elsewhere now, the
   * interpreter carries the instruction out. */
  #fetch(page: number, exits: Exits): void {
    const f = this.#f
    this.#unlessThere(page, () => {
      const found = i32.wrap(call(this.#parts.execTranslate, this.#linear(page * PAGE_BYTES)))
      f.if(i32.ne(found, this.#placement.machineOf(page)), () => {
        exits.stopIf(globalGet(this.#parts.stopped, 'i32'))
        exits.defer()
      })
    })
  }

  /** Has `leave` written for where a page is not known to be where it was when the region was
   * made. */
  #unlessThere(page: number, leave: () => void): void {
    const f = this.#f
    f.block((there) => {
      f.block((missed) => {
        const linear = this.#linear(page * PAGE_BYTES)
        emitExecHit(f, CORE, linear, this.#placement.machineOf(page),
          { entry: this.#execEntry, missed })
        f.br(there)
      })
      leave()
    })
  }

  // Instructions.

  #instruction(placed: Placed, place: InstructionPlace): void {
    const { instruction, offset } = placed
    const { path } = place
    const f = this.#f
    const shape = shapeOf(instruction, this.#mode)
    const page = lastPageOf(placed)
    if (page !== pageOf(offset)) this.#fetch(page, this.#exits.once(place))
    const transfer = transferIn(instruction, this.#region.codeMode)
    if (transfer) return this.#leaving.transfer(this.#parts[transfer], place, instruction.length)
    const emit = (exits: Exits): void => {
      const operands = instruction.operands.map((operand) => ({ ...operand }))
      const source = new RegionOperands(this.#base, instruction, offset)
      const site = {
        target: f,
        tables: {
          base: this.#tables, access: Access.COMPILED, reuse: path.facts, slow: this.#slow,
        },
        state: this.#state,
        floats: this.#floats,
        x87: this.#x87,
        operands: source,
        exits,
      }
      const ends = {
        branch: (condition: Expression | undefined) =>
          this.#branch(place.node, condition, path),
        jump: (linear: Expression) => this.#jump(place.node, linear, path),
      }
      const m = new RegionReading(this.#parts, site, this.#locals, shape, path, ends)
      emitExecution(m, { ...instruction, operands }, shape)
    }
    if (shape.repeat !== 0) {
      emitRepeated(f, this.#exits, instruction, place, emit)
    } else if (shape.lock) {
      f.loop((again) => emit(this.#exits.tried(place, again)))
    } else {
      emit(this.#exits.once(place))
    }
    this.#endInstruction(path)
  }

  #endInstruction({ flags, facts }: Path): void {
    const hold = this.#locals.endInstruction()
    flags.endInstruction(hold)
    facts.endInstruction(hold)
    this.#locals.release(hold)
  }

  #branch(node: number, condition: Expression | undefined, path: Path): void {
    const { end } = this.#region.blocks[node - 1]!
    // What follows is written inside this instruction, and must not take its locals.
    this.#endInstruction(path)
    if (end.kind === 'goes') {
      this.#edge(node, end.to, path)
    } else if (end.kind === 'branches') {
      const { taken, next } = end
      const take = (): void => this.#edge(node, taken, path)
      // What is in the region was seen more often than what is not.
      if (taken.block < 0 && next.block >= 0) this.#f.ifUnlikely(condition!, take)
      else if (taken.block >= 0 && next.block < 0) this.#f.ifLikely(condition!, take)
      else this.#f.if(condition!, take)
      this.#edge(node, next, path)
    }
  }

  #jump(node: number, linear: Expression, path: Path): void {
    const { end } = this.#region.blocks[node - 1]!
    const f = this.#f
    const { next } = this.#leaving
    f.set(next, linear)
    this.#endInstruction(path)
    const targets = end.kind === 'jumps' ? end.likely : []
    if (targets.length <= COMPARED) {
      for (const target of targets) {
        f.if(i64.eq(next, this.#linear(target.offset)), () => this.#edge(node, target, path))
      }
      this.#leaving.goOnComputed({ node, path })
      return
    }
    const { slots, slotOf } = jumpSwitch(targets.map(({ offset }) => offset))
    const elsewhere = (): void => this.#leaving.goOnComputedRarely(path)
    const cases = targets.map((target) => (): void => {
      f.ifUnlikely(i64.ne(next, this.#linear(target.offset)), elsewhere)
      this.#edge(node, target, path)
    })
    f.switch(slotOf(i32.wrap(i64.sub(next, this.#base))), cases, elsewhere, slots)
  }

  #linear(offset: number): Expression {
    return offset === 0 ? this.#base : i64.add(this.#base, i64.const(offset))
  }
}

function clonePath({ flags, facts }: Path): Path {
  return { flags: flags.clone(), facts: facts.clone() }
}

function successorsOf(block: Block): number[] {
  return targetsOf(block).filter((target) => target.block >= 0).map((target) => target.block + 1)
}

/** Its last instruction goes to its end by itself. */
function isJump({ instructions }: Block): boolean {
  return instructions.at(-1)?.instruction.operands[0]?.kind === 'relative'
}

