/**
 * CRC32, PDEP and PEXT as bodies of pure functions (AMD APM 3).
 */
import { i32, i64, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import { crc32Tables } from '../../isa/pure-integer.ts'
import { coreMap } from '../core-memory.ts'
import { Z } from './core-fields.ts'
import { CORE } from './parts.ts'
import { type PureBody, slot } from './pure-body.ts'

const ONE = i64.const(1)
const TABLE_SHIFT = 10

/** Writes the tables that the body of CRC32 looks up. */
export function fillCrc32Tables(core: ArrayBuffer): void {
  crc32Tables.forEach((table, number) =>
    new Uint32Array(core, coreMap.crc32Tables + (number << TABLE_SHIFT), 256).set(table))
}

/** All bytes at once: that of the highest address by the first table, the one before it, which has
 * a byte more behind it, by the next. */
function crc32(f: FunctionBuilder): void {
  const [sum, mixed] = [f.local('i64'), f.local('i64')]
  const sumOf = (bytes: number): Expression => {
    const terms = Array.from({ length: bytes }, (_, byte) => {
      const shifted = i64.shrU(mixed, i64.const(8 * byte))
      const index = i32.shl(i32.and(i32.wrap(shifted), i32.const(0xff)), i32.const(2))
      return i64.load32U(CORE, index, coreMap.crc32Tables + (bytes - 1 - byte << TABLE_SHIFT))
    })
    return terms.reduce((all, term) => i64.xor(all, term))
  }
  f.set(sum, i64.load32U(CORE, Z, slot(0)))
  f.set(mixed, i64.xor(sum, i64.load(CORE, Z, slot(1))))
  const width = i32.load(CORE, Z, slot(2))
  const cases = [1, 2, 4, 8].map((bytes) => () => {
    const rest = i64.shrU(sum, i64.const(8 * bytes))
    f.store('i64', CORE, Z, bytes < 4 ? i64.xor(sumOf(bytes), rest) : sumOf(bytes), slot(0))
    f.return(i32.const(1))
  })
  f.switch(i32.sub(i32.ctz(width), i32.const(3)), cases, () => f.return(Z))
}

/** A body of (value, mask) that calls `step` for each one of the mask: `lowest` is that one alone,
 * `bit` the bit that counts up from 0. */
function eachOne(
  step: (value: Local, lowest: Local, bit: Local) => Expression,
): PureBody {
  return (f) => {
    const [value, rest, bit] = [f.local('i64'), f.local('i64'), f.local('i64')]
    const [lowest, result] = [f.local('i64'), f.local('i64')]
    f.set(value, i64.load(CORE, Z, slot(0)))
    f.set(rest, i64.load(CORE, Z, slot(1)))
    f.set(bit, ONE)
    f.block((done) => f.loop((again) => {
      f.brIf(done, i64.eqz(rest))
      f.set(lowest, i64.and(rest, i64.sub(i64.const(0), rest)))
      f.set(result, i64.or(result, step(value, lowest, bit)))
      f.set(bit, i64.shl(bit, ONE))
      f.set(rest, i64.xor(rest, lowest))
      f.br(again)
    }))
    f.store('i64', CORE, Z, result, slot(0))
    f.return(i32.const(1))
  }
}

/** `to`, where `value` has the bit `from`. */
function moved(value: Local, from: Local, to: Local): Expression {
  const isSet = i64.extendU(i64.ne(i64.and(value, from), i64.const(0)))
  return i64.and(to, i64.sub(i64.const(0), isSet))
}

export const integerBodies: Readonly<Record<string, PureBody>> = {
  crc32,
  pdep: eachOne((value, lowest, bit) => moved(value, bit, lowest)),
  pext: eachOne((value, lowest, bit) => moved(value, lowest, bit)),
}
