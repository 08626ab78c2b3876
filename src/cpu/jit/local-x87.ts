/**
 * The x87 unit in a region's locals: its stack registers, tags, and status word.
 *
 * Locals are numbered from the register that was at the top where the region was entered. How far
 * the top has moved since is known wherever an instruction stands (x87-facts.ts), so that no
 * instruction looks for its registers. Where the region is left, the way out says how far.
 *
 * All exceptions are masked and nothing waits, or instructions are left to the interpreter; so are
 * operands of which the engine's functions on numbers want nothing (fpu/x87-value.ts). Regions with
 * instructions that have no part in this (`keepsX87`) work on the unit in core memory.
 */
import { CR0 } from '../../abi/x86/control.ts'
import { CS } from '../../abi/x86/registers.ts'
import type { Instruction } from '../../isa/operand.ts'
import { shapeOfOperands } from '../../isa/x87/form.ts'
import { x87Constants } from '../../isa/x87/move.ts'
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { x87PartOf } from '../fpu/x87-number.ts'
import { loadControl, loadStatus, loadTags } from '../fpu/x87-state.ts'
import { loadControl64, loadControlRegister, Z } from '../interpreter/core-fields.ts'
import { CORE } from '../interpreter/parts.ts'
import { selectorOf } from '../interpreter/reading/x87.ts'
import { CpuContext, X87Register } from '../state.ts'
import type { Region } from './region.ts'
import { X87Facts } from './x87-facts.ts'

const at = CpuContext.offsets
const SLOTS = 8
/** A register's number as an offset. */
const WHOLE = 0x70
const TOP = 0x3800
const TOP_SHIFT = 7
const SUMMARY = 1 << 7
const BUSY = 1 << 15
const MASKS = 0x3f
const ROUNDING = 0xc00
/** What is remembered of the last instruction. */
const IS_THERE = 1n << 15n
const OFFSET_SHIFT = 16n

/** A stack register. */
export interface Slot {
  readonly significand: Local
  readonly signExponent: Local
}

const wordInstructions = new Set(['fnstcw', 'fnstsw', 'fldcw'])

/** Whether a region keeps the unit in locals: it uses it, and nothing but what this file knows. */
export function keepsX87({ blocks }: Region): boolean {
  const instructions = blocks.flatMap((block) => block.instructions)
  const isX87 = ({ instruction: { row } }: { instruction: Instruction }): boolean => row.isX87
  return instructions.some(isX87) && instructions.every(({ instruction }) => {
    const { row, definition: { name }, operands } = instruction
    if (!row.isX87) return !/^x(save|rstor)/.test(name) && !operands.some(isMmx)
    return wordInstructions.has(name) || name in x87Constants
      || x87PartOf(name, shapeOfOperands(operands)) !== 'x87Exact'
  })
}

function isMmx({ kind }: { readonly kind: string }): boolean {
  return kind === 'mm'
}

export class LocalX87 {
  /** Not zero when an instruction is the interpreter's; when one that rounds is. */
  readonly unusable: Local
  readonly roundsOtherwise: Local
  readonly tags: Local
  /** The status word, but for the top. */
  readonly status: Local
  readonly #target: FunctionBuilder
  /** Offset of the register that slot 0 is. */
  readonly #top: Local
  readonly #slots: (Slot | undefined)[] = []
  readonly #written = new Set<number>()
  readonly #spare: Slot[] = []
  /** Offset and opcode of the last instruction, with a bit between that says there was one. */
  readonly #last: Local
  /** Address of the last operand in memory, and its segment plus one. */
  readonly #pointer: Local
  readonly #segment: Local
  /** How far the top has moved where blocks begin. */
  readonly #depths = new Map<number, number>()

  /** The region's `entries` are entered with the top as it is. */
  constructor(target: FunctionBuilder, entries: readonly number[]) {
    this.#target = target
    this.unusable = target.local('i32')
    this.roundsOtherwise = target.local('i32')
    this.tags = target.local('i32')
    this.status = target.local('i32')
    this.#top = target.local('i32')
    this.#last = target.local('i64')
    this.#pointer = target.local('i64')
    this.#segment = target.local('i32')
    for (const node of entries) this.#depths.set(node, 0)
  }

  /** What is known where a node begins. */
  factsAt(node: number): X87Facts {
    return new X87Facts(this.#depths.get(node) ?? 0)
  }

  /** Makes a path that comes to a node fit to others that do; returns how far the top has moved
   * there. */
  meet(node: number, depth: number): number {
    const known = this.#depths.get(node) ?? depth
    this.#depths.set(node, known)
    if (known !== depth) this.#renumber(depth - known & SLOTS - 1)
    return known
  }

  slot(number: number): Slot {
    return this.#slots[number] ??= this.#newSlot()
  }

  setSlot(number: number, signExponent: Expression, significand: Expression): void {
    const slot = this.slot(number)
    this.#target.set(slot.significand, significand)
    this.#target.set(slot.signExponent, signExponent)
    this.#written.add(number)
  }

  #newSlot(): Slot {
    return { significand: this.#target.local('i64'), signExponent: this.#target.local('i32') }
  }

  /** The status word as others see it. */
  statusAt(depth: Expression): Expression {
    const top = i32.and(i32.add(this.#top, i32.shl(depth, i32.const(4))), i32.const(WHOLE))
    return i32.or(i32.and(this.status, i32.const(0xffff & ~TOP)),
      i32.shl(top, i32.const(TOP_SHIFT)))
  }

  /** Makes slot 0 of slot `by`. */
  #renumber(by: number): void {
    const f = this.#target
    const numbers = Array.from({ length: SLOTS }, (_, number) => number)
    for (const number of numbers) {
      const from = this.slot(number + by & SLOTS - 1)
      const spare = this.#spare[number] ??= this.#newSlot()
      f.set(spare.significand, from.significand)
      f.set(spare.signExponent, from.signExponent)
    }
    for (const number of numbers) {
      const { signExponent, significand } = this.#spare[number]!
      this.setSlot(number, signExponent, significand)
    }
    f.set(this.#top, i32.and(i32.add(this.#top, i32.const(by << 4)), i32.const(WHOLE)))
    f.set(this.tags, rotated(this.tags, i32.const(by)))
  }

  remember(offset: number, opcode: number): void {
    this.#target.set(this.#last,
      i64.const(BigInt(offset) << OFFSET_SHIFT | IS_THERE | BigInt(opcode)))
  }

  rememberPointer(segment: number, address: Expression): void {
    this.#target.set(this.#pointer, address)
    this.#target.set(this.#segment, i32.const(segment + 1))
  }

  /** The control word is another one. */
  emitControlChanged(): void {
    const f = this.#target
    const waiting = i32.and(i32.and(this.status, i32.const(MASKS)),
      i32.xor(loadControl(), i32.const(MASKS)))
    f.set(this.status, i32.or(i32.and(this.status, i32.const(0xffff & ~(SUMMARY | BUSY))),
      i32.mul(i32.ne(waiting, Z), i32.const(SUMMARY | BUSY))))
    this.#emitUsable()
  }

  #emitUsable(): void {
    const off = i32.and(loadControlRegister('cr0'), i32.const(CR0.EM | CR0.TS))
    const unmasked = i32.and(i32.xor(loadControl(), i32.const(MASKS)), i32.const(MASKS))
    this.#target.set(this.unusable,
      i32.or(i32.or(off, i32.and(this.status, i32.const(SUMMARY))), unmasked))
    this.#target.set(this.roundsOtherwise, i32.and(loadControl(), i32.const(ROUNDING)))
  }

  emitLoads(): void {
    const f = this.#target
    f.set(this.status, loadStatus())
    f.set(this.#top, i32.and(i32.shrU(this.status, i32.const(TOP_SHIFT)), i32.const(WHOLE)))
    f.set(this.tags, loadTags())
    f.set(this.tags, rotated(this.tags, i32.shrU(this.#top, i32.const(4))))
    this.#emitUsable()
    this.#slots.forEach((slot, number) => {
      if (!slot) return
      f.set(slot.significand, i64.load(CORE, this.#registerOf(number), at.x87))
      f.set(slot.signExponent, i32.load16U(CORE, this.#registerOf(number),
        at.x87 + X87Register.offsets.signExponent))
    })
  }

  /** Puts the unit into core memory; offsets of instructions count from `base`. */
  emitStores(depth: Expression, base: Expression): void {
    const f = this.#target
    f.store('i32As16', CORE, Z, this.statusAt(depth), at.x87Status)
    const turns = i32.sub(i32.const(SLOTS), i32.shrU(this.#top, i32.const(4)))
    f.store('i32As8', CORE, Z, rotated(this.tags, turns), at.x87Tags)
    for (const number of this.#written) {
      const { signExponent, significand } = this.slot(number)
      f.store('i64', CORE, this.#registerOf(number), significand, at.x87)
      f.store('i32As16', CORE, this.#registerOf(number), signExponent,
        at.x87 + X87Register.offsets.signExponent)
    }
    f.if(i32.eqz(i64.eqz(this.#last)), () => {
      const linear = i64.add(base, i64.shrS(this.#last, i64.const(OFFSET_SHIFT)))
      f.store('i64', CORE, Z, i64.sub(linear, loadControl64('codeBase')), at.x87LastIp)
      f.store('i32As16', CORE, Z, selectorOf(i32.const(CS)), at.x87LastCs)
      f.store('i32As16', CORE, Z, i32.and(i32.wrap(this.#last), i32.const(0x7ff)),
        at.x87LastOpcode)
    })
    f.if(this.#segment, () => {
      f.store('i64', CORE, Z, this.#pointer, at.x87LastDp)
      const segment = i32.and(i32.sub(this.#segment, i32.const(1)), i32.const(7))
      f.store('i32As16', CORE, Z, selectorOf(segment), at.x87LastDs)
    })
  }

  #registerOf(slot: number): Expression {
    return i32.and(i32.add(this.#top, i32.const(slot << 4)), i32.const(WHOLE))
  }
}

/** Eight bits, turned right by up to eight. */
function rotated(bits: Expression, by: Expression): Expression {
  const twice = i32.or(bits, i32.shl(bits, i32.const(SLOTS)))
  return i32.and(i32.shrU(twice, by), i32.const(0xff))
}
