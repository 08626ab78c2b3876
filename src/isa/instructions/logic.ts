/**
 * Bitwise logic and single bits: AND, OR, XOR, NOT, TEST, BT, BTS, BTR, BTC, BSF, BSR, and the
 * counts POPCNT, LZCNT, TZCNT (AMD APM 3).
 */
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { basicEncodings } from './arithmetic.ts'
import { flagsOfLogic } from './flags.ts'

function logical(name: 'and' | 'or' | 'xor', digit: number): Definition {
  return define(name, {
    encodings: basicEncodings(digit, true),
    flags: 'oszapc',
    undefinedFlags: 'a',
    execute(m, target, source) {
      const b = m.read(source!)
      const result = m[name](m.readForWrite(target!), b)
      m.write(target!, result)
      m.setFlags(flagsOfLogic(m, result, m.widthOf(target!)))
    },
  })
}

const test = define('test', {
  encodings: [
    row('84 /r', 'Eb', 'Gb'),
    row('85 /r', 'Ev', 'Gv'),
    row('a8', 'AL', 'Ib'),
    row('a9', 'rAX', 'Iz'),
    row('f6 /0', 'Eb', 'Ib'),
    row('f6 /1', 'Eb', 'Ib'),
    row('f7 /0', 'Ev', 'Iz'),
    row('f7 /1', 'Ev', 'Iz'),
  ],
  flags: 'oszapc',
  undefinedFlags: 'a',
  execute(m, left, right) {
    const b = m.read(right!)
    const result = m.and(m.read(left!), b)
    m.setFlags(flagsOfLogic(m, result, m.widthOf(left!)))
  },
})

const not = define('not', {
  encodings: [row('f6 /2', 'Eb').lock(), row('f7 /2', 'Ev').lock()],
  execute(m, target) {
    m.write(target!, m.not(m.readForWrite(target!)))
  },
})

/** The word of a bit string that holds the bit, as an offset in bytes from the operand. */
function wordOffset<V>(m: Backend<V>, bit: Operand, width: number): V {
  const word = m.sar(m.readSigned(bit), m.const(Math.log2(width)))
  return m.shl(word, m.const(Math.log2(width >> 3)))
}

/** BT and its three variants; `change` makes the new word, given the old one and the bit's mask. */
function bitTest(
  name: string, opcode: string, digit: number,
  change?: <V>(m: Backend<V>, word: V, mask: V) => V,
): Definition {
  const encodings = [row(`0f ${opcode} /r`, 'Ev', 'Gv'), row(`0f ba /${digit}`, 'Ev', 'Ib')]
  return define(name, {
    encodings: change ? encodings.map((encoding) => encoding.lock()) : encodings,
    flags: 'c',
    undefinedFlags: 'osap',
    execute(m, target, bit) {
      const width = m.widthOf(target!)
      const index = m.and(m.read(bit!), m.const(width - 1))
      const far = m.isMemory(target!) && bit!.kind === 'gpr'
      const offset = far ? wordOffset(m, bit!, width) : m.const(0)
      if (!change) {
        const word = far ? m.loadAt(target!, offset, width) : m.read(target!)
        m.setFlags({ cf: m.bitOf(m.shr(word, index), 0) })
        return
      }
      const word = far ? m.loadForWriteAt(target!, offset, width) : m.readForWrite(target!)
      const changed = change(m, word, m.shl(m.const(1), index))
      if (far) m.storeAt(target!, offset, width, changed)
      else m.write(target!, changed)
      m.setFlags({ cf: m.bitOf(m.shr(word, index), 0) })
    },
  })
}

/** BSF and BSR. A source of 0 leaves the target as it is: AMD documents it, Intel's do it. The
 * flags that the manuals leave undefined are as Zen 4 has them, here and in the counts. */
function bitScan(
  name: string, pattern: string, position: <V>(m: Backend<V>, value: V) => V,
): Definition {
  return define(name, {
    encodings: [row(pattern, 'Gv', 'Ev')],
    flags: 'oszapc',
    undefinedFlags: 'osapc',
    execute(m, target, source) {
      const value = m.read(source!)
      const isZero = m.isZero(value)
      const zero = m.const(0)
      const index = position(m, value)
      m.when(m.isZero(isZero), () => m.write(target!, index))
      m.setFlags({
        cf: zero, pf: m.evenParity(m.and(index, m.const(63))), af: zero, zf: isZero, sf: zero,
        of: zero,
      })
    },
  })
}

/** LZCNT and TZCNT: CF for a source of 0, whose result is the width; ZF for a result of 0. */
function bitCount(
  name: string, pattern: string, feature: string,
  count: <V>(m: Backend<V>, value: V, width: number) => V,
): Definition {
  return define(name, {
    encodings: [row(pattern, 'Gv', 'Ev').cpuid(feature)],
    flags: 'szapc',
    undefinedFlags: 'osap',
    execute(m, target, source) {
      const value = m.read(source!)
      const result = count(m, value, m.widthOf(target!))
      m.write(target!, result)
      const zero = m.const(0)
      m.setFlags({
        cf: m.isZero(value), pf: zero, af: zero, zf: m.isZero(result), sf: zero,
      })
    },
  })
}

const popcnt = define('popcnt', {
  encodings: [row('f3 0f b8 /r', 'Gv', 'Ev').cpuid('popcnt')],
  flags: 'oszapc',
  execute(m, target, source) {
    const result = m.popcnt(m.read(source!))
    m.write(target!, result)
    const zero = m.const(0)
    m.setFlags({ cf: zero, pf: zero, af: zero, zf: m.isZero(result), sf: zero, of: zero })
  },
})

export const logic: readonly Definition[] = [
  logical('or', 1), logical('and', 4), logical('xor', 6), test, not,
  bitTest('bt', 'a3', 4),
  bitTest('bts', 'ab', 5, (m, word, mask) => m.or(word, mask)),
  bitTest('btr', 'b3', 6, (m, word, mask) => m.and(word, m.not(mask))),
  bitTest('btc', 'bb', 7, (m, word, mask) => m.xor(word, mask)),
  bitScan('bsf', '0f bc /r', (m, value) => m.ctz(value)),
  bitScan('bsr', '0f bd /r', (m, value) => m.sub(m.const(63), m.clz(value))),
  bitCount('tzcnt', 'f3 0f bc /r', 'bmi1', (m, value, width) =>
    m.ctz(width < 64 ? m.or(value, m.const(1n << BigInt(width))) : value)),
  bitCount('lzcnt', 'f3 0f bd /r', 'abm', (m, value, width) =>
    m.sub(m.clz(value), m.const(64 - width))),
  popcnt,
]
