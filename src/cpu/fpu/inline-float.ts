/**
 * Scalar arithmetic under MXCSR in line: the fast half of `Backend.float` where a handler needs no
 * call for it.
 *
 * While MXCSR is settled (plain, and the inexact flag set: float-state.ts), an operation on
 * operands that are not denormal changes no flag unless its result tells: infinite or a NaN, or so
 * small that it may have been tiny. So a test of each operand and one of the result suffice; sums
 * in the denormal range are exact and need no such test. What the tests reject goes to the part
 * `float`, which sorts it out once more.
 */
import type { FloatOp } from '../../isa/backend.ts'
import {
  constantOf, f32, f64, i32, i64, select, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder, Label } from '../../wasm/function.ts'

type Width = 32 | 64

/** One operation to be written. `x` and `y` are of the type that `width` says. */
export interface InlineFloat {
  readonly f: FunctionBuilder
  readonly width: Width
  readonly x: Local
  readonly y: Local
  /** Whether x and y are known not to be denormal, unless the other is noted: denormals.ts. */
  readonly known: readonly boolean[]
  /** Of the type that resultTypeOf says. */
  readonly result: Local
  /** Not zero while MXCSR is not settled. */
  readonly unsettled: () => Expression
  /** Where what is unusual goes. */
  readonly slow: Label
}

/** The type of an operation's result: the width's, another float, or i64 for integers. */
export function resultTypeOf(op: FloatOp, width: Width): 'f32' | 'f64' | 'i64' {
  if (op.startsWith('toInt') || op.startsWith('compare')) return 'i64'
  return (width === 64) === (op !== 'convert') ? 'f64' : 'f32'
}

const familyOf = (width: Width) => width === 64 ? f64 : f32

/** Goes to the slow path when an operand is denormal, unless that is known. */
function requireNotDenormal(site: InlineFloat, ...operands: readonly Local[]): void {
  operands.forEach((operand, index) => {
    if (!site.known[index]) requireAsked(site, operand)
  })
}

/** The same, which counts the smallest normal number in. */
function requireAsked({ f, width, slow }: InlineFloat, x: Expression): void {
  if (width === 64) {
    const twice = i64.shl(i64.reinterpret(x), i64.const(1))
    f.brUnlikely(slow, i64.eqz(i64.shrU(i64.sub(twice, i64.const(1)), i64.const(53))))
  } else {
    const twice = i32.shl(i32.reinterpret(x), i32.const(1))
    f.brUnlikely(slow, i32.eqz(i32.shrU(i32.sub(twice, i32.const(1)), i32.const(24))))
  }
}

/** Neither zero nor normal. */
function isOdd(x: Expression, width: Width): Expression {
  if (width === 64) {
    const exponent = i64.shrU(i64.shl(i64.reinterpret(x), i64.const(1)), i64.const(53))
    return i64.geU(i64.sub(exponent, i64.const(1)), i64.const(0x7fe))
  }
  const exponent = i32.shrU(i32.shl(i32.reinterpret(x), i32.const(1)), i32.const(24))
  return i32.geU(i32.sub(exponent, i32.const(1)), i32.const(0xfe))
}

/** Infinite, a NaN, or so small that it may have been tiny before it was rounded. */
function isDoubtful(x: Expression, width: Width): Expression {
  if (width === 64) {
    const exponent = i64.shrU(i64.shl(i64.reinterpret(x), i64.const(1)), i64.const(53))
    return i64.geU(i64.sub(exponent, i64.const(2)), i64.const(0x7fd))
  }
  const exponent = i32.shrU(i32.shl(i32.reinterpret(x), i32.const(1)), i32.const(24))
  return i32.geU(i32.sub(exponent, i32.const(2)), i32.const(0xfd))
}

function requireSettled({ f, unsettled, slow }: InlineFloat): void {
  f.brUnlikely(slow, unsettled())
}

function addition(site: InlineFloat, op: 'add' | 'sub'): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x, y)
  f.set(result, family[op](x, y))
  f.ifUnlikely(isOdd(result, width),
    () => f.brUnlikely(slow, family.ne(result, family.const(0))))
}

function product(site: InlineFloat, op: 'mul' | 'div'): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x, y)
  f.set(result, family[op](x, y))
  f.ifUnlikely(isDoubtful(result, width), () => {
    // A zero that comes from a zero is exact.
    const isZero = (value: Expression): Expression => family.eq(value, family.const(0))
    const origin = op === 'div' ? isZero(x) : i32.or(isZero(x), isZero(y))
    f.brUnlikely(slow, i32.eqz(i32.and(isZero(result), origin)))
  })
}

function squareRoot(site: InlineFloat): void {
  const { f, width, x, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  requireNotDenormal(site, x)
  f.brUnlikely(slow, i32.eqz(i32.and(family.ge(x, family.const(0)),
    family.lt(x, family.const(Infinity)))))
  f.set(result, family.sqrt(x))
}

/** No flags but those of NaNs and denormals, whatever MXCSR says. */
function extremum(site: InlineFloat, op: 'min' | 'max'): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  if (site.known.includes(true)) requireSettled(site)
  requireNotDenormal(site, x, y)
  f.brUnlikely(slow, i32.or(family.ne(x, x), family.ne(y, y)))
  f.set(result, select(x, y, op === 'min' ? family.lt(x, y) : family.gt(x, y)))
}

function comparison(site: InlineFloat): void {
  const { f, width, x, y, result, slow } = site
  const family = familyOf(width)
  if (site.known.includes(true)) requireSettled(site)
  requireNotDenormal(site, x, y)
  f.brUnlikely(slow, i32.or(family.ne(x, x), family.ne(y, y)))
  f.set(result, i64.extendU(i32.add(i32.sub(family.gt(x, y), family.lt(x, y)), i32.const(2))))
}

/** To the other width. Narrowing rounds, and may be inexact. */
function conversion(site: InlineFloat): void {
  const { f, width, x, result, slow } = site
  if (width === 32) {
    requireAsked(site, x)
    f.brUnlikely(slow, f32.ne(x, x))
    f.set(result, f64.promote(x))
    return
  }
  requireSettled(site)
  f.set(result, f32.demote(x))
  f.ifUnlikely(isDoubtful(result, 32), () => f.brUnlikely(slow, f64.ne(x, f64.const(0))))
}

/** Rounds to nearest or towards zero; what does not fit goes to the slow path. */
function toInteger(site: InlineFloat, bits: Width, truncated: boolean): void {
  const { f, width, x, result, slow } = site
  const value = width === 64 ? x : f64.promote(x)
  const whole = truncated ? f64.trunc(value) : f64.nearest(value)
  requireSettled(site)
  f.brUnlikely(slow, i32.eqz(f64.lt(f64.abs(whole), f64.const(bits === 64 ? 2 ** 63 : 2 ** 31))))
  const integer = i64.truncSatF64S(whole)
  f.set(result, bits === 64 ? integer : i64.and(integer, i64.const(0xffff_ffffn)))
}

export type RoundMode = 'nearest' | 'floor' | 'ceil' | 'trunc'

const roundModes: readonly RoundMode[] = ['nearest', 'floor', 'ceil', 'trunc']

/** Writes what ROUNDSD's immediate asks for; its bit 2 says as MXCSR, which is to nearest. */
export function writeRound(
  f: FunctionBuilder, how: Expression, write: (mode: RoundMode) => void,
): void {
  const known = constantOf(how)
  if (known !== undefined) {
    const bits = Number(BigInt(known) & 7n)
    write(roundModes[bits & 4 ? 0 : bits]!)
    return
  }
  f.block((done) => {
    const cases = roundModes.slice(1).map((mode) => () => {
      write(mode)
      f.br(done)
    })
    const mode = i32.and(i32.wrap(how), i32.const(7))
    // 1 to 3 are cases 0 to 2; all else is to nearest.
    f.switch(i32.sub(mode, i32.const(1)), cases, () => write('nearest'))
  })
}

function roundToIntegral(site: InlineFloat, how: Expression): void {
  const { f, width, x, result, slow } = site
  const family = familyOf(width)
  requireSettled(site)
  f.brUnlikely(slow, family.ne(x, x))
  writeRound(f, how, (mode) => f.set(result, family[mode](x)))
}

/** Writes the operation; `integer` is the scalar operand of conversions and of rounding. */
export function writeInlineFloat(site: InlineFloat, op: FloatOp, integer: Expression): void {
  switch (op) {
    case 'add': case 'sub': return addition(site, op)
    case 'mul': case 'div': return product(site, op)
    case 'sqrt': return squareRoot(site)
    case 'min': case 'max': return extremum(site, op)
    case 'compare': case 'compareSignaling': return comparison(site)
    case 'convert': return conversion(site)
    case 'round': return roundToIntegral(site, integer)
    case 'fromHalf': case 'toHalf': return site.f.br(site.slow)
    case 'toInt32': return toInteger(site, 32, false)
    case 'toInt64': return toInteger(site, 64, false)
    case 'toInt32Truncated': return toInteger(site, 32, true)
    case 'toInt64Truncated': return toInteger(site, 64, true)
    case 'fromInt32': case 'fromInt64': {
      const family = familyOf(site.width)
      // Integers of 32 bits are doubles.
      if (op === 'fromInt64' || site.width === 32) requireSettled(site)
      site.f.set(site.result, op === 'fromInt64' ? family.convertI64S(integer)
        : family.convertI32S(i32.wrap(integer)))
    }
  }
}
