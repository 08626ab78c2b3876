/**
 * x87 loads, stores, exchanges, constants and conditional moves (Intel SDM 2A; AMD APM 5).
 */
import { INVALID, OVERFLOW, UNDERFLOW } from '../float/round.ts'
import type { Machine, Service } from '../machine.ts'
import type { Instruction } from '../operand.ts'
import { toInteger } from './arithmetic.ts'
import {
  INDEFINITE, ONE, extended, fromInteger, kindOf, narrow, outcome, widen, zero, type Extended,
} from './extended.ts'
import { loadDecimal, storeDecimal } from './decimal.ts'
import {
  C1, allFull, computing, free, get, isEmpty, loadAt, memoryOperand, pop,
  probe, push, raise, roomToPush, rotate, set, setConditions, settle, stackIndex, storeAt,
  underflow, type Body,
} from './unit.ts'

const QUIET = 1n << 62n
const TRUNCATE = 3

/** A memory operand of a floating-point instruction; a signaling NaN stays one. */
export function loadFloat(m: Machine, instruction: Instruction): Extended {
  const { width } = memoryOperand(instruction)!
  if (width !== 80) return widen(m.read(0), width)
  const significand = loadAt(m, instruction, 0, 8)
  return extended(Number(loadAt(m, instruction, 8, 2)), significand)
}

export function loadInteger(m: Machine, instruction: Instruction): Extended {
  return fromInteger(BigInt.asIntN(memoryOperand(instruction)!.width, m.read(0)))
}

const fld: Body = (m, instruction) => {
  const memory = memoryOperand(instruction)
  if (!memory) {
    const index = stackIndex(instruction, 0)
    if (isEmpty(m, index)) {
      if (!underflow(m)) push(m, INDEFINITE)
    } else if (roomToPush(m)) {
      setConditions(m, C1, 0)
      push(m, get(m, index))
    }
    return
  }
  const value = loadFloat(m, instruction)
  if (!roomToPush(m)) return
  if (memory.width !== 80 && kindOf(value) === 'signaling') outcome.flags |= INVALID
  // An unmasked denormal is loaded nevertheless.
  if (settle(m) && outcome.flags & INVALID) return
  const quieted = outcome.flags & INVALID ? value.significand | QUIET : value.significand
  push(m, extended(value.signExponent, quieted))
}

function pushing(load: (m: Machine, instruction: Instruction) => Extended): Body {
  return (m, instruction) => {
    const value = load(m, instruction)
    if (!roomToPush(m)) return
    setConditions(m, C1, 0)
    push(m, value)
  }
}

/** A number that has an instruction of its own, rounded down, up, and to the nearest. */
export interface Constant {
  readonly down: Extended
  readonly up: Extended
  readonly nearest: Extended
}

function exactly(value: Extended): Constant {
  return { down: value, up: value, nearest: value }
}

function between(exponent: number, significand: bigint, nearest: 'down' | 'up'): Constant {
  const ends = { down: extended(exponent, significand), up: extended(exponent, significand + 1n) }
  return { ...ends, nearest: ends[nearest] }
}

export const x87Constants: Readonly<Record<string, Constant>> = {
  fld1: exactly(ONE), fldz: exactly(zero(0)),
  fldpi: between(0x4000, 0xc90fdaa22168c234n, 'up'),
  fldl2t: between(0x4000, 0xd49a784bcd1b8afen, 'down'),
  fldl2e: between(0x3fff, 0xb8aa3b295c17f0bbn, 'up'),
  fldlg2: between(0x3ffd, 0x9a209a84fbcff798n, 'up'),
  fldln2: between(0x3ffe, 0xb17217f7d1cf79abn, 'up'),
}

function constantIn({ down, up, nearest }: Constant, m: Machine): Extended {
  const mode = m.x87.controlWord >> 10 & 3
  return mode === 0 ? nearest : mode === 2 ? up : down
}

function storeFloat(pops: boolean): Body {
  return (m, instruction) => {
    if (!memoryOperand(instruction)) return storeToRegister(m, stackIndex(instruction, 0), pops)
    if (memoryOperand(instruction)!.width === 80) return storeExtended(m, instruction)
    const { width } = memoryOperand(instruction)!
    probe(m, instruction, width / 8)
    if (isEmpty(m, 0)) {
      if (underflow(m)) return
      m.write(0, narrow(INDEFINITE, width, m.x87.controlWord))
    } else {
      const bits = narrow(get(m, 0), width, m.x87.controlWord)
      const beyond = outcome.flags & ~m.x87.controlWord & (OVERFLOW | UNDERFLOW)
      if (beyond) outcome.flags = beyond
      setConditions(m, C1, outcome.up && !beyond ? C1 : 0)
      if (raise(m, outcome.flags) & (INVALID | OVERFLOW | UNDERFLOW)) return
      m.write(0, bits)
    }
    if (pops) pop(m)
  }
}

function storeExtended(m: Machine, instruction: Instruction): void {
  probe(m, instruction, 10)
  if (isEmpty(m, 0) && underflow(m)) return
  const value = isEmpty(m, 0) ? INDEFINITE : get(m, 0)
  if (!isEmpty(m, 0)) setConditions(m, C1, 0)
  storeAt(m, instruction, 0, 8, value.significand)
  storeAt(m, instruction, 8, 2, BigInt(value.signExponent))
  pop(m)
}

function storeToRegister(m: Machine, index: number, pops: boolean): void {
  if (isEmpty(m, 0)) {
    if (underflow(m)) return
    set(m, index, INDEFINITE)
  } else {
    setConditions(m, C1, 0)
    set(m, index, get(m, 0))
  }
  if (pops) pop(m)
}

function storeInteger(pops: boolean, truncated: boolean): Body {
  return (m, instruction) => {
    const { width } = memoryOperand(instruction)!
    probe(m, instruction, width / 8)
    let value = 1n << BigInt(width - 1)
    if (isEmpty(m, 0)) {
      if (underflow(m)) return
    } else {
      const mode = truncated ? TRUNCATE : m.x87.controlWord >> 10 & 3
      value = toInteger(get(m, 0), width, mode)
      if (settle(m)) return
    }
    m.write(0, value)
    if (pops) pop(m)
  }
}

const fbld = pushing((m, instruction) =>
  loadDecimal(loadAt(m, instruction, 0, 8), Number(loadAt(m, instruction, 8, 2))))

const fbstp: Body = (m, instruction) => {
  probe(m, instruction, 10)
  const empty = isEmpty(m, 0)
  if (empty && underflow(m)) return
  const digits = storeDecimal(empty ? INDEFINITE : get(m, 0), m.x87.controlWord)
  if (!empty && settle(m)) return
  storeAt(m, instruction, 0, 8, digits & 0xffffffffffffffffn)
  storeAt(m, instruction, 8, 2, digits >> 64n)
  pop(m)
}

const fxch: Body = (m, instruction) => {
  const index = stackIndex(instruction, instruction.operands.length - 1)
  if (!allFull(m, 0, index)) {
    if (underflow(m)) return
    for (const i of [0, index]) if (isEmpty(m, i)) set(m, i, INDEFINITE)
  } else {
    setConditions(m, C1, 0)
  }
  const top = get(m, 0)
  set(m, 0, get(m, index))
  set(m, index, top)
}

/** The condition comes as the operand. */
const conditionalMove: Body = (m, instruction) => {
  const index = stackIndex(instruction, 1)
  if (!allFull(m, 0, index)) {
    if (!underflow(m)) set(m, 0, INDEFINITE)
    return
  }
  if (m.read(0) !== 0n) set(m, 0, get(m, index))
}

const conditionalMoves = ['b', 'e', 'be', 'u', 'nb', 'ne', 'nbe', 'nu']
  .map((condition) => [`fcmov${condition}`, computing(conditionalMove)] as const)

function turnStack(by: number): Body {
  return (m) => {
    setConditions(m, C1, 0)
    rotate(m, by)
  }
}

const ffree: Body = (m, instruction) => {
  setConditions(m, C1, 0)
  free(m, stackIndex(instruction, 0))
}

const ffreep: Body = (m, instruction) => {
  ffree(m, instruction)
  pop(m)
}

/** An alias of FSTP that does not mind an empty register. */
const fstpnce: Body = (m, instruction) => {
  setConditions(m, C1, 0)
  if (!isEmpty(m, 0)) set(m, stackIndex(instruction, 0), get(m, 0))
  pop(m)
}

export const moveServices: Readonly<Record<string, Service>> = {
  fld: computing(fld), fild: computing(pushing(loadInteger)), fbld: computing(fbld),
  fst: computing(storeFloat(false)), fstp: computing(storeFloat(true)),
  fist: computing(storeInteger(false, false)), fistp: computing(storeInteger(true, false)),
  fisttp: computing(storeInteger(true, true)), fbstp: computing(fbstp),
  fxch: computing(fxch), fstpnce: computing(fstpnce),
  ffree: computing(ffree), ffreep: computing(ffreep),
  fincstp: computing(turnStack(1)), fdecstp: computing(turnStack(-1)),
  ...Object.fromEntries(conditionalMoves),
  ...Object.fromEntries(Object.entries(x87Constants)
    .map(([name, value]) => [name, computing(pushing((m) => constantIn(value, m)))] as const)),
}
