/**
 * Bit manipulation with VEX prefixes on general registers: BMI1 and BMI2; and CRC32 (AMD APM 3).
 */
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'

/** The flags of nearly all. AF and PF are undefined by the manuals, and as Zen 4 has them. */
function setResultFlags<V>(m: Backend<V>, result: V, width: number, carry: V): void {
  const zero = m.const(0)
  m.setFlags({ cf: carry, ...m.resultFlags(result, width), af: zero, of: zero })
}

const andn = define('andn', {
  encodings: [row('vex.l0.np.0f38 f2 /r', 'Gy', 'By', 'Ey').cpuid('bmi1')],
  flags: 'oszapc',
  undefinedFlags: 'ap',
  execute(m, target, inverted, source) {
    const result = m.and(m.not(m.read(inverted!)), m.read(source!))
    m.write(target!, result)
    setResultFlags(m, result, m.widthOf(target!), m.const(0))
  },
})

/** BLSR, BLSMSK, BLSI: on the lowest bit set. `carryIfZero`: CF is set for a source of 0. */
function lowestBit(
  name: string, digit: number, carryIfZero: boolean,
  change: <V>(m: Backend<V>, value: V, minusOne: V) => V,
): Definition {
  return define(name, {
    encodings: [row(`vex.l0.np.0f38 f3 /${digit}`, 'By', 'Ey').cpuid('bmi1')],
    flags: 'oszapc',
    undefinedFlags: 'ap',
    execute(m, target, source) {
      const value = m.read(source!)
      const result = change(m, value, m.sub(value, m.const(1)))
      m.write(target!, result)
      const zero = m.isZero(value)
      setResultFlags(m, result, m.widthOf(target!), carryIfZero ? zero : m.isZero(zero))
    },
  })
}

/** The low `count` bits of `value`, all of them when `count` is 64 or more. */
function lowBits<V>(m: Backend<V>, value: V, count: V): V {
  const mask = m.sub(m.shl(m.const(1), count), m.const(1))
  return m.select(m.lessUnsigned(count, m.const(64)), m.and(value, mask), value)
}

const bextr = define('bextr', {
  encodings: [row('vex.l0.np.0f38 f7 /r', 'Gy', 'Ey', 'By').cpuid('bmi1')],
  flags: 'oszapc',
  undefinedFlags: 'sap',
  execute(m, target, source, control) {
    const field = m.read(control!)
    const value = m.read(source!)
    const start = m.zx(field, 8)
    const length = m.zx(m.shr(field, m.const(8)), 8)
    const inside = m.lessUnsigned(start, m.const(64))
    const shifted = m.select(inside, m.shr(value, start), m.const(0))
    const result = lowBits(m, shifted, length)
    m.write(target!, result)
    const zero = m.const(0)
    const one = m.const(1)
    m.setFlags({ cf: zero, pf: one, af: one, zf: m.isZero(result), sf: zero, of: zero })
  },
})

const bzhi = define('bzhi', {
  encodings: [row('vex.l0.np.0f38 f5 /r', 'Gy', 'Ey', 'By').cpuid('bmi2')],
  flags: 'oszapc',
  undefinedFlags: 'ap',
  execute(m, target, source, control) {
    const width = m.widthOf(target!)
    const count = m.zx(m.read(control!), 8)
    const result = lowBits(m, m.read(source!), count)
    m.write(target!, result)
    setResultFlags(m, result, width, m.lessUnsigned(m.const(width - 1), count))
  },
})

/** PDEP and PEXT, through the pure function of that name. */
function scatter(name: 'pdep' | 'pext', prefix: string): Definition {
  return define(name, {
    encodings: [row(`vex.l0.${prefix}.0f38 f5 /r`, 'Gy', 'By', 'Ey').cpuid('bmi2')],
    execute(m, target, source, mask) {
      const value = m.read(source!)
      m.write(target!, m.pure(name, value, m.read(mask!)))
    },
  })
}

/** SARX, SHLX, SHRX: shifts that leave the flags. */
function flaglessShift(name: string, prefix: string, operation: 'sar' | 'shl' | 'shr') {
  return define(name, {
    encodings: [row(`vex.l0.${prefix}.0f38 f7 /r`, 'Gy', 'Ey', 'By').cpuid('bmi2')],
    execute(m, target, source, by) {
      const count = m.and(m.read(by!), m.const(m.widthOf(target!) - 1))
      const value = operation === 'sar' ? m.readSigned(source!) : m.read(source!)
      m.write(target!, m[operation](value, count))
    },
  })
}

const rorx = define('rorx', {
  encodings: [row('vex.l0.f2.0f3a f0 /r', 'Gy', 'Ey', 'Ib').cpuid('bmi2')],
  execute(m, target, source, by) {
    const width = m.widthOf(target!)
    const value = m.read(source!)
    const count = m.and(m.immediate(by!), m.const(width - 1))
    m.write(target!, width === 64 ? m.rotr(value, count)
      : m.shr(m.or(value, m.shl(value, m.const(32))), count))
  },
})

const crc32 = define('crc32', {
  encodings: [
    row('f2 0f 38 f0 /r', 'Gy', 'Eb').cpuid('sse4_2'),
    row('f2 0f 38 f1 /r', 'Gy', 'Ev').cpuid('sse4_2'),
  ],
  execute(m, target, source) {
    const value = m.read(source!)
    const sum = m.zx(m.read(target!), 32)
    m.write(target!, m.pure('crc32', sum, value, m.const(m.widthOf(source!))))
  },
})

export const bmi: readonly Definition[] = [
  andn,
  lowestBit('blsr', 1, true, (m, value, minusOne) => m.and(value, minusOne)),
  lowestBit('blsmsk', 2, true, (m, value, minusOne) => m.xor(value, minusOne)),
  lowestBit('blsi', 3, false, (m, value) => m.and(value, m.neg(value))),
  bextr, bzhi, scatter('pdep', 'f2'), scatter('pext', 'f3'),
  flaglessShift('sarx', 'f3', 'sar'), flaglessShift('shlx', '66', 'shl'),
  flaglessShift('shrx', 'f2', 'shr'), rorx, crc32,
]
