/**
 * The AVX forms of SSE instructions (AMD APM 4, chapter 2), by how their encodings follow from
 * those of SSE: which forms there are, and what their operands become.
 *
 * SSE's source comes last and its target first; where SSE reads its target, VEX.vvvv names another
 * register. Only what CPUID reports is here: AES and PCLMULQDQ have no forms of 256 bits.
 */
import { assert } from '../../base/assert.ts'
import type { Definition, Row } from '../definition.ts'
import { row } from '../definition.ts'
import { twin, vexRow, type Spread, type VexForm } from './avx-twins.ts'
import { cryptoAes } from './crypto-aes.ts'
import { mmxArithmetic } from './mmx-arithmetic.ts'
import { mmxShift } from './mmx-shift.ts'
import { mmxShuffle } from './mmx-shuffle.ts'
import { sseConvert } from './sse-convert.ts'
import { sseFloat } from './sse-float.ts'
import { sseMove } from './sse-move.ts'
import { sse4 } from './sse-sse4.ts'
import { ssse3 } from './sse-ssse3.ts'
import { sseString } from './sse-string.ts'

const byName = new Map([
  ...mmxArithmetic, ...mmxShift, ...mmxShuffle, ...sseMove, ...sseFloat, ...sseConvert, ...ssse3,
  ...sse4, ...sseString, ...cryptoAes,
].map((definition) => [definition.name, definition]))

type Codes = VexForm['codes']

/** The codes of a 256-bit form: everything of 128 bits grows. */
const grown: Codes = (codes) => codes.map((code) => code.replace(/^([A-Z])x$/, '$1qq'))
const sourceGrown: Codes = ([target, ...rest]) => [target!, ...grown(rest)]
const plain: Codes = (codes) => codes

/** The next larger size of memory beside a vector. */
const larger: Readonly<Record<string, string>> = { Ww: 'Wd', Wd: 'Wq', Wq: 'Wx' }
const widened: Codes = ([target, source]) => [...grown([target!]), larger[source!]!]

/** VEX.vvvv names what is read in the target's place; of a shift by an immediate, the target. */
const withFirst: Codes = ([target, ...rest]) =>
  target === 'Ux' && rest[0] === 'Ib' ? ['Hx', 'Ux', 'Ib'] : [target!, 'Hx', ...rest]

/** Moves to memory, and loads that clear the rest of the register, have two operands. */
const withFirstOfRegisters: Codes = (codes) =>
  codes.some((code) => code.startsWith('M')) ? codes : withFirst(codes)
const withFirstOfLoads: Codes = (codes) => codes[0] === 'Vx' ? withFirst(codes) : codes

interface Family {
  readonly names: string
  readonly codes?: Codes
  /** The 256-bit form, out of `codes`; none if left out. */
  readonly grow?: Codes
  readonly spread?: Spread
  /** Feature of the 128-bit form, and of the other where that came later. */
  readonly feature?: string
  readonly wideFeature?: string
  /** VEX.L means nothing: scalars. */
  readonly scalar?: boolean
  readonly aligned?: boolean
}

const FLOAT = `addps addpd subps subpd mulps mulpd divps divpd minps minpd maxps maxpd andps andpd
  andnps andnpd orps orpd xorps xorpd unpcklps unpckhps unpcklpd unpckhpd shufps shufpd addsubps
  addsubpd haddps haddpd hsubps hsubpd blendps blendpd`
const FLOAT_OF_ONE = `sqrtps sqrtpd rcpps rsqrtps roundps roundpd cvtps2dq cvttps2dq cvtdq2ps
  movups movupd movdqu lddqu movsldup movshdup`
const SCALAR = `addss addsd subss subsd mulss mulsd divss divsd minss minsd maxss maxsd sqrtss
  sqrtsd rcpss rsqrtss roundss roundsd cvtsi2ss cvtsi2sd cvtss2sd cvtsd2ss`
const SCALAR_OF_ONE = `ucomiss ucomisd comiss comisd cvtss2si cvttss2si cvtsd2si cvttsd2si`
const INTEGER = `paddb paddw paddd paddq psubb psubw psubd psubq paddsb paddsw paddusb paddusw
  psubsb psubsw psubusb psubusw pmullw pmulhw pmulhuw pmuludq pmaddwd psadbw pavgb pavgw pminub
  pmaxub pminsw pmaxsw pand pandn por pxor pcmpeqb pcmpeqw pcmpeqd pcmpgtb pcmpgtw pcmpgtd
  packsswb packssdw packuswb punpcklbw punpcklwd punpckldq punpcklqdq punpckhbw punpckhwd punpckhdq
  punpckhqdq pshufb phaddw phaddd phaddsw pmaddubsw phsubw phsubd phsubsw psignb psignw psignd
  pmulhrsw palignr pcmpeqq pcmpgtq packusdw pminsb pminsd pminuw pminud pmaxsb pmaxsd pmaxuw pmaxud
  pmulld pmuldq pblendw mpsadbw`
const SHIFTS = 'psllw pslld psllq psrlw psrld psrlq psraw psrad'
const EXTENSIONS = `pmovsxbw pmovsxbd pmovsxbq pmovsxwd pmovsxwq pmovsxdq pmovzxbw pmovzxbd pmovzxbq
  pmovzxwd pmovzxwq pmovzxdq`

const families: readonly Family[] = [
  { names: FLOAT, codes: withFirst, grow: grown },
  { names: FLOAT_OF_ONE, grow: grown },
  { names: 'movddup', grow: (codes) => grown(codes).map((code) => code === 'Wq' ? 'Wqq' : code) },
  { names: 'movaps movapd movdqa movntps movntpd movntdq', grow: grown, aligned: true },
  { names: 'movntdqa', grow: grown, aligned: true, wideFeature: 'avx2' },
  { names: 'cvtps2pd cvtdq2pd', grow: widened, spread: 'widening' },
  { names: 'cvtpd2ps cvtpd2dq cvttpd2dq', grow: sourceGrown, spread: 'narrowing' },
  { names: SCALAR, codes: withFirst, scalar: true },
  { names: SCALAR_OF_ONE, scalar: true },
  { names: 'movss movsd', codes: withFirstOfRegisters, scalar: true },
  { names: 'movlps movlpd movhps movhpd', codes: withFirstOfLoads },
  { names: 'dppd movhlps movlhps insertps pinsrb pinsrw pinsrd', codes: withFirst },
  { names: 'ldmxcsr stmxcsr' },
  { names: 'movd movq extractps pextrb pextrw pextrd phminposuw' },
  { names: 'pcmpestrm pcmpestri pcmpistrm pcmpistri' },
  { names: 'aesenc aesenclast aesdec aesdeclast', codes: withFirst, feature: 'aes' },
  { names: 'aesimc aeskeygenassist', feature: 'aes' },
  { names: 'pclmulqdq', codes: withFirst, feature: 'pclmulqdq' },
  { names: INTEGER, codes: withFirst, grow: grown, wideFeature: 'avx2' },
  { names: 'pslldq psrldq', codes: withFirst, grow: grown, wideFeature: 'avx2' },
  { names: 'pshufd pshuflw pshufhw pabsb pabsw pabsd', grow: grown, wideFeature: 'avx2' },
  { names: EXTENSIONS, grow: widened, spread: 'widening', wideFeature: 'avx2' },
]

/** Immediates that have bits for each half. */
const immediateBits: Readonly<Record<string, number>> = {
  shufpd: 2, blendpd: 2, blendps: 4, mpsadbw: 3,
}

/** The SSE rows of a definition, without those on MMX registers. */
function sseRows(definition: Definition): readonly Row[] {
  return definition.fields.encodings
    .filter(({ operands }) => !operands.some((code) => /^[PQN]/.test(code)))
}

function sseOf(name: string): Definition {
  const definition = byName.get(name)
  assert(definition !== undefined, `${name} is an SSE instruction`)
  return definition
}

function familyOf(family: Family): Definition[] {
  const { codes = plain, grow, feature = 'avx', wideFeature = feature } = family
  return family.names.split(/\s+/).map((name) => {
    const sse = sseOf(name)
    const rows = sseRows(sse).flatMap((from) => {
      const short = vexRow(from, { l: family.scalar ? 'lig' : 'l0', feature, codes })
      if (!grow) return [short]
      const form: VexForm = {
        l: 'l1', feature: wideFeature, codes: (given) => grow(codes(given)),
      }
      return [short, vexRow(from, form)]
    })
    return twin(sse, {
      rows, spread: family.spread ?? 'halves', aligned: family.aligned ?? false,
      immediateBits: immediateBits[name] ?? 0,
    })
  })
}

/** Shifts by a register or memory of 128 bits, or by an immediate. */
const shifts = SHIFTS.split(' ').map((name) => {
  const sse = sseOf(name)
  const rows = sseRows(sse).flatMap((from) => [
    vexRow(from, { l: 'l0', feature: 'avx', codes: withFirst }),
    vexRow(from, {
      l: 'l1', feature: 'avx2',
      codes: (codes) => {
        const given = withFirst(codes)
        return given[2] === 'Ib' ? grown(given) : [...grown(given.slice(0, 2)), given[2]!]
      },
    }),
  ])
  return twin(sse, { rows, spread: 'same' })
})

/** Blends by a register that the immediate's upper half names. */
function blend(name: string, opcode: string, wideFeature: string): Definition {
  const pattern = `66.0f3a.w0 ${opcode} /r`
  return twin(sseOf(name), {
    rows: [
      row(`vex.l0.${pattern}`, 'Vx', 'Hx', 'Wx', 'Lx').cpuid('avx'),
      row(`vex.l1.${pattern}`, 'Vqq', 'Hqq', 'Wqq', 'Lqq').cpuid(wideFeature),
    ],
  })
}

export const avx: readonly Definition[] = [
  ...families.flatMap(familyOf), ...shifts,
  blend('blendvps', '4a', 'avx'), blend('blendvpd', '4b', 'avx'), blend('pblendvb', '4c', 'avx2'),
]
