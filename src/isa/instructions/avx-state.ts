/**
 * AVX instructions on flags, general registers and whole registers: tests, sign masks, and clearing
 * upper halves (AMD APM 4, chapter 2).
 */
import type { Backend } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import type { Operand } from '../operand.ts'
import type { VectorOp } from '../vector-op.ts'
import { bothLengths, readWhole } from './avx-shared.ts'
import { repeated } from './sse-shared.ts'

/** VPTEST and VTESTPS: ZF and CF for `b & a` and `b & ~a` without ones among the bits of `mask`. */
function testing(name: string, pattern: string, mask: bigint): Definition {
  return define(name, {
    encodings: bothLengths(pattern, 'VX WX', 'avx'),
    flags: 'oszapc',
    execute(m, first, second) {
      m.avxCheck()
      const b = readWhole(m, second!)
      const a = readWhole(m, first!)
      const zero = m.const(0)
      const isClear = (op: VectorOp) => {
        const both = m.vector('v128.or', m.vector(op, b[0], a[0]), m.vector(op, b[1], a[1]))
        const meant = m.vector('v128.and', both, m.vectorConst(mask))
        return m.isZero(m.or(m.lane(meant, 64, 0), m.lane(meant, 64, 1)))
      }
      m.setFlags({
        of: zero, sf: zero, af: zero, pf: zero,
        zf: isClear('v128.and'), cf: isClear('v128.andnot'),
      })
    },
  })
}

/** A bit for each lane's sign. */
function signMask(name: string, prefix: string, opcode: string, op: VectorOp, lanes: number) {
  return define(name, {
    encodings: [
      row(`vex.l0.${prefix}.0f.wig ${opcode} /r r`, 'Gd', 'Ux').cpuid('avx'),
      row(`vex.l1.${prefix}.0f.wig ${opcode} /r r`, 'Gd', 'Uqq')
        .cpuid(opcode === 'd7' ? 'avx2' : 'avx'),
    ],
    execute(m, target, source) {
      m.avxCheck()
      const [low, high] = readWhole(m, source!)
      const bits = m.vector(op, low)
      m.write(target!, source!.width === 256
        ? m.or(bits, m.shl(m.vector(op, high), m.const(lanes))) : bits)
    },
  })
}

/** Outside 64-bit code there are eight vector registers. */
function registersOf<V>(m: Backend<V>): Operand[] {
  return Array.from({ length: m.long ? 16 : 8 },
    (_, index): Operand => ({ kind: 'xmm', width: 256, index }))
}

const zeroUpper = define('vzeroupper', {
  encodings: [row('vex.l0.np.0f.wig 77').cpuid('avx')],
  execute(m) {
    m.avxCheck()
    registersOf(m).forEach((_, index) => m.clearUpper(index))
  },
})

const zeroAll = define('vzeroall', {
  encodings: [row('vex.l1.np.0f.wig 77').cpuid('avx')],
  execute(m) {
    m.avxCheck()
    const zero = m.vectorConst(0n)
    for (const register of registersOf(m)) m.writeHalves(register, zero, zero)
  },
})

const storeBytes = define('vmaskmovdqu', {
  encodings: [row('vex.l0.66.0f.wig f7 /r r', 'Vx', 'Ux').cpuid('avx')],
  service: true,
})

export const avxState: readonly Definition[] = [
  testing('vptest', 'vex.66.0f38.wig 17 /r', repeated(128, (1n << 128n) - 1n)),
  testing('vtestps', 'vex.66.0f38.w0 0e /r', repeated(32, 0x80000000n)),
  testing('vtestpd', 'vex.66.0f38.w0 0f /r', repeated(64, 1n << 63n)),
  signMask('vmovmskps', 'np', '50', 'i32x4.bitmask', 4),
  signMask('vmovmskpd', '66', '50', 'i64x2.bitmask', 2),
  signMask('vpmovmskb', '66', 'd7', 'i8x16.bitmask', 16),
  zeroUpper, zeroAll, storeBytes,
]
