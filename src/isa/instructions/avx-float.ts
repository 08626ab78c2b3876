/**
 * AVX floating point that SSE has not: comparisons with 32 predicates, half precision (F16C), and
 * fused multiply-add (FMA3) (AMD APM 4, chapter 2; Intel SDM 2C for the operand orders of FMA).
 */
import type { Backend, FusedOp } from '../backend.ts'
import { define, row, type Definition } from '../definition.ts'
import { bothLengths, eachHalf, readWhole, writeWhole } from './avx-shared.ts'
import { dotProducts, eachLane } from './sse-float.ts'

type FloatWidth = 32 | 64

function compare(name: string, prefix: string, width: FloatWidth, packed: boolean): Definition {
  const rows = packed
    ? bothLengths(`vex.${prefix}.0f.wig c2 /r`, 'VX HX WX Ib', 'avx')
    : [row(`vex.lig.${prefix}.0f.wig c2 /r`, 'Vx', 'Hx', width === 32 ? 'Wd' : 'Wq', 'Ib')
        .cpuid('avx')]
  return define(name, {
    encodings: rows,
    execute(m, target, first, second, immediate) {
      m.avxCheck()
      const predicate = m.and(m.immediate(immediate!), m.const(31))
      const b = readWhole(m, second!)
      const a = readWhole(m, first!)
      // Zeros in the lanes that a scalar comparison leaves alone raise nothing.
      const low = (v: typeof predicate) => m.vectorOf(m.lane(v, width, 0))
      const result = eachHalf(m, target!, (half) => packed
        ? m.floatCompare(width, predicate, a[half], b[half])
        : m.withLane(a[half], width, 0, m.lane(
          m.floatCompare(width, predicate, low(a[half]), low(b[half])), width, 0)))
      m.floatCheck()
      writeWhole(m, target!, result)
    },
  })
}

const dotProduct = define('vdpps', {
  encodings: bothLengths('vex.66.0f3a.wig 40 /r', 'VX HX WX Ib', 'avx'),
  execute(m, target, first, second, immediate) {
    m.avxCheck()
    const b = readWhole(m, second!)
    const a = readWhole(m, first!)
    const pairs = [0, 1].slice(0, m.widthOf(target!) / 128)
      .map((half) => [a[half]!, b[half]!] as const)
    const [low, high = m.vectorConst(0n)] = dotProducts(m, 32, pairs, m.immediate(immediate!))
    writeWhole(m, target!, [low!, high])
  },
})

/** VCVTPH2PS: as many halves as there are singles in the target. */
const fromHalf = define('vcvtph2ps', {
  encodings: [
    row('vex.l0.66.0f38.w0 13 /r', 'Vx', 'Wq').cpuid('f16c'),
    row('vex.l1.66.0f38.w0 13 /r', 'Vqq', 'Wx').cpuid('f16c'),
  ],
  execute(m, target, source) {
    m.avxCheck()
    const from = m.readVector(source!)
    const result = eachHalf(m, target!, (half) =>
      eachLane(m, 32, from, from, (_x, _y, lane) =>
        m.float('fromHalf', 32, m.lane(from, 16, half * 4 + lane))))
    m.floatCheck()
    writeWhole(m, target!, result)
  },
})

const toHalf = define('vcvtps2ph', {
  encodings: [
    row('vex.l0.66.0f3a.w0 1d /r', 'Wq', 'Vx', 'Ib').cpuid('f16c'),
    row('vex.l1.66.0f3a.w0 1d /r', 'Wx', 'Vqq', 'Ib').cpuid('f16c'),
  ],
  execute(m, target, source, immediate) {
    m.avxCheck()
    // A page fault comes before what computing finds.
    if (m.isMemory(target!)) m.probeAt(target!, m.const(0), m.widthOf(target!))
    const how = m.immediate(immediate!)
    const from = readWhole(m, source!)
    let result = m.vectorConst(0n)
    for (let lane = 0; lane < source!.width / 32; lane++) {
      const single = m.lane(from[lane >> 2]!, 32, lane & 3)
      result = m.withLane(result, 16, lane, m.float('toHalf', 32, single, how))
    }
    m.floatCheck()
    writeWhole(m, target!, [result, m.vectorConst(0n)])
  },
})

/**
 * Which operands are multiplied, and which is added: numbers of the target, the second and the
 * third operand. The name of a form says so, 132 for 0 * 2 + 1; a product takes the one of the
 * higher number second, which decides among NaNs.
 */
const orders = [
  ['132', 0x90, 0, 2, 1], ['213', 0xa0, 1, 0, 2], ['231', 0xb0, 1, 2, 0],
] as const

/** The three values of an instruction, of all lanes or of one. */
type Fuse = <V>(m: Backend<V>, values: readonly [V, V, V], lane: number) => V

function fusedRows(opcode: number, w: 0 | 1, packed: boolean) {
  const pattern = `66.0f38.w${w} ${opcode.toString(16)} /r`
  if (packed) return bothLengths(`vex.${pattern}`, 'VX HX WX', 'fma')
  return [row(`vex.lig.${pattern}`, 'Vx', 'Hx', w ? 'Wq' : 'Wd').cpuid('fma')]
}

function fusedForm(
  name: string, opcode: number, width: FloatWidth, packed: boolean, fuse: Fuse,
): Definition {
  return define(name, {
    encodings: fusedRows(opcode, width === 64 ? 1 : 0, packed),
    execute(m, target, second, third) {
      m.avxCheck()
      const c = readWhole(m, third!)
      const b = readWhole(m, second!)
      const a = readWhole(m, target!)
      const compute = (half: 0 | 1, lane: number) => fuse(m, [
        m.lane(a[half], width, lane), m.lane(b[half], width, lane), m.lane(c[half], width, lane),
      ], lane)
      const result = eachHalf(m, target!, (half) => packed
        ? eachLane(m, width, a[half], a[half], (_x, _y, lane) => compute(half, lane))
        : m.withLane(a[half], width, 0, compute(half, 0)))
      m.floatCheck()
      writeWhole(m, target!, result)
    },
  })
}

/** All forms of one operation; `odd` is that of odd lanes where it differs. */
function fusedFamily(
  name: string, opcode: number, even: FusedOp, forms: readonly ('p' | 's')[], odd = even,
): Definition[] {
  return orders.flatMap(([digits, base, x, y, z]) => forms.flatMap((form) =>
    ([32, 64] as const).map((width) => fusedForm(
      `v${name}${digits}${form}${width === 32 ? 's' : 'd'}`,
      base + opcode + (form === 's' ? 1 : 0), width, form === 'p',
      (m, values, lane) =>
        m.fused(lane % 2 ? odd : even, width, values[x], values[y], values[z])))))
}

export const avxFloat: readonly Definition[] = [
  compare('vcmpps', 'np', 32, true), compare('vcmppd', '66', 64, true),
  compare('vcmpss', 'f3', 32, false), compare('vcmpsd', 'f2', 64, false),
  dotProduct, fromHalf, toHalf,
  ...fusedFamily('fmadd', 8, 'madd', ['p', 's']), ...fusedFamily('fmsub', 10, 'msub', ['p', 's']),
  ...fusedFamily('fnmadd', 12, 'nmadd', ['p', 's']),
  ...fusedFamily('fnmsub', 14, 'nmsub', ['p', 's']),
  ...fusedFamily('fmaddsub', 6, 'msub', ['p'], 'madd'),
  ...fusedFamily('fmsubadd', 7, 'madd', ['p'], 'msub'),
]
