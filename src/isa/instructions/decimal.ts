/**
 * Decimal adjustment: DAA, DAS, AAA, AAS, AAM, AAD (AMD APM 3). None exists in 64-bit code.
 */
import { RAX } from '../../abi/x86/registers.ts'
import { type Definition, define, row } from '../definition.ts'

/** DAA and DAS: 6 and 0x60 are added or subtracted where a decimal digit overflowed. */
function adjustPacked(name: string, opcode: string, subtract: boolean): Definition {
  return define(name, {
    encodings: [row(opcode, 'AL').not64()],
    flags: 'szapc',
    undefinedFlags: 'o',
    execute(m, al) {
      const old = m.read(al!)
      const lowOver = m.or(m.lessUnsigned(m.const(9), m.and(old, m.const(15))), m.flag('af'))
      const highOver = m.or(m.lessUnsigned(m.const(0x99), old), m.flag('cf'))
      const step = m.add(m.mul(lowOver, m.const(6)), m.mul(highOver, m.const(0x60)))
      const result = subtract ? m.sub(old, step) : m.add(old, step)
      // A borrow out of the low digit's adjustment is a carry too; one out of DAA's implies > 99.
      const borrow = m.and(lowOver, m.lessUnsigned(old, m.const(6)))
      m.write(al!, result)
      m.setFlags({
        cf: subtract ? m.or(highOver, borrow) : highOver,
        ...m.resultFlags(result, 8), af: lowOver,
      })
    },
  })
}

/** AAA and AAS. */
function adjustUnpacked(name: string, opcode: string, subtract: boolean): Definition {
  return define(name, {
    encodings: [row(opcode, 'AX').not64()],
    flags: 'ac',
    undefinedFlags: 'oszp',
    execute(m, ax) {
      const old = m.read(ax!)
      const over = m.or(m.lessUnsigned(m.const(9), m.and(old, m.const(15))), m.flag('af'))
      const step = m.mul(over, m.const(0x106))
      const result = m.and(subtract ? m.sub(old, step) : m.add(old, step), m.const(0xff0f))
      m.write(ax!, result)
      m.setFlags({ cf: over, af: over })
    },
  })
}

const aam = define('aam', {
  encodings: [row('d4', 'Ib').not64()],
  flags: 'szp',
  undefinedFlags: 'oac',
  execute(m, base) {
    const divisor = m.zx(m.read(base!), 8)
    m.faultIf(m.isZero(divisor), 0)
    const al = m.gpr(RAX, 8)
    const high = m.divideUnsigned(m.const(0), al, divisor)
    const low = m.sub(al, m.mul(high, divisor))
    m.setGpr(RAX, 16, m.or(m.shl(high, m.const(8)), low))
    m.setFlags(m.resultFlags(low, 8))
  },
})

const aad = define('aad', {
  encodings: [row('d5', 'Ib').not64()],
  flags: 'szp',
  undefinedFlags: 'oac',
  execute(m, base) {
    const ax = m.gpr(RAX, 16)
    const product = m.mul(m.shr(ax, m.const(8)), m.zx(m.read(base!), 8))
    const result = m.zx(m.add(m.zx(ax, 8), product), 8)
    m.setGpr(RAX, 16, result)
    m.setFlags(m.resultFlags(result, 8))
  },
})

export const decimal: readonly Definition[] = [
  adjustPacked('daa', '27', false), adjustPacked('das', '2f', true),
  adjustUnpacked('aaa', '37', false), adjustUnpacked('aas', '3f', true), aam, aad,
]
