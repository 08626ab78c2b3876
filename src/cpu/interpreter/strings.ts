/**
 * The string comparison of SSE4.2 on bytes, as bodies of pure functions (Intel SDM 2B, 4.1): what C
 * libraries search strings with. On words TypeScript is called.
 *
 * Sets of elements are words of a bit each.
 */
import { call, i32, i64, simd, v128, type Expression, type Local } from '../../wasm/expression.ts'
import type { FunctionBuilder } from '../../wasm/function.ts'
import type { ModuleBuilder } from '../../wasm/module.ts'
import { Z } from './core-fields.ts'
import { CORE } from './parts.ts'
import { type PureBody, slot } from './pure-body.ts'

/** Bits of the immediate. */
const How = { WORDS: 1, SIGNED: 2, NEGATIVE: 1 << 4, ONLY_VALID: 1 << 5 } as const
const ALL = 0xffff
const COUNT = 16

const EQ = 35
const GE_S = 43
const GE_U = 44
const SPLAT = 15
const BITMASK = 100
const AND = 78

const c32 = i32.const
const bitmask = (vector: Expression): Expression => simd('i32', BITMASK, [vector])
const splat = (byte: Expression): Expression => simd('v128', SPLAT, [byte])
/** As many ones as a length. */
const ones = (length: Expression): Expression => i32.sub(i32.shl(c32(1), length), c32(1))

/** A body that compares bytes: `how` is the operand with the number `at`. */
function comparing(
  at: number, setLengths: (f: FunctionBuilder, aLength: Local, bLength: Local) => void,
): PureBody {
  return (f, module) => {
    const compare = buildCompare(module)
    const [how, aLength, bLength] = [f.local('i32'), f.local('i32'), f.local('i32')]
    f.set(how, i32.load(CORE, Z, slot(at)))
    f.if(i32.and(how, c32(How.WORDS)), () => f.return(Z))
    setLengths(f, aLength, bLength)
    f.store('i64', CORE, Z, call(compare, how, aLength, bLength), slot(0))
    f.return(c32(1))
  }
}

export const stringBodies: Readonly<Record<string, PureBody>> = {
  pcmpistr: comparing(2, (f, aLength, bLength) => {
    f.set(aLength, terminated(v128.load(CORE, Z, slot(0))))
    f.set(bLength, terminated(v128.load(CORE, Z, slot(1))))
  }),
  pcmpestr: comparing(4, (f, aLength, bLength) => {
    setLength(f, aLength, slot(2))
    setLength(f, bLength, slot(3))
  }),
}

/** Elements before the first zero. */
function terminated(vector: Expression): Expression {
  const zeros = bitmask(simd('v128', EQ, [vector, v128.const(0n)]))
  return i32.ctz(i32.or(zeros, c32(1 << COUNT)))
}

/** An explicit length counts by its magnitude, up to the number of elements. */
function setLength(f: FunctionBuilder, length: Local, at: number): void {
  const whole = f.local('i64')
  f.set(whole, i64.load(CORE, Z, at))
  f.if(i64.ltS(whole, i64.const(0n)), () => f.set(whole, i64.sub(i64.const(0n), whole)))
  f.set(length, c32(COUNT))
  f.if(i64.ltU(whole, i64.const(COUNT)), () => f.set(length, i32.wrap(whole)))
}

/** (immediate, lengths) -> result bits in 0 to 15; CF, ZF, SF and OF in 16 to 19. */
function buildCompare(module: ModuleBuilder): FunctionBuilder {
  const f = module.function({ parameters: ['i32', 'i32', 'i32'], result: 'i64' })
  const [how, aLength, bLength] = f.parameters as [Local, Local, Local]
  const b = f.local('v128')
  const bits = f.local('i32')
  const valid = f.local('i32')
  const at = f.local('i32')
  f.set(b, v128.load(CORE, Z, slot(1)))
  f.set(valid, ones(bLength))
  const element = (offset = 0): Expression => splat(i32.load8U(CORE, at, slot(0) + offset))
  /** Counts `at` in steps while `at + step` is at most the length of the first operand. */
  const each = (step: number, body: () => void): void => f.block((done) => f.loop((again) => {
    f.brIf(done, i32.gtU(i32.add(at, c32(step)), aLength))
    body()
    f.set(at, i32.add(at, c32(step)))
    f.br(again)
  }))
  const within = (opcode: number): Expression => bitmask(simd('v128', AND, [
    simd('v128', opcode, [b, element()]), simd('v128', opcode, [element(1), b])]))
  f.block((done) => f.switch(i32.and(i32.shrU(how, c32(2)), c32(3)), [
    () => {
      each(1, () => f.set(bits, i32.or(bits, bitmask(simd('v128', EQ, [element(), b])))))
      f.set(bits, i32.and(bits, valid))
      f.br(done)
    },
    () => {
      each(2, () => f.if(i32.and(how, c32(How.SIGNED)),
        () => f.set(bits, i32.or(bits, within(GE_S))),
        () => f.set(bits, i32.or(bits, within(GE_U)))))
      f.set(bits, i32.and(bits, valid))
      f.br(done)
    },
    () => {
      const same = bitmask(simd('v128', EQ, [v128.load(CORE, Z, slot(0)), b]))
      const either = i32.or(ones(aLength), valid)
      f.set(bits, i32.or(i32.and(i32.and(same, ones(aLength)), valid),
        i32.and(i32.xor(either, c32(-1)), c32(ALL))))
      f.br(done)
    },
  ], () => {
    f.set(bits, c32(ALL))
    each(1, () => {
      const same = i32.and(bitmask(simd('v128', EQ, [element(), b])), valid)
      // What would stand beyond the vector is taken to match.
      const beyond = i32.shl(c32(ALL), i32.sub(c32(COUNT), at))
      f.set(bits, i32.and(bits, i32.or(i32.shrU(same, at), beyond)))
    })
  }))
  f.if(i32.and(how, c32(How.NEGATIVE)), () => f.if(i32.and(how, c32(How.ONLY_VALID)),
    () => f.set(bits, i32.xor(bits, valid)), () => f.set(bits, i32.xor(bits, c32(ALL)))))
  const flag = (value: Expression, place: number): Expression => i32.shl(value, c32(place))
  const flags = i32.or(
    i32.or(flag(i32.ne(bits, Z), 16), flag(i32.ltU(bLength, c32(COUNT)), 17)),
    i32.or(flag(i32.ltU(aLength, c32(COUNT)), 18), flag(i32.and(bits, c32(1)), 19)))
  f.return(i64.extendU(i32.or(bits, flags)))
  return f
}
