/**
 * Strings: MOVS, CMPS, SCAS, LODS, STOS (AMD APM 3). INS and OUTS are in system.ts.
 *
 * `execute` is one step; counting rCX and repeating are the engine's. The operands X and Y are
 * memory at rSI and rDI, so that their width is known in the usual way.
 */
import { RDI, RSI } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { flagsOfDifference } from './flags.ts'

/** Moves rSI or rDI by an element, up or down by DF. */
function advance<V>(m: Backend<V>, index: number, operand: Operand): void {
  const size = m.widthOf(operand) / 8
  const back = m.mul(m.flag('df'), m.const(2 * size))
  const next = m.sub(m.add(m.gpr(index, m.addressSize), m.const(size)), back)
  m.setGpr(index, m.addressSize, next)
}

const movs = define('movs', {
  encodings: [row('a4', 'Yb', 'Xb').string('rep'), row('a5', 'Yv', 'Xv').string('rep')],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
    advance(m, RSI, source!)
    advance(m, RDI, target!)
  },
})

const cmps = define('cmps', {
  encodings: [row('a6', 'Xb', 'Yb').string('repe'), row('a7', 'Xv', 'Yv').string('repe')],
  flags: 'oszapc',
  execute(m, left, right) {
    const a = m.read(left!)
    const b = m.read(right!)
    advance(m, RSI, left!)
    advance(m, RDI, right!)
    m.setFlags(flagsOfDifference(m, a, b, m.sub(a, b), m.widthOf(left!)))
  },
})

const scas = define('scas', {
  encodings: [row('ae', 'AL', 'Yb').string('repe'), row('af', 'rAX', 'Yv').string('repe')],
  flags: 'oszapc',
  execute(m, left, right) {
    const b = m.read(right!)
    const a = m.read(left!)
    advance(m, RDI, right!)
    m.setFlags(flagsOfDifference(m, a, b, m.sub(a, b), m.widthOf(left!)))
  },
})

const lods = define('lods', {
  encodings: [row('ac', 'AL', 'Xb').string('rep'), row('ad', 'rAX', 'Xv').string('rep')],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
    advance(m, RSI, source!)
  },
})

const stos = define('stos', {
  encodings: [row('aa', 'Yb', 'AL').string('rep'), row('ab', 'Yv', 'rAX').string('rep')],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
    advance(m, RDI, target!)
  },
})

export const string: readonly Definition[] = [movs, cmps, scas, lods, stos]
