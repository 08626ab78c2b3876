/**
 * Integer multiplication and division: MUL, IMUL, DIV, IDIV, MULX (AMD APM 3).
 */
import { RAX, RDX } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'

const DIVIDE_ERROR = 0

/** Puts a double-width product into AX, or rDX and rAX. */
function writeProduct<V>(m: Backend<V>, width: number, low: V, high: V): void {
  if (width === 8) {
    m.setGpr(RAX, 16, low)
  } else {
    m.setGpr(RAX, width, low)
    m.setGpr(RDX, width, high)
  }
}

/** CF and OF say whether the upper half is needed. The others, which are undefined, are set as by
 * the lower half: so nobody has to keep what they were. */
function setProductFlags<V>(m: Backend<V>, width: number, low: V, wide: V): void {
  m.setFlags({ ...m.resultFlags(low, width), af: m.const(0), cf: wide, of: wide })
}

const mul = define('mul', {
  encodings: [row('f6 /4', 'Eb'), row('f7 /4', 'Ev')],
  flags: 'oszapc',
  undefinedFlags: 'szap',
  execute(m, source) {
    const width = m.widthOf(source!)
    const b = m.read(source!)
    const a = m.gpr(RAX, width)
    const low = m.mul(a, b)
    const high = width === 64 ? m.mulHighUnsigned(a, b) : m.shr(low, m.const(width))
    writeProduct(m, width, low, high)
    setProductFlags(m, width, low, m.isZero(m.isZero(high)))
  },
})

/** Whether a signed product does not fit in `width` bits. */
function overflows<V>(m: Backend<V>, low: V, high: V, width: number): V {
  const fits = width === 64 ? m.equal(high, m.sar(low, m.const(63)))
    : m.equal(low, m.sx(low, width))
  return m.isZero(fits)
}

function multiplyInto<V>(m: Backend<V>, target: Operand, a: V, b: V): void {
  const width = m.widthOf(target)
  const low = m.mul(a, b)
  const high = width === 64 ? m.mulHighSigned(a, b) : low
  m.write(target, low)
  setProductFlags(m, width, low, overflows(m, low, high, width))
}

const imul = define('imul', {
  encodings: [
    row('f6 /5', 'Eb'),
    row('f7 /5', 'Ev'),
    row('0f af /r', 'Gv', 'Ev'),
    row('69 /r', 'Gv', 'Ev', 'Iz'),
    row('6b /r', 'Gv', 'Ev', 'Ib'),
  ],
  flags: 'oszapc',
  undefinedFlags: 'szap',
  execute(m, first, second, third) {
    if (third) {
      multiplyInto(m, first!, m.readSigned(second!), m.read(third))
    } else if (second) {
      multiplyInto(m, first!, m.readSigned(first!), m.readSigned(second))
    } else {
      const width = m.widthOf(first!)
      const b = m.readSigned(first!)
      const a = m.sx(m.gpr(RAX, width), width)
      const low = m.mul(a, b)
      const high = width === 64 ? m.mulHighSigned(a, b) : m.sar(low, m.const(width))
      const wide = overflows(m, low, high, width)
      writeProduct(m, width, low, high)
      setProductFlags(m, width, low, wide)
    }
  },
})

const mulx = define('mulx', {
  encodings: [row('vex.l0.f2.0f38 f6 /r', 'Gy', 'By', 'Ey').cpuid('bmi2')],
  execute(m, highTarget, lowTarget, source) {
    const width = m.widthOf(highTarget!)
    const b = m.read(source!)
    const a = m.gpr(RDX, width)
    const low = m.mul(a, b)
    const high = width === 64 ? m.mulHighUnsigned(a, b) : m.shr(low, m.const(width))
    // If both targets are one register, it holds the upper half.
    m.write(lowTarget!, low)
    m.write(highTarget!, high)
  },
})

/** Quotient and remainder into AL and AH, or rAX and rDX. */
function writeQuotient<V>(m: Backend<V>, width: number, quotient: V, remainder: V): void {
  if (width === 8) {
    m.setGpr(RAX, 16, m.or(m.zx(quotient, 8), m.shl(m.zx(remainder, 8), m.const(8))))
  } else {
    m.setGpr(RAX, width, quotient)
    m.setGpr(RDX, width, remainder)
  }
}

const div = define('div', {
  encodings: [row('f6 /6', 'Eb'), row('f7 /6', 'Ev')],
  undefinedFlags: 'oszapc',
  execute(m, source) {
    const width = m.widthOf(source!)
    const divisor = m.read(source!)
    const low = m.gpr(RAX, width === 8 ? 16 : width)
    const high = width === 8 ? m.shr(low, m.const(8)) : m.gpr(RDX, width)
    // The quotient fits exactly if the upper half is below the divisor; so it is not 0 either.
    m.faultIf(m.isZero(m.lessUnsigned(high, divisor)), DIVIDE_ERROR)
    const upper = width === 64 ? high : m.const(0)
    const lower = width === 64 || width === 8 ? low : m.or(m.shl(high, m.const(width)), low)
    const quotient = m.divideUnsigned(upper, lower, divisor)
    const remainder = m.sub(lower, m.mul(quotient, divisor))
    writeQuotient(m, width, quotient, remainder)
  },
})

/** The dividend of IDIV below 64 bits, sign-extended. */
function signedDividend<V>(m: Backend<V>, width: number): V {
  if (width === 8) return m.sx(m.gpr(RAX, 16), 16)
  const both = m.or(m.shl(m.gpr(RDX, width), m.const(width)), m.gpr(RAX, width))
  return m.sx(both, width * 2)
}

const idiv = define('idiv', {
  encodings: [row('f6 /7', 'Eb'), row('f7 /7', 'Ev')],
  undefinedFlags: 'oszapc',
  execute(m, source) {
    const width = m.widthOf(source!)
    const divisor = m.readSigned(source!)
    const low = width === 64 ? m.gpr(RAX, 64) : signedDividend(m, width)
    const high = width === 64 ? m.gpr(RDX, 64) : m.sar(low, m.const(63))
    const negative = m.bitOf(high, 63)
    const size = m.select(m.bitOf(divisor, 63), m.neg(divisor), divisor)
    const sizeLow = m.select(negative, m.neg(low), low)
    const sizeHigh = width === 64
      ? m.select(negative, m.add(m.not(high), m.isZero(low)), high) : m.const(0)
    m.faultIf(m.isZero(m.lessUnsigned(sizeHigh, size)), DIVIDE_ERROR)
    const quotient = m.divideUnsigned(sizeHigh, sizeLow, size)
    const remainder = m.sub(sizeLow, m.mul(quotient, size))
    const differ = m.xor(negative, m.bitOf(divisor, 63))
    // Below 0 there is one value more.
    const limit = m.add(m.const(1n << BigInt(width - 1)), differ)
    m.faultIf(m.isZero(m.lessUnsigned(quotient, limit)), DIVIDE_ERROR)
    writeQuotient(m, width,
      m.select(differ, m.neg(quotient), quotient),
      m.select(negative, m.neg(remainder), remainder))
  },
})

export const multiply: readonly Definition[] = [mul, imul, mulx, div, idiv]
