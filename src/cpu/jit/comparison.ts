/**
 * Conditions on flags that one comparison set: a comparison followed by a jump is one comparison of
 * values, without flags.
 */
import { f32, f64, i32, i64, type Expression } from '../../wasm/expression.ts'
import type { Flags } from '../../isa/backend.ts'
import type { Value } from '../interpreter/reading/value.ts'
import type { Comparison } from './flag-state.ts'

/** What flags that were all set by a subtraction, or a comparison of floats, are of. */
export function comparisonOf(flags: Flags<Value>): Comparison | undefined {
  const { zf, cf, of } = flags
  if (cf?.shape.kind === 'less' && cf.shape.a.shape.kind === 'order') {
    const { a, b } = cf.shape.a.shape
    return { a, b, width: 0 }
  }
  if (zf?.shape.kind !== 'isZero' || cf?.shape.kind !== 'less' || !of) return undefined
  const difference = zf.shape.of.shape
  if (difference.kind !== 'difference') return undefined
  const { a, b, width } = difference
  return cf.shape.a === a && cf.shape.b === b ? { a, b, width } : undefined
}

const ZERO = i64.const(0n)

/** A condition on the difference of two values; undefined where the flags say it as simply. */
export function compare(pair: number, { a, b, width }: Comparison): Expression | undefined {
  const [x, y] = [a.expression(), b.expression()]
  if (width === 0) return compareFloats(pair, x, y)
  switch (pair) {
    case 1: return i64.ltU(x, y)
    case 2: return i64.eq(x, y)
    case 3: return i64.leU(x, y)
    case 4: return signed(width, 'ltS', difference(width, x, y), ZERO)
    case 6: return signed(width, 'ltS', x, y)
    case 7: return signed(width, 'leS', x, y)
    default: return undefined
  }
}

/** A condition on what a comparison of floats left in ZF, PF and CF. */
function compareFloats(pair: number, x: Expression, y: Expression): Expression | undefined {
  const family = x.type === 'f64' ? f64 : f32
  switch (pair) {
    case 1: return i32.eqz(family.ge(x, y))
    case 2: return i32.eqz(i32.or(family.lt(x, y), family.gt(x, y)))
    case 3: return i32.eqz(family.gt(x, y))
    case 5: return i32.or(family.ne(x, x), family.ne(y, y))
    default: return undefined
  }
}

function difference(width: number, x: Expression, y: Expression): Expression {
  return width === 32 ? i64.extendU(i32.sub(i32.wrap(x), i32.wrap(y))) : i64.sub(x, y)
}

function signed(
  width: number, operation: 'ltS' | 'leS', x: Expression, y: Expression,
): Expression {
  switch (width) {
    case 64: return i64[operation](x, y)
    case 32: return i32[operation](i32.wrap(x), i32.wrap(y))
    case 16: return i32[operation](i32.extend16(i32.wrap(x)), i32.extend16(i32.wrap(y)))
    default: return i32[operation](i32.extend8(i32.wrap(x)), i32.extend8(i32.wrap(y)))
  }
}
