/**
 * Data movement between registers and memory: MOV, MOVZX, MOVSX, MOVSXD, XCHG, BSWAP, CMOVcc,
 * LEA, XLAT, MOVBE, MOVNTI, and the conversions CBW and CWD in all widths (AMD APM 3).
 *
 * MOV with segment, control and debug registers is in system.ts.
 */
import { RAX, RBX, RDX } from '../../abi/x86/registers.ts'
import type { Backend } from '../backend.ts'
import { type Definition, define, row } from '../definition.ts'

const mov = define('mov', {
  encodings: [
    row('88 /r', 'Eb', 'Gb'),
    row('89 /r', 'Ev', 'Gv'),
    row('8a /r', 'Gb', 'Eb'),
    row('8b /r', 'Gv', 'Ev'),
    row('a0', 'AL', 'Ob'),
    row('a1', 'rAX', 'Ov'),
    row('a2', 'Ob', 'AL'),
    row('a3', 'Ov', 'rAX'),
    row('b0+r', 'Zb', 'Ib'),
    row('b8+r', 'Zv', 'Iv'),
    row('c6 /0', 'Eb', 'Ib'),
    row('c7 /0', 'Ev', 'Iz'),
  ],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
  },
})

const movzx = define('movzx', {
  encodings: [row('0f b6 /r', 'Gv', 'Eb'), row('0f b7 /r', 'Gv', 'Ew')],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
  },
})

const movsx = define('movsx', {
  encodings: [row('0f be /r', 'Gv', 'Eb'), row('0f bf /r', 'Gv', 'Ew')],
  execute(m, target, source) {
    m.write(target!, m.readSigned(source!))
  },
})

const movsxd = define('movsxd', {
  encodings: [row('63 /r', 'Gv', 'Ed').only64()],
  execute(m, target, source) {
    m.write(target!, m.readSigned(source!))
  },
})

const movnti = define('movnti', {
  encodings: [row('np 0f c3 /r', 'My', 'Gy').cpuid('sse2')],
  execute(m, target, source) {
    m.write(target!, m.read(source!))
  },
})

const xchg = define('xchg', {
  encodings: [
    row('86 /r', 'Eb', 'Gb').lock(),
    row('87 /r', 'Ev', 'Gv').lock(),
    row('90+r', 'Zv', 'rAX'),
  ],
  execute(m, first, second) {
    const b = m.read(second!)
    const a = m.readForWrite(first!)
    m.write(first!, b)
    m.write(second!, a)
  },
})

/** The low `width` bits of a value with its bytes in reverse; 16, 32 or 64. */
function reverseBytes<V>(m: Backend<V>, value: V, width: number): V {
  let all = value
  for (const [bits, mask] of [
    [8, 0x00ff00ff00ff00ffn], [16, 0x0000ffff0000ffffn],
  ] as const) {
    if (bits >= width) break
    const by = m.const(bits)
    const half = m.const(mask)
    all = m.or(m.and(m.shr(all, by), half), m.shl(m.and(all, half), by))
  }
  return width === 64 ? m.rotl(all, m.const(32)) : all
}

const bswap = define('bswap', {
  encodings: [row('0f c8+r', 'Zv')],
  execute(m, target) {
    const width = m.widthOf(target!)
    // The manuals leave 16 bits undefined; processors write 0.
    m.write(target!, width === 16 ? m.const(0) : reverseBytes(m, m.read(target!), width))
  },
})

const movbe = define('movbe', {
  encodings: [
    row('nfx 0f 38 f0 /r', 'Gv', 'Mv').cpuid('movbe'),
    row('nfx 0f 38 f1 /r', 'Mv', 'Gv').cpuid('movbe'),
  ],
  execute(m, target, source) {
    m.write(target!, reverseBytes(m, m.read(source!), m.widthOf(target!)))
  },
})

const lea = define('lea', {
  encodings: [row('8d /r', 'Gv', 'M')],
  execute(m, target, source) {
    m.write(target!, m.address(source!))
  },
})

const xlat = define('xlat', {
  encodings: [row('d7', 'AL')],
  execute(m, target) {
    const table = m.gpr(RBX, m.addressSize)
    m.write(target!, m.load(m.segment, m.add(table, m.read(target!)), 8))
  },
})

/** CBW, CWDE or CDQE by operand size. */
const cbw = define('cbw', {
  encodings: [row('98')],
  execute(m) {
    const half = m.operandSize / 2
    m.setGpr(RAX, m.operandSize, m.sx(m.gpr(RAX, half), half))
  },
})

/** CWD, CDQ or CQO by operand size. */
const cwd = define('cwd', {
  encodings: [row('99')],
  execute(m) {
    const sign = m.sar(m.sx(m.gpr(RAX, m.operandSize), m.operandSize), m.const(63))
    m.setGpr(RDX, m.operandSize, sign)
  },
})

/** Names of the conditions 0 to 15, for Jcc, SETcc and CMOVcc. */
export const conditionNames = [
  'o', 'no', 'b', 'ae', 'e', 'ne', 'be', 'a', 's', 'ns', 'p', 'np', 'l', 'ge', 'le', 'g',
] as const

const conditionalMoves = conditionNames.map((condition, code) => define(`cmov${condition}`, {
  encodings: [row(`0f 4${code.toString(16)} /r`, 'Gv', 'Ev')],
  execute(m, target, source) {
    // The source is read, and 32 bits are written, even when the condition is false.
    const value = m.read(source!)
    m.write(target!, m.select(m.condition(code), value, m.read(target!)))
  },
}))

export const move: readonly Definition[] = [
  mov, movzx, movsx, movsxd, movnti, xchg, bswap, movbe, lea, xlat, cbw, cwd, ...conditionalMoves,
]
