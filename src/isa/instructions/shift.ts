/**
 * Shifts and rotations: SHL, SHR, SAR, ROL, ROR, RCL, RCR, SHLD, SHRD (AMD APM 3).
 *
 * A count is taken modulo 32, or 64 for 64-bit operands; a count of 0 leaves all flags. What the
 * manuals leave undefined is as Zen 4 does it: AF is set, and OF is computed for any count as it is
 * for 1.
 */
import type { Backend, Flags } from '../backend.ts'
import { type Definition, type Row, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'

function encodings(digit: number): readonly Row[] {
  return [
    row(`c0 /${digit}`, 'Eb', 'Ib'),
    row(`c1 /${digit}`, 'Ev', 'Ib'),
    row(`d0 /${digit}`, 'Eb', '1'),
    row(`d1 /${digit}`, 'Ev', '1'),
    row(`d2 /${digit}`, 'Eb', 'CL'),
    row(`d3 /${digit}`, 'Ev', 'CL'),
  ]
}

function countOf<V>(m: Backend<V>, count: Operand, width: number): V {
  return m.and(m.read(count), m.const(width === 64 ? 63 : 31))
}

/** Sets `flags` unless the count is 0. */
function setFlagsIf<V>(m: Backend<V>, count: V, flags: () => Flags<V>): void {
  m.when(m.isZero(m.isZero(count)), () => m.setFlags(flags()))
}

const shl = define('shl', {
  // Digit 6 is an alias that assemblers do not use.
  encodings: [...encodings(4), ...encodings(6)],
  flags: 'oszapc',
  undefinedFlags: 'oa',
  execute(m, target, by) {
    const width = m.widthOf(target!)
    const count = countOf(m, by!, width)
    const a = m.readForWrite(target!)
    const result = m.shl(a, count)
    m.write(target!, result)
    setFlagsIf(m, count, () => {
      const carry = width === 64 ? m.bitOf(m.shr(a, m.sub(m.const(64), count)), 0)
        : m.bitOf(result, width)
      return {
        cf: carry, ...m.resultFlags(result, width), af: m.const(1),
        of: m.xor(carry, m.bitOf(result, width - 1)),
      }
    })
  },
})

const shr = define('shr', {
  encodings: encodings(5),
  flags: 'oszapc',
  undefinedFlags: 'oa',
  execute(m, target, by) {
    const width = m.widthOf(target!)
    const count = countOf(m, by!, width)
    const a = m.readForWrite(target!)
    const result = m.shr(a, count)
    m.write(target!, result)
    setFlagsIf(m, count, () => ({
      cf: m.bitOf(m.shr(a, m.sub(count, m.const(1))), 0),
      ...m.resultFlags(result, width), af: m.const(1),
      of: m.bitOf(result, width - 2),
    }))
  },
})

const sar = define('sar', {
  encodings: encodings(7),
  flags: 'oszapc',
  undefinedFlags: 'oa',
  execute(m, target, by) {
    const width = m.widthOf(target!)
    const count = countOf(m, by!, width)
    const a = m.sx(m.readForWrite(target!), width)
    const result = m.sar(a, count)
    m.write(target!, result)
    setFlagsIf(m, count, () => ({
      cf: m.bitOf(m.sar(a, m.sub(count, m.const(1))), 0),
      ...m.resultFlags(result, width), af: m.const(1), of: m.const(0),
    }))
  },
})

const rol = define('rol', {
  encodings: encodings(0),
  flags: 'oc',
  undefinedFlags: 'o',
  execute(m, target, by) {
    const width = m.widthOf(target!)
    const count = countOf(m, by!, width)
    const a = m.readForWrite(target!)
    const turns = m.and(count, m.const(width - 1))
    const result = width === 64 ? m.rotl(a, turns) : width === 32 ? m.rotl32(a, turns)
      : m.or(m.shl(a, turns), m.shr(a, m.sub(m.const(width), turns)))
    m.write(target!, result)
    setFlagsIf(m, count, () => {
      const carry = m.bitOf(result, 0)
      return { cf: carry, of: m.xor(carry, m.bitOf(result, width - 1)) }
    })
  },
})

const ror = define('ror', {
  encodings: encodings(1),
  flags: 'oc',
  undefinedFlags: 'o',
  execute(m, target, by) {
    const width = m.widthOf(target!)
    const count = countOf(m, by!, width)
    const a = m.readForWrite(target!)
    const turns = m.and(count, m.const(width - 1))
    const result = width === 64 ? m.rotr(a, turns) : width === 32 ? m.rotr32(a, turns)
      : m.or(m.shr(a, turns), m.shl(a, m.sub(m.const(width), turns)))
    m.write(target!, result)
    setFlagsIf(m, count, () => {
      const carry = m.bitOf(result, width - 1)
      return { cf: carry, of: m.xor(carry, m.bitOf(result, width - 2)) }
    })
  },
})

/** A rotation through CF below 64 bits turns `width + 1` bits, the carry on top. */
function rotateNarrow<V>(m: Backend<V>, a: V, count: V, width: number, left: boolean): V {
  const bits = m.const(width + 1)
  const whole32 = m.mul(m.divideUnsigned(m.const(0), count, bits), bits)
  const turns = width === 32 ? count : m.sub(count, whole32)
  const whole = m.or(a, m.shl(m.flag('cf'), m.const(width)))
  const rest = m.sub(bits, turns)
  return left ? m.or(m.shl(whole, turns), m.shr(whole, rest))
    : m.or(m.shr(whole, turns), m.shl(whole, rest))
}

/** The result of a rotation of 64 bits through CF by 1 to 63. */
function rotateWide<V>(m: Backend<V>, a: V, count: V, left: boolean): V {
  const one = m.const(1)
  const rest = m.sub(m.const(64), count)
  const carry = m.flag('cf')
  if (left) {
    const low = m.or(m.shl(carry, m.sub(count, one)), m.shr(m.shr(a, one), rest))
    return m.or(m.shl(a, count), low)
  }
  return m.or(m.shr(a, count), m.or(m.shl(carry, rest), m.shl(m.shl(a, one), rest)))
}

function rotateThroughCarry(name: string, digit: number, left: boolean): Definition {
  return define(name, {
    encodings: encodings(digit),
    flags: 'oc',
    undefinedFlags: 'o',
    execute(m, target, by) {
      const width = m.widthOf(target!)
      const count = countOf(m, by!, width)
      const a = m.readForWrite(target!)
      const one = m.const(1)
      const result = width < 64 ? rotateNarrow(m, a, count, width, left)
        : m.select(m.isZero(count), a, rotateWide(m, a, count, left))
      m.write(target!, result)
      setFlagsIf(m, count, () => {
        const out = left ? m.sub(m.const(64), count) : m.sub(count, one)
        const carry = width < 64 ? m.bitOf(result, width) : m.bitOf(m.shr(a, out), 0)
        const top = m.bitOf(result, width - 1)
        return { cf: carry, of: m.xor(top, left ? carry : m.bitOf(result, width - 2)) }
      })
    },
  })
}

/** SHLD and SHRD below 64 bits: the operands side by side, and the second once more for 16 bits,
 * as counts above 16 have it. The carry is then 0, as if only the first were shifted. */
function doubleNarrow<V>(m: Backend<V>, a: V, b: V, count: V, width: number, left: boolean) {
  const by = m.const(width)
  const one = m.const(1)
  if (left) {
    const pair = m.or(m.shl(a, by), b)
    const all = width === 16 ? m.or(m.shl(pair, by), b) : pair
    return {
      result: m.zx(m.shr(m.shl(all, count), m.const(32)), width),
      carry: m.bitOf(m.shl(a, count), width),
    }
  }
  const pair = m.or(m.shl(b, by), a)
  const all = width === 16 ? m.or(pair, m.shl(b, m.const(32))) : pair
  return {
    result: m.zx(m.shr(all, count), width),
    carry: m.bitOf(m.shr(a, m.sub(count, one)), 0),
  }
}

function doubleWide<V>(m: Backend<V>, a: V, b: V, count: V, left: boolean) {
  const rest = m.sub(m.const(64), count)
  const shifted = left ? m.or(m.shl(a, count), m.shr(b, rest))
    : m.or(m.shr(a, count), m.shl(b, rest))
  return {
    result: m.select(m.isZero(count), a, shifted),
    carry: m.bitOf(m.shr(a, left ? rest : m.sub(count, m.const(1))), 0),
  }
}

function doubleShift(name: string, opcodes: readonly [string, string], left: boolean): Definition {
  return define(name, {
    encodings: [
      row(`0f ${opcodes[0]} /r`, 'Ev', 'Gv', 'Ib'),
      row(`0f ${opcodes[1]} /r`, 'Ev', 'Gv', 'CL'),
    ],
    flags: 'oszapc',
    undefinedFlags: 'oa',
    execute(m, target, source, by) {
      const width = m.widthOf(target!)
      const count = countOf(m, by!, width)
      const b = m.read(source!)
      const a = m.readForWrite(target!)
      const { result, carry } = width === 64 ? doubleWide(m, a, b, count, left)
        : doubleNarrow(m, a, b, count, width, left)
      m.write(target!, result)
      setFlagsIf(m, count, () => ({
        cf: carry, ...m.resultFlags(result, width), af: m.const(1),
        of: left ? m.xor(carry, m.bitOf(m.shl(a, count), width - 1))
          : m.bitOf(m.xor(result, m.shl(result, m.const(1))), width - 1),
      }))
    },
  })
}

export const shift: readonly Definition[] = [
  shl, shr, sar, rol, ror,
  rotateThroughCarry('rcl', 2, true),
  rotateThroughCarry('rcr', 3, false),
  doubleShift('shld', ['a4', 'a5'], true),
  doubleShift('shrd', ['ac', 'ad'], false),
]
