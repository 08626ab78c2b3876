/**
 * What an x87 instruction of a region does to the unit in locals (local-x87.ts): moves are new
 * names for values, what computes is a function of the engine. What such a function rejects, and
 * what would be a fault of the stack, is left to the interpreter before anything has happened.
 */
import { assert } from '../../base/assert.ts'
import type { Operand } from '../../isa/operand.ts'
import { formNumber, shapeOfOperands } from '../../isa/x87/form.ts'
import { type Constant, x87Constants } from '../../isa/x87/move.ts'
import { call, i32, i64, select, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { statusAfterOrder, statusWithCodes } from '../fpu/x87-compare.ts'
import { popsIn, x87Flags, x87PartOf, type X87Part } from '../fpu/x87-number.ts'
import { type FunctionCall, functionCallOf, statusAfterFunction } from '../fpu/x87-functions.ts'
import { EXPONENT, SIGN } from '../fpu/x87-state.ts'
import { isRejected, signExponentOf, statusAfter, statusWithoutC1 } from '../fpu/x87-value.ts'
import type { EngineParts, Exits } from '../interpreter/parts.ts'
import type { Locals } from '../interpreter/reading/value.ts'
import type { LocalX87, Slot } from './local-x87.ts'
import type { X87Facts } from './x87-facts.ts'

/** A number that is not in a register. */
interface Number80 {
  readonly significand: Expression
  readonly signExponent: Expression
}

const ZERO: Number80 = { significand: i64.const(0), signExponent: i32.const(0) }

const arithmetic: Readonly<Partial<Record<X87Part, 'x87Sum' | 'x87Product' | 'x87Quotient'>>> = {
  x87Add: 'x87Sum', x87Sub: 'x87Sum', x87Subr: 'x87Sum', x87Mul: 'x87Product',
  x87Div: 'x87Quotient', x87Divr: 'x87Quotient',
}

/** An operation with what it is given: a memory operand's bits, or a condition in `low`. */
export interface X87Request {
  readonly name: string
  readonly operands: readonly Operand[]
  readonly low: Expression | undefined
  readonly high: Expression | undefined
  /** Takes the bits to store, or flags. */
  readonly result: Local
}

export class X87Operations {
  readonly #f: FunctionBuilder
  readonly #unit: LocalX87
  readonly #facts: X87Facts
  readonly #exits: Exits
  readonly #parts: EngineParts
  readonly #locals: Locals
  /** The outcome of a store, until it has taken place. */
  #stored: Expression = i32.const(0)
  #storePops = 0

  constructor(
    parts: EngineParts, target: FunctionBuilder, unit: LocalX87, facts: X87Facts, exits: Exits,
    locals: Locals,
  ) {
    this.#parts = parts
    this.#f = target
    this.#unit = unit
    this.#facts = facts
    this.#exits = exits
    this.#locals = locals
  }

  requireUsable(): void {
    if (this.#facts.isUsable) return
    this.#leaveIf(this.#unit.unusable)
    this.#facts.isUsable = true
  }

  carryOut(request: X87Request): void {
    const { name, operands } = request
    const part = x87PartOf(name, shapeOfOperands(operands))
    switch (part) {
      case 'x87Load': this.#load(request); break
      case 'x87Store': this.#store(request); break
      case 'x87Compare': this.#compare(request); break
      case 'x87Xam': this.#examine(); break
      case 'x87Exchange': this.#exchange(operands); break
      case 'x87Move': this.#move(request); break
      case 'x87Exact': this.#constant(x87Constants[name]!); break
      case 'x87Sqrt': case 'x87Rndint': case 'x87Scale': case 'x87Prem': case 'x87Prem1':
        this.#function(functionCallOf(part)); break
      default: this.#compute(request, part)
    }
  }

  /** The sign and exponent that a store of 80 bits wants. */
  get storedHigh(): Expression {
    return this.#register(0).signExponent
  }

  /** A store has taken place. */
  commit(): void {
    this.#setStatus(statusAfter(this.#unit.status, this.#stored))
    this.#pop(this.#storePops)
  }

  /** The status word, with the top. */
  statusWord(): Expression {
    return this.#unit.statusAt(i32.const(this.#facts.depth))
  }

  controlChanged(): void {
    this.#unit.emitControlChanged()
    this.#facts.forgetControl()
  }

  // The stack.

  #leaveIf(condition: Expression): void {
    this.#f.ifUnlikely(condition, () => this.#exits.defer())
  }

  #number(index: number): number {
    return this.#facts.depth + index & 7
  }

  #register(index: number): Slot {
    return this.#unit.slot(this.#number(index))
  }

  #set(index: number, { signExponent, significand }: Number80): void {
    this.#unit.setSlot(this.#number(index), signExponent, significand)
  }

  #setStatus(status: Expression): void {
    this.#f.set(this.#unit.status, status)
  }

  #moved(): void {
    this.#setStatus(statusWithoutC1(this.#unit.status))
  }

  #mark(index: number): void {
    const slot = 1 << this.#number(index)
    this.#f.set(this.#unit.tags, i32.or(this.#unit.tags, i32.const(slot)))
    this.#facts.noteFull(slot)
  }

  #free(index: number): void {
    const slot = 1 << this.#number(index)
    this.#f.set(this.#unit.tags, i32.and(this.#unit.tags, i32.const(0xff & ~slot)))
    this.#facts.noteEmpty(slot)
  }

  #requireFull(...indexes: number[]): void {
    const slots = indexes.reduce((sum, index) => sum | 1 << this.#number(index), 0)
    const unknown = slots & ~this.#facts.full
    if (unknown === 0) return
    const tags = i32.and(this.#unit.tags, i32.const(unknown))
    this.#leaveIf(i32.ne(tags, i32.const(unknown)))
    this.#facts.noteFull(unknown)
  }

  #requireRoom(): void {
    const below = 1 << this.#number(-1)
    if (this.#facts.empty & below) return
    this.#leaveIf(i32.and(this.#unit.tags, i32.const(below)))
    this.#facts.noteEmpty(below)
  }

  #push(value: Number80): void {
    this.#requireRoom()
    this.#set(-1, value)
    this.#mark(-1)
    this.#moved()
    this.#facts.depth = this.#number(-1)
  }

  #pop(count: number): void {
    for (let left = count; left > 0; left--) {
      this.#free(0)
      this.#facts.depth = this.#number(1)
    }
  }

  // Operations.

  /** A copy of a register, which may be written before the copy is read. */
  #copy({ significand, signExponent }: Slot): Number80 {
    const copy = {
      significand: this.#locals.take('i64'), signExponent: this.#locals.take('i32'),
    }
    this.#f.set(copy.significand, significand)
    this.#f.set(copy.signExponent, signExponent)
    return copy
  }

  /** Calls a function on numbers, whose outcome must not be a rejection. */
  #call(
    part: 'x87Sum' | 'x87Product' | 'x87Quotient' | 'x87Widen' | 'x87Narrow'
      | FunctionCall['part'],
    ...operands: Expression[]
  ): { readonly value: Local, readonly outcome: Local } {
    const result = { value: this.#locals.take('i64'), outcome: this.#locals.take('i32') }
    this.#f.setPair(result.value, result.outcome, this.#parts[part], ...operands)
    this.#leaveIf(isRejected(result.outcome))
    return result
  }

  #formOf({ name, operands }: X87Request): [Expression, Expression] {
    return [i32.const(formNumber(name, shapeOfOperands(operands))), i32.const(x87Flags(name))]
  }

  /** A memory operand of up to 64 bits. */
  #widened(request: X87Request): Number80 {
    assert(request.low !== undefined, 'memory comes with its bits')
    const { value, outcome } = this.#call('x87Widen', ...this.#formOf(request), request.low)
    return { significand: value, signExponent: outcome }
  }

  #load(request: X87Request): void {
    const { operands: [source], low, high } = request
    this.#requireRoom()
    if (source!.kind === 'st') {
      this.#requireFull(source!.index)
      this.#push(this.#register(source!.index))
    } else if (source!.width === 80) {
      this.#push({ significand: low!, signExponent: i32.wrap(high!) })
    } else {
      this.#push(this.#widened(request))
    }
  }

  #requireNearest(): void {
    if (!this.#facts.isNearest) this.#leaveIf(this.#unit.roundsOtherwise)
    this.#facts.isNearest = true
  }

  #constant({ nearest, up, down }: Constant): void {
    if (up !== down) this.#requireNearest()
    const { significand, signExponent } = nearest
    this.#push({ significand: i64.const(significand), signExponent: i32.const(signExponent) })
  }

  #examine(): void {
    this.#requireFull(0)
    const { significand, signExponent } = this.#register(0)
    this.#setStatus(statusWithCodes(this.#unit.status,
      call(this.#parts.x87Class, significand, signExponent)))
  }

  /** A function of ST, or of ST and ST(1). */
  #function({ part, takesTwo, needsNearest, constants }: FunctionCall): void {
    if (needsNearest) this.#requireNearest()
    this.#requireFull(0, takesTwo ? 1 : 0)
    const numbers = [0, 1].slice(0, takesTwo ? 2 : 1).map((index) => this.#register(index))
    const { value, outcome } = this.#call(part,
      ...numbers.flatMap(({ significand, signExponent }) => [significand, signExponent]),
      ...constants)
    this.#set(0, { significand: value, signExponent: signExponentOf(outcome) })
    this.#setStatus(statusAfterFunction(part, this.#unit.status, outcome))
  }

  #compute(request: X87Request, part: X87Part): void {
    const { name, operands: [first, second] } = request
    const [target, source] = [indexOf(first), second ? indexOf(second) : undefined]
    this.#requireNearest()
    this.#requireFull(target, source ?? target)
    const other = source === undefined ? this.#widened(request) : this.#register(source)
    const own = this.#register(target)
    const isReversed = part === 'x87Subr' || part === 'x87Divr'
    const [a, b] = isReversed ? [other, own] : [own, other]
    const isDifference = part === 'x87Sub' || part === 'x87Subr'
    const sign = isDifference ? i32.xor(b.signExponent, i32.const(SIGN)) : b.signExponent
    const { value, outcome } = this.#call(arithmetic[part]!,
      a.significand, a.signExponent, b.significand, sign)
    this.#set(target, { significand: value, signExponent: signExponentOf(outcome) })
    this.#setStatus(statusAfter(this.#unit.status, outcome))
    this.#pop(popsIn(x87Flags(name)))
  }

  #compare(request: X87Request): void {
    const { name, operands: [first, second], result } = request
    const isWithRegister = name !== 'ftst' && (first === undefined || second !== undefined)
    const other = second ? indexOf(second) : 1
    this.#requireFull(0, isWithRegister ? other : 0)
    const a = this.#register(0)
    const b = name === 'ftst' ? ZERO : isWithRegister ? this.#register(other)
      : this.#widened(request)
    const order = this.#locals.take('i32')
    this.#f.set(order, call(this.#parts.x87Order,
      a.significand, a.signExponent, b.significand, b.signExponent))
    this.#leaveIf(isRejected(order))
    if (/^fu?comip?$/.test(name)) this.#f.set(result, i64.extendU(order))
    else this.#setStatus(statusAfterOrder(this.#unit.status, order))
    this.#pop(popsIn(x87Flags(name)))
  }

  #store(request: X87Request): void {
    const { name, operands: [target], result } = request
    this.#requireFull(0)
    const { significand, signExponent } = this.#register(0)
    if (target!.width === 80) {
      this.#f.set(result, significand)
    } else {
      const { value, outcome } = this.#call('x87Narrow', ...this.#formOf(request),
        significand, signExponent)
      this.#f.set(result, value)
      this.#stored = outcome
    }
    this.#storePops = popsIn(x87Flags(name))
  }

  #exchange([operand]: readonly Operand[]): void {
    const index = indexOf(operand)
    this.#requireFull(0, index)
    const top = this.#copy(this.#register(0))
    this.#set(0, this.#register(index))
    this.#set(index, top)
    this.#moved()
  }

  #move({ name, operands, low }: X87Request): void {
    const top = this.#register(0)
    const sign = (signExponent: Expression): void => {
      this.#requireFull(0)
      this.#set(0, { significand: top.significand, signExponent })
    }
    switch (name) {
      case 'fchs': sign(i32.xor(top.signExponent, i32.const(SIGN))); break
      case 'fabs': sign(i32.and(top.signExponent, i32.const(EXPONENT))); break
      case 'ffree': this.#free(indexOf(operands[0])); break
      case 'fincstp': this.#facts.depth = this.#number(1); break
      case 'fdecstp': this.#facts.depth = this.#number(-1); break
      case 'fst': case 'fstp':
        this.#requireFull(0)
        this.#set(indexOf(operands[0]), top)
        this.#mark(indexOf(operands[0]))
        this.#pop(popsIn(x87Flags(name)))
        break
      default: this.#moveIf(indexOf(operands[1]), low!); return
    }
    this.#moved()
  }

  /** FCMOVcc. */
  #moveIf(index: number, condition: Expression): void {
    this.#requireFull(0, index)
    const [top, other] = [this.#register(0), this.#register(index)]
    const isMoved = this.#locals.take('i32')
    this.#f.set(isMoved, i64.ne(condition, i64.const(0)))
    this.#set(0, {
      significand: select(other.significand, top.significand, isMoved),
      signExponent: select(other.signExponent, top.signExponent, isMoved),
    })
  }
}

/** The stack register of an operand; memory goes with ST. */
function indexOf(operand: Operand | undefined): number {
  return operand?.kind === 'st' ? operand.index : 0
}
