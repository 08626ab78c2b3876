/**
 * SSE4.2 string comparisons: PCMPESTRI, PCMPESTRM, PCMPISTRI, PCMPISTRM (Intel SDM 2B, 4.1).
 *
 * The comparison itself is the pure function `pcmpstr` of pure-vector.ts: it returns the result
 * bits in 0-15 and CF, ZF, SF, OF in bits 16-19. The memory operand need not be aligned.
 */
import { RAX, RCX, RDX } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { splat16, splat8 } from './sse-shared.ts'

/** Length in a general register: 64 bits wide with REX.W. */
function lengthIn<V>(m: Backend<V>, register: number): V {
  if (m.operandSize === 64) return m.gpr(register, 64)
  return m.sx(m.gpr(register, 32), 32)
}

function compare<V>(m: Backend<V>, explicit: boolean, a: V, b: V, how: V): V {
  if (!explicit) return m.pure('pcmpistr', a, b, how)
  return m.pure('pcmpestr', a, b, lengthIn(m, RAX), lengthIn(m, RDX), how)
}

function setStringFlags<V>(m: Backend<V>, outcome: V): void {
  m.setFlags({
    cf: m.bitOf(outcome, 16), zf: m.bitOf(outcome, 17), sf: m.bitOf(outcome, 18),
    of: m.bitOf(outcome, 19), af: m.const(0), pf: m.const(0),
  })
}

/** The number of the first or last result bit, or of elements when there is none. */
function indexOf<V>(m: Backend<V>, outcome: V, how: V): V {
  const bits = m.and(outcome, m.const(0xffff))
  const count = m.select(m.bitOf(how, 0), m.const(8), m.const(16))
  const found = m.select(m.bitOf(how, 6), m.sub(m.const(63), m.clz(bits)), m.ctz(bits))
  return m.select(m.isZero(bits), count, found)
}

/** The result bits as they are, or one element of ones for each. */
function maskOfBits<V>(m: Backend<V>, outcome: V, how: V): V {
  const bits = m.and(outcome, m.const(0xffff))
  const inBytes = m.vectorOf(bits)
  const places = m.vectorConst(0x80402010080402018040201008040201n)
  const halves = m.shuffle(inBytes, inBytes, [0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1])
  const bytes = m.vector('i8x16.eq', m.vector('v128.and', halves, places), places)
  const wordPlaces = m.vectorConst(0x00800040002000100008000400020001n)
  const words = m.vector('i16x8.eq',
    m.vector('v128.and', splat16(m, bits), wordPlaces), wordPlaces)
  const elements = m.bitselect(words, bytes, allOnes(m, m.bitOf(how, 0)))
  return m.bitselect(elements, inBytes, allOnes(m, m.bitOf(how, 6)))
}

function allOnes<V>(m: Backend<V>, condition: V): V {
  return splat8(m, m.neg(condition))
}

function stringCompare(
  name: string, opcode: string, explicit: boolean,
  deliver: <V>(m: Backend<V>, outcome: V, how: V) => void,
): Definition {
  return define(name, {
    encodings: [row(`66 0f 3a ${opcode} /r`, 'Vx', 'Wx', 'Ib').cpuid('sse4_2')],
    flags: 'oszapc',
    execute(m, first, second, immediate: Operand | undefined) {
      m.sseCheck()
      const how = m.immediate(immediate!)
      const b = m.readVector(second!)
      const outcome = compare(m, explicit, m.readVector(first!), b, how)
      deliver(m, outcome, how)
      setStringFlags(m, outcome)
    },
  })
}

function toIndex<V>(m: Backend<V>, outcome: V, how: V): void {
  m.setGpr(RCX, 32, indexOf(m, outcome, how))
}

const XMM0: Operand = { kind: 'xmm', width: 128, index: 0 }

function toMask<V>(m: Backend<V>, outcome: V, how: V): void {
  m.writeVector(XMM0, maskOfBits(m, outcome, how))
}

export const sseString: readonly Definition[] = [
  stringCompare('pcmpestrm', '60', true, toMask), stringCompare('pcmpestri', '61', true, toIndex),
  stringCompare('pcmpistrm', '62', false, toMask), stringCompare('pcmpistri', '63', false, toIndex),
]
