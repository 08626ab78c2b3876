/**
 * Which function of the engine carries out an x87 operation, and what it is told beside the numbers
 * of its registers.
 */
import { i32, type Expression } from '../../wasm/expression.ts'
import { SHAPE_MASK, shapes, type StackShape } from '../../isa/x87/form.ts'

/** Bits of an operation's index: how often it pops (two bits), and what makes it special. */
const POPS_SHIFT = 16
const INTEGER = 1 << 18
/** The order goes to the flags, not to the condition codes. */
const TO_FLAGS = 1 << 19
/** Integers are cut off, not rounded. */
const TRUNCATES = 1 << 20
/** The second operand of a comparison is zero. */
const WITH_ZERO = 1 << 21

/** Operations of the part x87Move, in bits 24 to 27. */
export const Move = {
  NEGATE: 0, ABSOLUTE: 1, STORE: 2, CONDITIONAL: 3, FREE: 4, UP: 5, DOWN: 6,
} as const
const MOVE_SHIFT = 24

const moves: Readonly<Record<string, number>> = {
  fchs: Move.NEGATE, fabs: Move.ABSOLUTE, fst: Move.STORE, fstp: Move.STORE, ffree: Move.FREE,
  fincstp: Move.UP, fdecstp: Move.DOWN,
}

const arithmetic = {
  add: 'x87Add', sub: 'x87Sub', subr: 'x87Subr', mul: 'x87Mul', div: 'x87Div', divr: 'x87Divr',
} as const

const functions = {
  fsqrt: 'x87Sqrt', frndint: 'x87Rndint', fscale: 'x87Scale', fprem: 'x87Prem',
  fprem1: 'x87Prem1',
} as const

export type X87Part =
  | typeof arithmetic[keyof typeof arithmetic]
  | typeof functions[keyof typeof functions]
  | 'x87Load' | 'x87Store' | 'x87Compare' | 'x87Xam' | 'x87Move' | 'x87Exchange' | 'x87Exact'

/** Whether an operation's form, as it is known while running, is of a shape. */
export function isShape(form: Expression, shape: StackShape): Expression {
  return i32.eq(i32.and(form, i32.const(SHAPE_MASK)), i32.const(shapes.indexOf(shape)))
}

function isMemory(shape: StackShape): boolean {
  return /\d/.test(shape)
}

/** The part that carries out an operation, or tries to before it asks x87Exact. */
export function x87PartOf(name: string, shape: StackShape): X87Part {
  const [, operation] = /^fi?(add|mul|subr|sub|divr|div)p?$/.exec(name) ?? []
  if (operation) return arithmetic[operation as keyof typeof arithmetic]
  if (name in functions) return functions[name as keyof typeof functions]
  if (/^(f[ui]?com|ftst)/.test(name)) return 'x87Compare'
  if (name === 'fld' || name === 'fild') return 'x87Load'
  if (/^(fst|fstp|fist|fistp|fisttp)$/.test(name) && isMemory(shape)) return 'x87Store'
  if (name === 'fxch') return 'x87Exchange'
  if (name === 'fxam') return 'x87Xam'
  return name in moves || name.startsWith('fcmov') ? 'x87Move' : 'x87Exact'
}

/** The bits of an operation's index that are not registers'. */
export function x87Flags(name: string): number {
  const pops = name.endsWith('pp') ? 2 : name.endsWith('p') && !/cstp$/.test(name) ? 1 : 0
  const move = name.startsWith('fcmov') ? Move.CONDITIONAL : moves[name] ?? 0
  return pops << POPS_SHIFT | move << MOVE_SHIFT
    | (name.startsWith('fi') && name !== 'fincstp' ? INTEGER : 0)
    | (/^fu?comip?$/.test(name) ? TO_FLAGS : 0)
    | (name === 'fisttp' ? TRUNCATES : 0) | (name === 'ftst' ? WITH_ZERO : 0)
}

const bit = (flag: number) => (index: Expression): Expression => i32.and(index, i32.const(flag))

export const takesInteger = bit(INTEGER)
export const goesToFlags = bit(TO_FLAGS)
export const truncates = bit(TRUNCATES)
export const isWithZero = bit(WITH_ZERO)

/** How often an operation with these bits pops. */
export function popsIn(flags: number): number {
  return flags >> POPS_SHIFT & 3
}

export function popsOf(index: Expression): Expression {
  return i32.and(i32.shrU(index, i32.const(POPS_SHIFT)), i32.const(3))
}

export function moveOf(index: Expression): Expression {
  return i32.shrU(index, i32.const(MOVE_SHIFT))
}
