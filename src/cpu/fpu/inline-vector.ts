/**
 * Packed arithmetic under MXCSR in line: the fast half of `Backend.floatVector` and `floatCompare`,
 * by the tests of inline-float.ts on all lanes at once.
 *
 * A test leaves ones in the lanes where all is well. Its constants are such that a region has them
 * in locals.
 */
import type { FloatVectorOp } from '../../isa/backend.ts'
import {
  constantOf, i32, i64, simd, v128, type Expression, type Local,
} from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { type BoundedOp, isBounded, MODERATE } from './float-bounds.ts'
import { type InlineFloat, requireSettled, requireUnnoted, writeRound } from './inline-float.ts'

type Width = 32 | 64
type BoundedVectorOp = BoundedOp | 'addsub'

/** One operation on vectors to be written: operands and result are v128. */
export interface InlineVector extends InlineFloat {
  readonly constant: (bits: bigint) => Expression
}

const vector = (opcode: number) => (...operands: Expression[]): Expression =>
  simd('v128', opcode, operands)
const test = (opcode: number) => (a: Expression): Expression => simd('i32', opcode, [a])

/** Instructions of the core specification (prefix 0xfd) for lanes of 32 and of 64 bits. */
const lanes = {
  32: {
    add: vector(228), sub: vector(229), mul: vector(230), div: vector(231), sqrt: vector(227),
    pmin: vector(234), pmax: vector(235), abs: vector(224), eq: vector(65), ne: vector(66),
    lt: vector(67), gt: vector(68), le: vector(69), ge: vector(70), nearest: vector(106),
    floor: vector(104), ceil: vector(103), trunc: vector(105), bitmask: test(164),
    splat: vector(17), addBits: vector(174), gtBits: vector(59),
  },
  64: {
    add: vector(240), sub: vector(241), mul: vector(242), div: vector(243), sqrt: vector(239),
    pmin: vector(246), pmax: vector(247), abs: vector(236), eq: vector(71), ne: vector(72),
    lt: vector(73), gt: vector(74), le: vector(75), ge: vector(76), nearest: vector(148),
    floor: vector(117), ceil: vector(116), trunc: vector(122), bitmask: test(196),
    splat: vector(18), addBits: vector(206), gtBits: vector(217),
  },
} as const
const and = vector(78)
const or = vector(80)
const xor = vector(81)
const truncSingles = vector(248)
const convertIntegers = vector(250)
const truncDoubles = vector(252)
const convertLowIntegers = vector(254)
const demote = vector(94)
const promoteLow = vector(95)

const ZERO = v128.const(0n)
const ONES = v128.const((1n << 128n) - 1n)
const scratch = new DataView(new ArrayBuffer(8))

/** All lanes the integer `lane`. */
function repeated(width: Width, lane: bigint): bigint {
  const bits = BigInt.asUintN(width, lane)
  return width === 64 ? bits << 64n | bits : bits << 96n | bits << 64n | bits << 32n | bits
}

/** All lanes with the bits of `value`. */
function repeatedBits(width: Width, value: number): bigint {
  if (width === 64) {
    scratch.setFloat64(0, value)
    const bits = scratch.getBigUint64(0)
    return bits << 64n | bits
  }
  scratch.setFloat32(0, value)
  const bits = BigInt(scratch.getUint32(0))
  return bits << 96n | bits << 64n | bits << 32n | bits
}

/** All lanes `value`. */
function all({ constant }: InlineVector, width: Width, value: number): Expression {
  return constant(repeatedBits(width, value))
}

const infinity = (site: InlineVector, width: Width): Expression => all(site, width, Infinity)

function magnitude({ constant }: InlineVector, x: Expression, width: Width): Expression {
  return and(x, constant((1n << 128n) - 1n ^ repeatedBits(width, -0)))
}

/** Zero, or no less than the smallest normal number. Doubled and less by one, what is less is less
 * as an unsigned integer too, and zero the greatest; the comparison is signed. */
function notDenormal({ width, constant }: InlineVector, x: Expression): Expression {
  const { addBits, gtBits } = lanes[width]
  const least = width === 64 ? 1n << 53n : 1n << 24n
  const top = 1n << BigInt(width - 1)
  const twice = addBits(x, x)
  return gtBits(addBits(twice, constant(repeated(width, top - 1n))),
    constant(repeated(width, least - 2n - top)))
}

/** The tests of the operands of which that is not known. */
function operandTests(site: InlineVector, ...operands: readonly Local[]): Expression[] {
  return operands.filter((_, index) => !site.known[index])
    .map((operand) => notDenormal(site, operand))
}

/** Lanes whose magnitudes are from one that is not zero up to, but not with, another; by their
 * bits. Doubled, they have no sign, and less by the one, those within are less than their distance
 * as unsigned integers; the comparison is signed. */
function areBetween(
  constant: InlineVector['constant'], width: Width, least: bigint, end: bigint, x: Expression,
): Expression {
  const { addBits, gtBits } = lanes[width]
  const top = 1n << BigInt(width - 1)
  return gtBits(constant(repeated(width, (end - least) * 2n - top)),
    addBits(addBits(x, x), constant(repeated(width, top - least * 2n))))
}

/** Normal, but for the smallest normal number, which may have been rounded to. */
function isPlainlyNormal({ width, constant }: InlineVector, x: Expression): Expression {
  return width === 64 ? areBetween(constant, 64, (1n << 52n) + 1n, 0x7ffn << 52n, x)
    : areBetween(constant, 32, (1n << 23n) + 1n, 0xffn << 23n, x)
}

function isFinite(site: InlineVector, x: Expression, width = site.width): Expression {
  return lanes[width].lt(magnitude(site, x, width), infinity(site, width))
}

/** -> i32: not zero when a lane fails a test. */
function fails(width: Width, tests: readonly Expression[]): Expression {
  const joined = tests.reduce((a, b) => and(a, b))
  return i32.ne(lanes[width].bitmask(joined), i32.const(width === 64 ? 3 : 15))
}

function requireAll({ f, width, slow }: InlineVector, ...tests: Expression[]): void {
  if (tests.length > 0) f.brUnlikely(slow, fails(width, tests))
}

/** The sign bit of the even lanes. */
const evenSigns = (width: Width): Expression =>
  v128.const(width === 64 ? 1n << 63n : 1n << 31n | 1n << 95n)

function addition(site: InlineVector, op: 'add' | 'sub' | 'addsub'): void {
  const { f, width, x, y, result } = site
  requireSettled(site)
  f.set(result, op === 'addsub' ? lanes[width].add(x, xor(y, evenSigns(width)))
    : lanes[width][op](x, y))
  requireAll(site, ...operandTests(site, x, y), notDenormal(site, result), isFinite(site, result))
}

function product(site: InlineVector, op: 'mul' | 'div'): void {
  const { f, width, x, y, result } = site
  const { eq } = lanes[width]
  requireSettled(site)
  f.set(result, lanes[width][op](x, y))
  const operands = operandTests(site, x, y)
  const inside = isPlainlyNormal(site, result)
  f.ifUnlikely(fails(width, [...operands, inside]), () => {
    // Zeros that come from zeros are exact.
    const origin = op === 'div' ? eq(x, ZERO) : or(eq(x, ZERO), eq(y, ZERO))
    requireAll(site, ...operands, or(inside, and(eq(result, ZERO), origin)))
  })
}

/** Doubles that are MODERATE and not zero. */
function areModerate(constant: InlineVector['constant'], x: Expression): Expression {
  const bitsOf = (exponent: number): bigint => BigInt(1023 + exponent) << 52n
  return areBetween(constant, 64, bitsOf(MODERATE.low), bitsOf(MODERATE.high), x)
}

/** Writes what is done where some of the doubles are neither MODERATE nor zero. */
export function writeUnlessModerate(
  f: FunctionBuilder, constant: InlineVector['constant'], doubles: readonly Expression[],
  otherwise: (isOutside: Expression) => void,
): void {
  if (doubles.length === 0) return
  const tests = doubles.map((x) => areModerate(constant, x))
  const zeros = tests.map((test, index) => or(test, lanes[64].eq(doubles[index]!, ZERO)))
  f.ifUnlikely(fails(64, tests), () => otherwise(fails(64, zeros)))
}

/** Doubles whose operands are bounded: see inline-float.ts. */
function bounded(site: InlineVector, op: BoundedVectorOp): void {
  const { f, x, y, known, result, constant, slow } = site
  const { eq, ge, ne } = lanes[64]
  requireSettled(site)
  const operands = op === 'sqrt' ? [x] : [x, y]
  writeUnlessModerate(f, constant, operands.filter((_, index) => !known[index]),
    (isOutside) => f.brUnlikely(slow, isOutside))
  if (op === 'sqrt') requireAll(site, ge(x, ZERO))
  if (op === 'div') requireAll(site, ne(y, ZERO))
  f.set(result, op === 'sqrt' ? lanes[64].sqrt(x)
    : op === 'addsub' ? lanes[64].add(x, xor(y, evenSigns(64))) : lanes[64][op](x, y))
  if (site.bounded === 'normal') return
  const inside = areModerate(constant, result)
  f.ifUnlikely(fails(64, [inside]), () => {
    // A zero that comes from a zero is exact, and so is that of a sum.
    const origin = op === 'mul' ? or(eq(x, ZERO), eq(y, ZERO)) : op === 'div' ? eq(x, ZERO) : ONES
    requireAll(site, or(inside, and(eq(result, ZERO), origin)))
  })
}

function squareRoot(site: InlineVector): void {
  const { f, width, x, result } = site
  const { ge, lt, sqrt } = lanes[width]
  requireSettled(site)
  requireAll(site, ...operandTests(site, x), and(ge(x, ZERO), lt(x, infinity(site, width))))
  f.set(result, sqrt(x))
}

function requireComparable(site: InlineVector): void {
  const { width, x, y, finite } = site
  requireUnnoted(site)
  const { eq } = lanes[width]
  const ordered = [x, y].filter((_, index) => !finite[index]).map((operand) => eq(operand, operand))
  requireAll(site, ...operandTests(site, x, y), ...ordered)
}

function extremum(site: InlineVector, op: 'min' | 'max'): void {
  const { f, width, x, y, result } = site
  requireComparable(site)
  f.set(result, op === 'min' ? lanes[width].pmin(y, x) : lanes[width].pmax(y, x))
}

function conversion(site: InlineVector): void {
  const { f, width, x, result, slow } = site
  const { eq, ge, gt } = lanes[64]
  const require = (good: Expression): void => f.brUnlikely(slow, fails(64, [good]))
  if (width === 32) {
    // Singles that are denormal are small as doubles, and NaNs compare false.
    f.set(result, promoteLow(x))
    require(or(ge(magnitude(site, result, 64), all(site, 64, 2 ** -126)), eq(result, ZERO)))
    return
  }
  requireSettled(site)
  f.set(result, demote(x))
  const back = promoteLow(result)
  require(and(isFinite(site, back, 64),
    or(gt(magnitude(site, back, 64), all(site, 64, 2 ** -126)), eq(x, ZERO))))
}

function toInteger(site: InlineVector, truncated: boolean): void {
  const { f, width, x, result } = site
  const { lt, nearest } = lanes[width]
  requireSettled(site)
  // Truncated, it fits if it fits as it is.
  f.set(result, truncated ? x : nearest(x))
  requireAll(site, lt(magnitude(site, result, width), all(site, width, 2 ** 31)))
  f.set(result, width === 64 ? truncDoubles(result) : truncSingles(result))
}

function fromInteger(site: InlineVector): void {
  const { f, width, x, result } = site
  // Integers of 32 bits are doubles.
  if (width === 32) requireSettled(site)
  f.set(result, width === 64 ? convertLowIntegers(x) : convertIntegers(x))
}

function roundToIntegral(site: InlineVector, how: Expression): void {
  const { f, width, x, result } = site
  requireSettled(site)
  requireAll(site, lanes[width].eq(x, x))
  writeRound(f, how, (mode) => f.set(result, lanes[width][mode](x)))
}

/** Writes the operation; `how` is the immediate of rounding. */
export function writeInlineVector(site: InlineVector, op: FloatVectorOp, how: Expression): void {
  if (site.bounded && (op === 'addsub' || isBounded(op))) return bounded(site, op)
  switch (op) {
    case 'add': case 'sub': case 'addsub': return addition(site, op)
    case 'mul': case 'div': return product(site, op)
    case 'sqrt': return squareRoot(site)
    case 'min': case 'max': return extremum(site, op)
    case 'convert': return conversion(site)
    case 'toInt32': return toInteger(site, false)
    case 'toInt32Truncated': return toInteger(site, true)
    case 'fromInt32': return fromInteger(site)
    case 'round': return roundToIntegral(site, how)
  }
}

/** Of ordered operands: the comparison for each set of orders, less 1, equal 2, greater 4. */
const known = [undefined, 'lt', 'eq', 'le', 'gt', 'ne', 'ge', undefined] as const

/** A comparison without NaNs; `orders` has a bit for each order (FloatOp) that is wanted. */
export function writeInlineCompare(site: InlineVector, orders: Expression): void {
  const { f, width, x, y, result } = site
  const family = lanes[width]
  requireComparable(site)
  const constant = constantOf(orders)
  if (constant !== undefined) {
    const wanted = Number(constant) >> 1 & 7
    const name = known[wanted]
    f.set(result, name ? family[name](x, y) : wanted ? ONES : ZERO)
    return
  }
  const mask = (order: number): Expression => {
    const bit = i64.and(i64.shrU(orders, i64.const(order)), i64.const(1))
    const ones = i64.sub(i64.const(0), bit)
    return family.splat(width === 64 ? ones : i32.wrap(ones))
  }
  f.set(result, or(or(and(family.lt(x, y), mask(1)), and(family.eq(x, y), mask(2))),
    and(family.gt(x, y), mask(3))))
}
