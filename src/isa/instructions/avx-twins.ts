/**
 * From SSE instructions to their AVX forms: the same meaning, once for each half of 128 bits.
 *
 * An SSE instruction is `target = f(target, source)`. Its twin reads another register where that
 * reads its target, has no alignment checks but those of moves, and clears what lies above its
 * result (Intel SDM 2A, 2.3.10; AMD APM 4, 1.3). So a twin carries out the SSE definition over a
 * backend in which a few words mean something else.
 */
import { assert } from '../../base/assert.ts'
import type { Backend } from '../backend.ts'
import { define, row, type Definition, type Row } from '../definition.ts'
import type { Operand } from '../operand.ts'
import { joinLow } from './sse-shared.ts'

/** How the sources of 256-bit forms relate to the halves. */
export type Spread =
  /** Halves of a source belong to halves of the result. */
  | 'halves'
  /** Both halves take the same source of 128 bits: counts of shifts. */
  | 'same'
  /** Elements grow: the halves of a shorter source make the halves of the result. */
  | 'widening'
  /** Elements shrink: the halves' results lie side by side in 128 bits. */
  | 'narrowing'

export interface Twin {
  readonly rows: readonly Row[]
  readonly spread?: Spread
  /** Memory must be aligned. */
  readonly aligned?: boolean
  /** How many bits of the immediate are the lower half's own; 0: both halves take the same. */
  readonly immediateBits?: number
}

/** The backend `m` with some words replaced. */
function withWords<V>(m: Backend<V>, words: Partial<Backend<V>>): Backend<V> {
  return new Proxy(m, {
    get(target, name) {
      if (name in words) return Reflect.get(words, name)
      const word: unknown = Reflect.get(target, name)
      return typeof word === 'function' ? word.bind(target) as unknown : word
    },
  })
}

/** An instruction's operands, as the SSE form has them and beside that. */
interface Roles {
  readonly target: Operand
  /** What is read in the target's place. */
  readonly first: Operand
  /** The fourth register of blends, in the place of XMM0. */
  readonly mask: Operand | undefined
  readonly sse: readonly Operand[]
}

function rolesOf(operands: readonly Operand[], nonDestructive: boolean): Roles {
  const target = operands[0]!
  const rest = operands.slice(nonDestructive ? 2 : 1)
  const last = rest.at(-1)
  const mask = rest.length > 1 && last?.kind === 'xmm' ? last : undefined
  return {
    target, mask, first: nonDestructive ? operands[1]! : target,
    sse: [target, ...mask ? rest.slice(0, -1) : rest],
  }
}

/** Whether a row's second operand stands where SSE reads the target. */
function isNonDestructive({ operands }: Row): boolean {
  return operands.some((code) => code.startsWith('H'))
}

/** The AVX form of an SSE definition. */
export function twin(sse: Definition, how: Twin): Definition {
  const { execute, flags } = sse.fields
  assert(execute !== undefined, `${sse.name} is written in the algebra`)
  // The number of operands tells the rows with a third register from those without.
  const three = new Set(how.rows.filter(isNonDestructive).map(({ operands }) => operands.length))
  assert(how.rows.every((r) => isNonDestructive(r) === three.has(r.operands.length)), sse.name)
  return define(`v${sse.name}`, {
    encodings: how.rows,
    ...flags === undefined ? {} : { flags },
    execute(m, ...operands) {
      m.avxCheck()
      const roles = rolesOf(operands, three.has(operands.length))
      if (operands.some((operand) => operand.width === 256)) {
        bothHalves(m, roles, how, (lane) => execute(lane, ...roles.sse))
      } else {
        execute(single(m, roles, how), ...roles.sse)
      }
    },
  })
}

/** For forms of 128 bits and less. */
function single<V>(m: Backend<V>, { target, first, mask }: Roles, how: Twin): Backend<V> {
  const read = (operand: Operand): V => m.readVector(operand === target ? first : operand)
  const write = (operand: Operand, value: V): void => {
    if (operand.kind === 'xmm') m.writeHalves(operand, value, m.vectorConst(0n))
    else m.writeVector(operand, value)
  }
  return withWords(m, {
    sseCheck() {},
    readVector: read,
    readVectorAligned: how.aligned ? (operand) => m.readVectorAligned(operand) : read,
    writeVector: write,
    writeVectorAligned(operand, value) {
      if (how.aligned && operand.kind === 'memory') m.writeVectorAligned(operand, value)
      else write(operand, value)
    },
    xmm: () => m.readVector(mask!),
  })
}

/** For forms of 256 bits: `run` is called with a backend for each half, the lower one first. */
function bothHalves<V>(
  m: Backend<V>, { target, first, mask }: Roles, how: Twin, run: (lane: Backend<V>) => void,
): void {
  const known = new Map<Operand, readonly [V, V]>()
  const halvesOf = (operand: Operand): readonly [V, V] => {
    const halves = known.get(operand) ?? readSource(m, operand, how)
    known.set(operand, halves)
    return halves
  }
  const results: V[] = []
  let computes = false
  for (const half of [0, 1] as const) {
    const read = (operand: Operand): V => halvesOf(operand === target ? first : operand)[half]
    const write = (_: Operand, value: V): void => { results.push(value) }
    run(withWords(m, {
      sseCheck() {},
      widthOf: (operand) => Math.min(operand.width, 128),
      readVector: read,
      readVectorAligned: read,
      writeVector: write,
      writeVectorAligned: write,
      floatCheck() { computes = true },
      immediate(operand) {
        const whole = m.immediate(operand)
        return half && how.immediateBits ? m.shr(whole, m.const(how.immediateBits)) : whole
      },
      xmm: () => halvesOf(mask!)[half],
    }))
  }
  if (computes) m.floatCheck()
  const [low, high] = results as [V, V]
  if (how.spread === 'narrowing') {
    m.writeHalves(target, joinLow(m, low, high), m.vectorConst(0n))
  } else {
    m.writeHalves(target, low, high, how.aligned)
  }
}

function readSource<V>(m: Backend<V>, operand: Operand, how: Twin): readonly [V, V] {
  if (operand.width === 256) return m.readHalves(operand, how.aligned)
  const low = m.readVector(operand)
  if (how.spread !== 'widening') return [low, low]
  const bytes = operand.width / 16
  return [low, m.shuffle(low, low, Array.from({ length: 16 }, (_, byte) => byte + bytes & 15))]
}

/** What is to be said of VEX beside what the SSE encoding says. */
export interface VexForm {
  readonly l: 'l0' | 'l1' | 'lig'
  readonly w?: 'w0' | 'w1'
  readonly feature: string
  /** The codes of the SSE row's operands turned into those of the VEX form. */
  codes(codes: readonly string[]): readonly string[]
}

/** The VEX encoding of an SSE row. */
export function vexRow(sse: Row, form: VexForm): Row {
  const [prefix, escape, ...rest] = sse.pattern.split(' ')
  assert(escape === '0f' && prefix !== undefined, `${sse.pattern} has a mandatory prefix`)
  const long = rest[0] === '38' || rest[0] === '3a'
  const map = long ? `0f${rest.shift()}` : '0f'
  const pattern = `vex.${form.l}.${prefix}.${map}.${form.w ?? 'wig'} ${rest.join(' ')}`
  return row(pattern, ...form.codes(sse.operands)).cpuid(form.feature)
}
