/**
 * x87 arithmetic, comparisons and transcendental functions, as services on the register stack.
 */
import { BEFORE_COMPUTING } from '../float/round.ts'
import type { Machine, Service } from '../machine.ts'
import type { Instruction } from '../operand.ts'
import {
  add, compare, divide, divideReversed, exponentPart, multiply, partialRemainder, remainder,
  roundToIntegral, scale, significandPart, squareRoot, subtract, subtractReversed,
  type Operation, type Order,
} from './arithmetic.ts'
import {
  INDEFINITE, ONE, kindOf, outcome, signOf, withSign, zero, type Extended, type Kind,
} from './extended.ts'
import { loadFloat, loadInteger } from './move.ts'
import {
  arcTangentOf, outOfRange, powerLessOne, tangent, timesLogarithm, timesLogarithmOfOneMore,
  trigonometric,
} from './transcendental.ts'
import {
  C0, C1, C2, C3, allFull, computing, get, isEmpty, memoryOperand, pop, push, raise, set,
  setConditions, settle, stackIndex, underflow, type Body,
} from './unit.ts'

type Load = (m: Machine, instruction: Instruction) => Extended

/** `target = operation(target, source)`; the source is memory or the other register. */
function arithmetic(operation: Operation, pops: boolean, load: Load = loadFloat): Body {
  return (m, instruction) => {
    const memory = memoryOperand(instruction)
    const target = memory ? 0 : stackIndex(instruction, 0)
    const source = stackIndex(instruction, 1)
    const operand = memory ? load(m, instruction) : undefined
    if (!allFull(m, target, operand ? target : source)) {
      if (underflow(m)) return
      set(m, target, INDEFINITE)
    } else {
      const result = operation(get(m, target), operand ?? get(m, source), m.x87.controlWord)
      if (settle(m)) return
      set(m, target, result)
    }
    if (pops) pop(m)
  }
}

/** ST replaced by a function of itself. */
function onTop(compute: (a: Extended, control: number) => Extended): Body {
  return (m) => {
    if (isEmpty(m, 0)) {
      if (!underflow(m)) set(m, 0, INDEFINITE)
      return
    }
    const result = compute(get(m, 0), m.x87.controlWord)
    if (!settle(m)) set(m, 0, result)
  }
}

/** ST(1) replaced by a function of ST(1) and ST, and ST popped. */
function onTwo(compute: Operation): Body {
  return (m) => {
    if (!allFull(m, 0, 1)) {
      if (underflow(m)) return
      set(m, 1, INDEFINITE)
    } else {
      const result = compute(get(m, 1), get(m, 0), m.x87.controlWord)
      if (settle(m)) return
      set(m, 1, result)
    }
    pop(m)
  }
}

const fscale: Body = (m) => {
  if (!allFull(m, 0, 1)) {
    if (!underflow(m)) set(m, 0, INDEFINITE)
    return
  }
  const result = scale(get(m, 0), get(m, 1), m.x87.controlWord)
  if (!settle(m)) set(m, 0, result)
}

/** The low three bits of a quotient, as FPREM leaves them. */
function conditionsOf(quotient: number): number {
  return (quotient & 4 ? C0 : 0) | (quotient & 2 ? C3 : 0) | (quotient & 1 ? C1 : 0)
}

function remainderOf(nearest: boolean): Body {
  return (m) => {
    if (!allFull(m, 0, 1)) {
      setConditions(m, C2, 0)
      if (!underflow(m)) set(m, 0, INDEFINITE)
      return
    }
    const result = partialRemainder(get(m, 0), get(m, 1), m.x87.controlWord, nearest)
    outcome.up = false
    const dropped = settle(m)
    const { quotient, complete, defined } = remainder
    setConditions(m, defined && !dropped ? C0 | C1 | C2 | C3 : C2,
      defined && !dropped ? conditionsOf(quotient) | (complete ? 0 : C2) : 0)
    if (!dropped) set(m, 0, result)
  }
}

/** FSIN and FCOS. */
function circular(which: 'sin' | 'cos'): Body {
  return (m) => {
    setConditions(m, C2, 0)
    if (isEmpty(m, 0)) {
      if (!underflow(m)) set(m, 0, INDEFINITE)
      return
    }
    const a = get(m, 0)
    if (outOfRange(a)) return setConditions(m, C1 | C2, C2)
    const result = trigonometric(a, m.x87.controlWord, which)
    if (!settle(m)) set(m, 0, result)
  }
}

/** Replaces ST and pushes a second result: FPTAN, FSINCOS, FXTRACT. */
function splitting(
  below: (a: Extended, control: number) => Extended,
  above: (a: Extended, control: number) => Extended,
): Body {
  return (m) => {
    if (isEmpty(m, 0) || !isEmpty(m, 7)) {
      const full = !isEmpty(m, 0)
      if (underflow(m)) return setConditions(m, C1, full ? C1 : 0)
      setConditions(m, C1, full ? C1 : 0)
      set(m, 0, INDEFINITE)
      return push(m, INDEFINITE)
    }
    const a = get(m, 0)
    const first = below(a, m.x87.controlWord)
    const { flags, up } = outcome
    const second = above(a, m.x87.controlWord)
    outcome.flags |= flags
    outcome.up = up
    if (settle(m)) return
    set(m, 0, first)
    push(m, second)
  }
}

/** FPTAN and FSINCOS leave operands beyond their range. */
function inRange(body: Body): Body {
  return (m, instruction) => {
    const reducible = isEmpty(m, 0) || !isEmpty(m, 7) || !outOfRange(get(m, 0))
    setConditions(m, C2, reducible ? 0 : C2)
    if (reducible) body(m, instruction)
    else setConditions(m, C1, 0)
  }
}

/** The one above a tangent, or the NaN that the tangent is. */
function oneAbove(a: Extended, control: number): Extended {
  const kind = kindOf(a)
  return kind === 'normal' || kind === 'denormal' || kind === 'zero' ? ONE : tangent(a, control)
}

const conditions: Readonly<Record<Order, number>> = {
  greater: 0, less: C0, equal: C3, unordered: C0 | C2 | C3,
}

/** FCOM and its family: `pops` registers afterwards. */
function comparing(quiet: boolean, pops: 0 | 1 | 2, load: Load = loadFloat): Body {
  return (m, instruction) => {
    const operand = memoryOperand(instruction) ? load(m, instruction) : undefined
    const other = instruction.operands.length > 1 ? stackIndex(instruction, 1) : 1
    if (isEmpty(m, 0) || !operand && isEmpty(m, other)) {
      setConditions(m, C0 | C2 | C3, C0 | C2 | C3)
      if (underflow(m)) return
    } else {
      const order = compare(get(m, 0), operand ?? get(m, other), quiet)
      const stopped = settle(m)
      setConditions(m, C0 | C1 | C2 | C3, conditions[order])
      if (stopped) return
    }
    for (let i = 0; i < pops; i++) pop(m)
  }
}

const OF_SF_AF = 0x890n
const arithmeticFlags: Readonly<Record<Order, bigint>> = {
  greater: 0n, less: 1n, equal: 64n, unordered: 69n,
}

/** FCOMI and its family: the result goes to the flags register. */
function comparingFlags(quiet: boolean, pops: boolean): Body {
  return (m, instruction) => {
    const other = stackIndex(instruction, 1)
    let order: Order = 'unordered'
    if (!allFull(m, 0, other)) {
      if (underflow(m)) return setOrder(m, order)
    } else {
      order = compare(get(m, 0), get(m, other), quiet)
      if (raise(m, outcome.flags) & BEFORE_COMPUTING) return setOrder(m, order)
    }
    setOrder(m, order)
    if (pops) pop(m)
  }
}

function setOrder(m: Machine, order: Order): void {
  m.flags = m.flags & ~(OF_SF_AF | 69n) | arithmeticFlags[order]
}

const ftst: Body = (m) => {
  if (isEmpty(m, 0)) {
    setConditions(m, C0 | C2 | C3, C0 | C2 | C3)
    underflow(m)
    return
  }
  const order = compare(get(m, 0), zero(0), false)
  settle(m)
  setConditions(m, C0 | C1 | C2 | C3, conditions[order])
}

const classes: Readonly<Record<Kind, number>> = {
  unsupported: 0, quiet: C0, signaling: C0, normal: C2, infinity: C2 | C0, zero: C3,
  denormal: C3 | C2,
}

const fxam: Body = (m) => {
  const a = get(m, 0)
  const found = isEmpty(m, 0) ? C3 | C0 : classes[kindOf(a)]
  setConditions(m, C0 | C1 | C2 | C3, found | (signOf(a) ? C1 : 0))
}

const sign = (change: (sign: number) => number): Body =>
  onTop((a) => withSign(a, change(signOf(a))))

const withInteger = (operation: Operation): Service =>
  computing(arithmetic(operation, false, loadInteger))

export const computeServices: Readonly<Record<string, Service>> = {
  fadd: computing(arithmetic(add, false)), faddp: computing(arithmetic(add, true)),
  fmul: computing(arithmetic(multiply, false)), fmulp: computing(arithmetic(multiply, true)),
  fsub: computing(arithmetic(subtract, false)), fsubp: computing(arithmetic(subtract, true)),
  fsubr: computing(arithmetic(subtractReversed, false)),
  fsubrp: computing(arithmetic(subtractReversed, true)),
  fdiv: computing(arithmetic(divide, false)), fdivp: computing(arithmetic(divide, true)),
  fdivr: computing(arithmetic(divideReversed, false)),
  fdivrp: computing(arithmetic(divideReversed, true)),
  fiadd: withInteger(add), fimul: withInteger(multiply), fisub: withInteger(subtract),
  fisubr: withInteger(subtractReversed), fidiv: withInteger(divide),
  fidivr: withInteger(divideReversed),
  fcom: computing(comparing(false, 0)), fcomp: computing(comparing(false, 1)),
  fcompp: computing(comparing(false, 2)), fucom: computing(comparing(true, 0)),
  fucomp: computing(comparing(true, 1)), fucompp: computing(comparing(true, 2)),
  ficom: computing(comparing(false, 0, loadInteger)),
  ficomp: computing(comparing(false, 1, loadInteger)),
  fcomi: computing(comparingFlags(false, false)), fcomip: computing(comparingFlags(false, true)),
  fucomi: computing(comparingFlags(true, false)), fucomip: computing(comparingFlags(true, true)),
  ftst: computing(ftst), fxam: computing(fxam),
  fchs: computing(sign((s) => 1 - s)), fabs: computing(sign(() => 0)),
  fsqrt: computing(onTop(squareRoot)), frndint: computing(onTop(roundToIntegral)),
  f2xm1: computing(onTop(powerLessOne)), fscale: computing(fscale),
  fprem: computing(remainderOf(false)), fprem1: computing(remainderOf(true)),
  fyl2x: computing(onTwo(timesLogarithm)), fyl2xp1: computing(onTwo(timesLogarithmOfOneMore)),
  fpatan: computing(onTwo(arcTangentOf)),
  fsin: computing(circular('sin')), fcos: computing(circular('cos')),
  fsincos: computing(inRange(splitting(
    (a, control) => trigonometric(a, control, 'sin'),
    (a, control) => trigonometric(a, control, 'cos')))),
  fptan: computing(inRange(splitting(tangent, oneAbove))),
  fxtract: computing(splitting(exponentPart, significandPart)),
  fnop: computing(() => {}),
}
