/**
 * The x87 registers and their control state in core memory, as the engine's functions use them.
 *
 * Registers are named by *offsets*, 16 bytes each: of a physical register, or relative to the top
 * of the stack as the operands of an operation are.
 */
import { call, i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { isShape, popsOf } from './x87-number.ts'
import { isRejected, statusAfter, statusWithoutC1 } from './x87-value.ts'

const CORE = 0
const Z = i32.const(0)
const at = CpuContext.offsets
const WHOLE = 0x70
/** Masks, rounding control; and masked exceptions with rounding to nearest. */
const MODE = 0xc3f
const PLAIN_MODE = 0x3f

export const EXPONENT = 0x7fff
export const SIGN = 0x8000
export const LEADING = -(1n << 63n)
export const BIAS = 16383

export const loadControl = (): Expression => i32.load16U(CORE, Z, at.x87Control)
export const loadStatus = (): Expression => i32.load16U(CORE, Z, at.x87Status)
export const loadTags = (): Expression => i32.load8U(CORE, Z, at.x87Tags)

/** A function on the stack that is being built: what STACK_OPERATION gives it, and its locals. */
export class StackFunction {
  readonly f: FunctionBuilder
  readonly form: Local
  readonly index: Local
  readonly low: Local
  readonly high: Local
  readonly status: Local
  /** Offset of the physical register at the top. */
  readonly top: Local
  readonly #exact: FunctionReference
  readonly #widen: FunctionReference
  #slow!: Label

  constructor(f: FunctionBuilder, exact: FunctionReference, widen: FunctionReference) {
    const [form, index, low, high] = f.parameters as [Local, Local, Local, Local]
    this.f = f
    this.form = form
    this.index = index
    this.low = low
    this.high = high
    this.status = f.local('i32')
    this.top = f.local('i32')
    this.#exact = exact
    this.#widen = widen
  }

  /** Writes `fast`; what it rejects is up to the exact routine. */
  write(fast: () => void): void {
    const { f } = this
    f.block((slow) => {
      this.#slow = slow
      f.set(this.status, loadStatus())
      f.set(this.top, i32.and(i32.shrU(this.status, i32.const(7)), i32.const(WHOLE)))
      fast()
    })
    f.return(call(this.#exact, this.form, this.index, this.low, this.high))
  }

  reject(condition: Expression): void {
    this.f.brUnlikely(this.#slow, condition)
  }

  rejectOutcome(outcome: Expression): void {
    this.reject(isRejected(outcome))
  }

  /** All exceptions masked, rounding to nearest. */
  requirePlain(): void {
    this.reject(i32.ne(i32.and(loadControl(), i32.const(MODE)), i32.const(PLAIN_MODE)))
  }

  requireMasked(): void {
    this.reject(i32.ne(i32.and(loadControl(), i32.const(0x3f)), i32.const(0x3f)))
  }

  /** Offset of the physical register `relative` to the top. */
  physical(relative: Expression): Expression {
    return i32.and(i32.add(this.top, relative), i32.const(WHOLE))
  }

  target(): Expression {
    return this.physical(i32.and(this.index, i32.const(WHOLE)))
  }

  source(): Expression {
    return this.physical(i32.and(i32.shrU(this.index, i32.const(8)), i32.const(WHOLE)))
  }

  requireFull(offset: Expression): void {
    this.reject(i32.eqz(this.#tag(offset)))
  }

  requireEmpty(offset: Expression): void {
    this.reject(this.#tag(offset))
  }

  #tag(offset: Expression): Expression {
    return i32.and(i32.shrU(loadTags(), i32.shrU(offset, i32.const(4))), i32.const(1))
  }

  signExponent(offset: Expression): Expression {
    return i32.load16U(CORE, offset, at.x87 + 8)
  }

  significand(offset: Expression): Expression {
    return i64.load(CORE, offset, at.x87)
  }

  loadRegister(into: Wide, offset: Expression): void {
    this.f.set(into.signExponent, this.signExponent(offset))
    this.f.set(into.significand, this.significand(offset))
  }

  /** Loads the second operand: a register or memory. */
  loadSource(into: Wide): void {
    this.f.if(isShape(this.form, 'st st'), () => {
      this.requireFull(this.source())
      this.loadRegister(into, this.source())
    }, () => this.loadMemory(into))
  }

  /** Loads a memory operand of up to 64 bits. */
  loadMemory(into: Wide): void {
    this.f.setPair(into.significand, into.signExponent, this.#widen,
      this.form, this.index, this.low)
    this.rejectOutcome(into.signExponent)
  }

  setRegister(offset: Expression, signExponent: Expression, significand: Expression): void {
    this.f.store('i64', CORE, offset, significand, at.x87)
    this.f.store('i32As16', CORE, offset, signExponent, at.x87 + 8)
  }

  statusAfter(outcome: Expression): Expression {
    return statusAfter(this.status, outcome)
  }

  statusWithoutC1(): Expression {
    return statusWithoutC1(this.status)
  }

  /** The status with another top; `top` is an offset. */
  withTop(status: Expression, top: Expression): Expression {
    const moved = i32.shl(i32.and(top, i32.const(WHOLE)), i32.const(7))
    return i32.or(i32.and(status, i32.const(0xffff & ~0x3800)), moved)
  }

  setStatus(status: Expression): void {
    this.f.store('i32As16', CORE, Z, status, at.x87Status)
  }

  setTags(tags: Expression): void {
    this.f.store('i32As8', CORE, Z, tags, at.x87Tags)
  }

  mark(offset: Expression): Expression {
    return i32.shl(i32.const(1), i32.shrU(offset, i32.const(4)))
  }

  /** How many registers the operation pops. */
  pops(): Expression {
    return popsOf(this.index)
  }

  /** Ends the function: `status` is entered, and registers are popped. */
  finish(status: Expression, result: Expression = i64.const(0)): void {
    const { f } = this
    f.set(this.status, status)
    f.if(this.pops(), () => {
      f.set(this.status, this.withTop(this.status,
        i32.add(this.top, i32.shl(this.pops(), i32.const(4)))))
      this.setTags(i32.and(loadTags(), i32.xor(this.mark(this.top), i32.const(-1))))
      f.if(i32.gtU(this.pops(), i32.const(1)), () => this.setTags(i32.and(loadTags(),
        i32.xor(this.mark(this.physical(i32.const(16))), i32.const(-1)))))
    })
    this.setStatus(this.status)
    f.return(result)
  }
}

/** A number in locals: sign and exponent, and significand. */
export interface Wide {
  readonly signExponent: Local
  readonly significand: Local
}

export function wideLocals(f: FunctionBuilder): Wide {
  return { signExponent: f.local('i32'), significand: f.local('i64') }
}

export function exponentOf({ signExponent }: Wide): Expression {
  return i32.and(signExponent, i32.const(EXPONENT))
}

export function isZero(wide: Wide): Expression {
  return i32.and(i32.eqz(exponentOf(wide)), i64.eqz(wide.significand))
}

function isInside(wide: Wide): Expression {
  return i32.ltU(i32.sub(exponentOf(wide), i32.const(1)), i32.const(EXPONENT - 1))
}

/** Normal, or zero. */
export function isOrdinary(wide: Wide): Expression {
  return i32.or(i32.and(isInside(wide), i64.ltS(wide.significand, i64.const(0))), isZero(wide))
}
