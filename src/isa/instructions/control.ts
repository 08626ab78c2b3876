/**
 * Near control transfer, and what reads or sets flags alone: JMP, Jcc, CALL, RET, LOOP, JCXZ,
 * SETcc, NOP, LAHF, SAHF, CLC, STC, CMC, CLD, STD (AMD APM 3).
 *
 * With a 66 prefix in 64-bit code near branches are 16 bits wide, as on AMD's processors. Far
 * transfers, interrupts and what touches other flags are in system.ts.
 */
import { RCX, RSP } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { conditionNames } from './move.ts'

const GENERAL_PROTECTION = 13

/** An address that is not canonical faults before anything has changed. */
function checkTarget<V>(m: Backend<V>, address: V): void {
  if (!m.long || m.operandSize !== 64) return
  m.faultIf(m.isZero(m.equal(m.sx(address, 48), address)), GENERAL_PROTECTION, 0)
}

const jmp = define('jmp', {
  encodings: [
    row('eb', 'Jb').default64(),
    row('e9', 'Jz').default64(),
    row('ff /4', 'Ev').default64(),
  ],
  endsBlock: true,
  execute(m, target) {
    if (target!.kind === 'relative') {
      m.branch(target!)
    } else {
      const address = m.read(target!)
      checkTarget(m, address)
      m.jump(address)
    }
  },
})

const call = define('call', {
  encodings: [row('e8', 'Jz').default64(), row('ff /2', 'Ev').default64()],
  endsBlock: true,
  execute(m, target) {
    if (target!.kind === 'relative') {
      m.push(m.operandSize, m.nextIp())
      m.branch(target!)
    } else {
      const address = m.read(target!)
      checkTarget(m, address)
      m.push(m.operandSize, m.nextIp())
      m.jump(address)
    }
  },
})

const ret = define('ret', {
  encodings: [row('c3').default64(), row('c2', 'Iw').default64()],
  endsBlock: true,
  execute(m, release) {
    const pointer = m.gpr(RSP, m.stackWidth)
    const address = m.loadStack(pointer, m.operandSize)
    checkTarget(m, address)
    const popped = m.add(pointer, m.const(m.operandSize / 8))
    const released = release ? m.add(popped, m.zx(m.immediate(release), 16)) : popped
    m.setGpr(RSP, m.stackWidth, released)
    m.jump(address)
  },
})

const conditionalJumps = conditionNames.map((condition, code) => define(`j${condition}`, {
  encodings: [
    row(`7${code.toString(16)}`, 'Jb').default64(),
    row(`0f 8${code.toString(16)}`, 'Jz').default64(),
  ],
  execute(m, target) {
    m.branch(target!, m.condition(code))
  },
}))

/** LOOP, LOOPE, LOOPNE: on rCX by address size; `also` is a condition besides. */
function loop(name: string, opcode: string, also?: <V>(m: Backend<V>) => V): Definition {
  return define(name, {
    encodings: [row(opcode, 'Jb').default64()],
    execute(m, target) {
      const count = m.zx(m.sub(m.gpr(RCX, m.addressSize), m.const(1)), m.addressSize)
      const again = m.isZero(m.isZero(count))
      m.setGpr(RCX, m.addressSize, count)
      m.branch(target!, also ? m.and(again, also(m)) : again)
    },
  })
}

/** JCXZ, JECXZ or JRCXZ by address size. */
const jcxz = define('jcxz', {
  encodings: [row('e3', 'Jb').default64()],
  execute(m, target) {
    m.branch(target!, m.isZero(m.gpr(RCX, m.addressSize)))
  },
})

const sets = conditionNames.map((condition, code) => define(`set${condition}`, {
  encodings: [row(`0f 9${code.toString(16)} /r`, 'Eb')],
  execute(m, target) {
    m.write(target!, m.condition(code))
  },
}))

/** NOP, also in the opcodes reserved for hints, whose operand is never touched. */
const nop = define('nop', {
  encodings: [
    row('90'),
    ...['18', '19', '1a', '1b', '1c', '1d', '1e', '1f'].map((byte) => row(`0f ${byte} /r`, 'Ev')),
  ],
  execute() {},
})

const lahf = define('lahf', {
  encodings: [row('9f', 'AH').cpuid('lahf_lm')],
  execute(m, target) {
    const at = (name: 'sf' | 'zf' | 'af' | 'pf', bit: number) =>
      m.shl(m.flag(name), m.const(bit))
    const high = m.or(m.or(at('sf', 7), at('zf', 6)), m.or(at('af', 4), at('pf', 2)))
    m.write(target!, m.or(high, m.or(m.flag('cf'), m.const(2))))
  },
})

const sahf = define('sahf', {
  encodings: [row('9e', 'AH').cpuid('lahf_lm')],
  flags: 'szapc',
  execute(m, source: Operand | undefined) {
    const value = m.read(source!)
    m.setFlags({
      sf: m.bitOf(value, 7), zf: m.bitOf(value, 6), af: m.bitOf(value, 4),
      pf: m.bitOf(value, 2), cf: m.bitOf(value, 0),
    })
  },
})

const cmc = define('cmc', {
  encodings: [row('f5')],
  flags: 'c',
  execute(m) {
    m.setFlags({ cf: m.isZero(m.flag('cf')) })
  },
})

/** CLC, STC, CLD, STD. */
function setFlag(name: string, opcode: string, flag: 'cf' | 'df', value: number): Definition {
  return define(name, {
    encodings: [row(opcode)],
    flags: flag === 'cf' ? 'c' : '',
    execute(m) {
      m.setFlags(flag === 'cf' ? { cf: m.const(value) } : { df: m.const(value) })
    },
  })
}

export const control: readonly Definition[] = [
  jmp, call, ret, ...conditionalJumps,
  loop('loop', 'e2'),
  loop('loope', 'e1', (m) => m.flag('zf')),
  loop('loopne', 'e0', (m) => m.isZero(m.flag('zf'))),
  jcxz, ...sets, nop, lahf, sahf, cmc,
  setFlag('clc', 'f8', 'cf', 0), setFlag('stc', 'f9', 'cf', 1),
  setFlag('cld', 'fc', 'df', 0), setFlag('std', 'fd', 'df', 1),
]
