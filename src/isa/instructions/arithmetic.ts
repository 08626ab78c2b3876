/**
 * Integer addition and subtraction: ADD, ADC, SUB, SBB, CMP, INC, DEC, NEG, XADD, CMPXCHG and the
 * carry chains ADCX and ADOX (AMD APM 3).
 */
import { RAX, RBX, RCX, RDX } from '../../abi/x86/registers.ts'
import type { Backend, Flags } from '../backend.ts'
import { type Definition, type Row, define, row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import {
  flagsOfBorrow, flagsOfCarrySum, flagsOfDifference, flagsOfSum,
} from './flags.ts'

/** The nine encodings of ADD, OR, ADC, SBB, AND, SUB, XOR and CMP; `digit` orders them so. */
export function basicEncodings(digit: number, lockable: boolean): readonly Row[] {
  const byte = (low: number) => (digit << 3 | low).toString(16).padStart(2, '0')
  const stores = [
    row(`${byte(0)} /r`, 'Eb', 'Gb'),
    row(`${byte(1)} /r`, 'Ev', 'Gv'),
    row(`80 /${digit}`, 'Eb', 'Ib'),
    row(`81 /${digit}`, 'Ev', 'Iz'),
    row(`83 /${digit}`, 'Ev', 'Ib'),
    // An alias of 80 that 64-bit code does not have.
    row(`82 /${digit}`, 'Eb', 'Ib').not64(),
  ]
  return [
    ...lockable ? stores.map((store) => store.lock()) : stores,
    row(`${byte(2)} /r`, 'Gb', 'Eb'),
    row(`${byte(3)} /r`, 'Gv', 'Ev'),
    row(byte(4), 'AL', 'Ib'),
    row(byte(5), 'rAX', 'Iz'),
  ]
}

/** An immediate cut to the target's width, so that the flags see what the processor adds. */
function readSource<V>(m: Backend<V>, source: Operand, width: number): V {
  const value = m.read(source)
  return source.kind === 'immediate' && width < 64 ? m.zx(value, width) : value
}

const add = define('add', {
  encodings: basicEncodings(0, true),
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = readSource(m, source!, width)
    const a = m.readForWrite(target!)
    const sum = m.add(a, b)
    // The write may fault, and a fault must find the flags as they were.
    m.write(target!, sum)
    m.setFlags(flagsOfSum(m, a, b, sum, width))
  },
})

const adc = define('adc', {
  encodings: basicEncodings(2, true),
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = readSource(m, source!, width)
    const a = m.readForWrite(target!)
    const sum = m.add(m.add(a, b), m.flag('cf'))
    m.write(target!, sum)
    m.setFlags(flagsOfCarrySum(m, a, b, sum, width))
  },
})

const sub = define('sub', {
  encodings: basicEncodings(5, true),
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = readSource(m, source!, width)
    const a = m.readForWrite(target!)
    const difference = m.sub(a, b)
    m.write(target!, difference)
    m.setFlags(flagsOfDifference(m, a, b, difference, width))
  },
})

const sbb = define('sbb', {
  encodings: basicEncodings(3, true),
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = readSource(m, source!, width)
    const a = m.readForWrite(target!)
    const difference = m.sub(m.sub(a, b), m.flag('cf'))
    m.write(target!, difference)
    m.setFlags(flagsOfBorrow(m, a, b, difference, width))
  },
})

const cmp = define('cmp', {
  encodings: basicEncodings(7, false),
  flags: 'oszapc',
  execute(m, left, right) {
    const width = m.widthOf(left!)
    const b = readSource(m, right!, width)
    const a = m.read(left!)
    m.setFlags(flagsOfDifference(m, a, b, m.sub(a, b), width))
  },
})

const inc = define('inc', {
  encodings: [
    row('fe /0', 'Eb').lock(),
    row('ff /0', 'Ev').lock(),
    row('40+r', 'Zv').not64(),
  ],
  flags: 'oszap',
  execute(m, target) {
    const width = m.widthOf(target!)
    const a = m.readForWrite(target!)
    const sum = m.add(a, m.const(1))
    m.write(target!, sum)
    m.setFlags({
      ...m.resultFlags(sum, width),
      af: m.bitOf(m.xor(a, sum), 4),
      of: m.bitOf(m.and(m.not(a), sum), width - 1),
    })
  },
})

const dec = define('dec', {
  encodings: [
    row('fe /1', 'Eb').lock(),
    row('ff /1', 'Ev').lock(),
    row('48+r', 'Zv').not64(),
  ],
  flags: 'oszap',
  execute(m, target) {
    const width = m.widthOf(target!)
    const a = m.readForWrite(target!)
    const difference = m.sub(a, m.const(1))
    m.write(target!, difference)
    m.setFlags({
      ...m.resultFlags(difference, width),
      af: m.bitOf(m.xor(a, difference), 4),
      of: m.bitOf(m.and(a, m.not(difference)), width - 1),
    })
  },
})

const neg = define('neg', {
  encodings: [row('f6 /3', 'Eb').lock(), row('f7 /3', 'Ev').lock()],
  flags: 'oszapc',
  execute(m, target) {
    const width = m.widthOf(target!)
    const a = m.readForWrite(target!)
    const result = m.neg(a)
    m.write(target!, result)
    m.setFlags({
      cf: m.isZero(m.isZero(a)),
      ...m.resultFlags(result, width),
      af: m.bitOf(m.xor(a, result), 4),
      of: m.bitOf(m.and(a, result), width - 1),
    })
  },
})

const xadd = define('xadd', {
  encodings: [row('0f c0 /r', 'Eb', 'Gb').lock(), row('0f c1 /r', 'Ev', 'Gv').lock()],
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = m.read(source!)
    const a = m.readForWrite(target!)
    const sum = m.add(a, b)
    // Memory first, since it may fault; but of two equal registers the target's value stays.
    if (m.isMemory(target!)) m.write(target!, sum)
    m.write(source!, a)
    if (!m.isMemory(target!)) m.write(target!, sum)
    m.setFlags(flagsOfSum(m, a, b, sum, width))
  },
})

const cmpxchg = define('cmpxchg', {
  encodings: [row('0f b0 /r', 'Eb', 'Gb').lock(), row('0f b1 /r', 'Ev', 'Gv').lock()],
  flags: 'oszapc',
  execute(m, target, source) {
    const width = m.widthOf(target!)
    const b = m.read(source!)
    const accumulator = m.gpr(RAX, width)
    const a = m.readForWrite(target!)
    const equal = m.equal(accumulator, a)
    // The bus sees a write in any case; so does a page that may not be written.
    if (m.isMemory(target!)) {
      m.write(target!, m.select(equal, b, a))
      m.when(m.isZero(equal), () => m.setGpr(RAX, width, a))
    } else {
      m.when(equal, () => m.write(target!, b), () => m.setGpr(RAX, width, a))
    }
    m.setFlags(flagsOfDifference(m, accumulator, a, m.sub(accumulator, a), width))
  },
})

const cmpxchg8b = define('cmpxchg8b', {
  encodings: [row('w0 0f c7 /1', 'Mq').lock().cpuid('cx8')],
  flags: 'z',
  execute(m, target) {
    const a = m.readForWrite(target!)
    const wide = (high: number, low: number) =>
      m.or(m.shl(m.gpr(high, 32), m.const(32)), m.gpr(low, 32))
    const equal = m.equal(wide(RDX, RAX), a)
    m.write(target!, m.select(equal, wide(RCX, RBX), a))
    m.when(m.isZero(equal), () => {
      m.setGpr(RAX, 32, m.zx(a, 32))
      m.setGpr(RDX, 32, m.shr(a, m.const(32)))
    })
    m.setFlags({ zf: equal })
  },
})

const cmpxchg16b = define('cmpxchg16b', {
  encodings: [row('w1 0f c7 /1', 'Mx').only64().lock().cpuid('cx16')],
  flags: 'z',
  execute(m, target) {
    m.faultIf(m.and(m.address(target!), m.const(15)), 13, 0)
    const [oldLow, oldHigh] = [m.gpr(RAX, 64), m.gpr(RDX, 64)]
    const [low, high] = m.exchangePair(
      target!, [oldLow, oldHigh], [m.gpr(RBX, 64), m.gpr(RCX, 64)])
    const equal = m.and(m.equal(oldLow, low), m.equal(oldHigh, high))
    m.when(m.isZero(equal), () => {
      m.setGpr(RAX, 64, low)
      m.setGpr(RDX, 64, high)
    })
    m.setFlags({ zf: equal })
  },
})

/** ADCX and ADOX: a sum whose carry goes in and out by one flag alone. */
function chain(name: string, pattern: string, flag: 'cf' | 'of'): Definition {
  return define(name, {
    encodings: [row(pattern, 'Gy', 'Ey').cpuid('adx')],
    flags: flag[0]!,
    execute(m, target, source) {
      const width = m.widthOf(target!)
      const b = m.read(source!)
      const a = m.read(target!)
      const sum = m.add(m.add(a, b), m.flag(flag))
      m.write(target!, sum)
      const carry = flagsOfCarrySum(m, a, b, sum, width).cf!
      const flags: Flags<typeof carry> = flag === 'cf' ? { cf: carry } : { of: carry }
      m.setFlags(flags)
    },
  })
}

export const arithmetic: readonly Definition[] = [
  add, adc, sub, sbb, cmp, inc, dec, neg, xadd, cmpxchg, cmpxchg8b, cmpxchg16b,
  chain('adcx', '66 0f 38 f6 /r', 'cf'),
  chain('adox', 'f3 0f 38 f6 /r', 'of'),
]
