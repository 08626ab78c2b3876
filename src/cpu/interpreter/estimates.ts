/**
 * RCPSS and RSQRTSS in WebAssembly: the estimates of isa/pure-vector-estimate.ts, which depend on
 * twelve bits of the fraction and, of roots, on whether the exponent is odd. Each is asked for once
 * and then remembered in core memory; a word that is 0 is not known, so that nothing needs filling,
 * and forgetting does no harm. NaNs, infinities, and roots of what is negative are left to
 * TypeScript, as reciprocals are that would be denormal.
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { FunctionReference } from '../../wasm/module.ts'
import { pureNumber } from '../../isa/pure.ts'
import { coreMap } from '../core-memory.ts'
import { Z } from './core-fields.ts'
import { CORE } from './parts.ts'

const c32 = i32.const
const KNOWN = 1 << 15
const FRACTION = 0xfff
/** Where the first of the twelve bits of a fraction stands. */
const SHIFT = 11
/** Bytes of a table: of reciprocals, of roots of an even exponent, and of an odd one. */
const TABLE = 2 * (FRACTION + 1)
const INFINITY = 0x7f80_0000
const SIGN = -0x8000_0000

/** For the bits of the operand: whether its estimate is found here, and what makes it. */
interface Estimate {
  isUsual(bits: Expression): Expression
  /** Byte offset of its table. */
  table(bits: Expression): Expression
  /** The biased exponent of the result. */
  exponent(bits: Expression): Expression
}

const exponentOf = (bits: Expression): Expression =>
  i32.and(i32.shrU(bits, c32(23)), c32(0xff))
const fractionOf = (bits: Expression): Expression =>
  i32.and(i32.shrU(bits, c32(SHIFT)), c32(FRACTION))
/** The bias is odd. */
const isOdd = (bits: Expression): Expression =>
  i32.and(i32.add(exponentOf(bits), c32(1)), c32(1))

const estimates: Readonly<Record<'rcp32' | 'rsqrt32', Estimate>> = {
  rcp32: {
    isUsual: (bits) => i32.leU(exponentOf(bits), c32(252)),
    table: () => c32(0),
    exponent: (bits) => i32.sub(c32(253), exponentOf(bits)),
  },
  rsqrt32: {
    isUsual: (bits) => i32.ltU(i32.shrU(bits, c32(23)), c32(0xff)),
    table: (bits) => i32.add(c32(TABLE), i32.mul(isOdd(bits), c32(TABLE))),
    exponent: (bits) => i32.sub(c32(126),
      i32.shrS(i32.sub(i32.sub(exponentOf(bits), c32(127)), isOdd(bits)), c32(1))),
  },
}

/** Returns if the function of `number` is an estimate that is found here; `otherwise` finds all.
 * Operand and result lie where pure-calls.ts says. */
export function writeEstimates(
  f: FunctionBuilder, number: Local, otherwise: FunctionReference,
): void {
  const [bits, place, entry] = [f.local('i32'), f.local('i32'), f.local('i32')]
  const sign = i32.and(bits, c32(SIGN))
  const result = i32.load(CORE, Z, coreMap.scratch)
  const answer = (value: Expression): void => {
    f.store('i64', CORE, Z, i64.extendU(value), coreMap.scratch)
    f.return()
  }
  for (const [name, { isUsual, table, exponent }] of Object.entries(estimates)) {
    f.if(i32.eq(number, c32(pureNumber(name))), () => f.block((unusual) => {
      f.set(bits, result)
      f.if(i32.eqz(exponentOf(bits)), () => answer(i32.or(sign, c32(INFINITY))))
      f.brIf(unusual, i32.eqz(isUsual(bits)))
      f.set(place, i32.add(table(bits), i32.shl(fractionOf(bits), c32(1))))
      f.set(entry, i32.load16U(CORE, place, coreMap.estimates))
      f.if(i32.eqz(entry), () => {
        f.call(otherwise, number)
        f.store('i32As16', CORE, place, i32.or(fractionOf(result), c32(KNOWN)), coreMap.estimates)
        f.return()
      })
      answer(i32.or(i32.or(sign, i32.shl(exponent(bits), c32(23))),
        i32.shl(i32.and(entry, c32(FRACTION)), c32(SHIFT))))
    }))
  }
}
