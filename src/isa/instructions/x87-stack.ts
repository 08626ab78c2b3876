/**
 * x87 instructions over the algebra: operands from memory, an operation on the register stack, and
 * its result to memory or flags.
 */
import type { Backend } from '../backend.ts'
import { define, type Definition, type Row } from '../definition.ts'
import type { Operand } from '../operand.ts'

const STORING = /^(fst|fstp|fist|fistp|fisttp|fbstp)$/

/** Codes of the conditions of FCMOVcc. */
const conditions: Readonly<Record<string, number>> = {
  fcmovb: 2, fcmovnb: 3, fcmove: 4, fcmovne: 5, fcmovbe: 6, fcmovnbe: 7, fcmovu: 10, fcmovnu: 11,
}

function store<V>(m: Backend<V>, name: string, operands: readonly Operand[]): void {
  const memory = operands[0]!
  const low = m.x87(name, operands)
  m.when(m.x87Stores(), () => {
    if (m.widthOf(memory) === 80) m.storeExtended(memory, low, m.x87High())
    else m.write(memory, low)
  }, () => m.probeWrite(memory))
  m.x87Commit()
}

function compute<V>(m: Backend<V>, name: string, operands: readonly Operand[]): void {
  const [memory] = operands
  if (!memory || !m.isMemory(memory)) {
    const condition = conditions[name]
    if (condition !== undefined) m.x87(name, operands, m.condition(condition))
    else m.x87(name, operands)
  } else if (m.widthOf(memory) === 80) {
    const low = m.loadAt(memory, m.const(0), 64)
    m.x87(name, operands, low, m.loadAt(memory, m.const(8), 16))
  } else {
    m.x87(name, operands, m.read(memory))
  }
}

/** An instruction that computes on the register stack. */
export function onStack(name: string, encodings: readonly Row[]): Definition {
  return define(name, {
    encodings,
    execute(m, ...operands) {
      m.x87Check(true)
      const [first] = operands
      if (first && m.isMemory(first) && STORING.test(name)) store(m, name, operands)
      else compute(m, name, operands)
      m.x87Remember(operands)
    },
  })
}

/** FCOMI and its family. */
export function comparingFlags(name: string, encodings: readonly Row[]): Definition {
  return define(name, {
    encodings,
    flags: 'oszapc',
    execute(m, ...operands) {
      m.x87Check(true)
      const order = m.x87(name, operands)
      m.x87Remember(operands)
      m.setFlags({
        of: m.const(0), sf: m.const(0), af: m.const(0),
        cf: m.bitOf(order, 0), pf: m.bitOf(order, 2), zf: m.bitOf(order, 6),
      })
    },
  })
}

/** FNSTCW and FNSTSW, which do not wait. */
export function storeWord(
  name: string, which: 'control' | 'status', encodings: readonly Row[],
): Definition {
  return define(name, {
    encodings,
    execute(m, target) {
      m.x87Check(false)
      m.write(target!, m.x87Word(which))
    },
  })
}

/** FLDCW. */
export function loadControl(name: string, encodings: readonly Row[]): Definition {
  return define(name, {
    encodings,
    execute(m, source) {
      m.x87Check(true)
      m.setX87Control(m.read(source!))
    },
  })
}
