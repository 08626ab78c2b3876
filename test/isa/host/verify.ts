/**
 * Runs cases for many rows in two engines and collects where they differ.
 */
import { readFileSync } from 'node:fs'
import type { Decode } from '../../../src/isa/decode/decoder.ts'
import type { Pattern } from '../../../src/isa/decode/pattern.ts'
import type { Instruction } from '../../../src/isa/operand.ts'
import { Random } from '../decoder/byte-strings.ts'
import { difference, flagMask } from './compare.ts'
import { Generator } from './generator.ts'
import { acceptedReason } from './known.ts'
import { at, CASE_BYTES, Cases, type Engine } from './layout.ts'

const ROWS_AT_ONCE = 20

export interface Difference {
  readonly name: string
  readonly pattern: string
  /** The instruction's bytes. */
  readonly code: string
  readonly text: string
}

export interface Report {
  cases: number
  readonly differences: Difference[]
  /** Differences that known.ts explains, by definition. */
  readonly accepted: Map<string, number>
  /** Cases by row. */
  readonly byRow: Map<string, number>
}

export interface VerifyOptions {
  readonly decode: Decode
  readonly expected: Engine
  readonly underTest: Engine
  readonly casesPerRow: number
  /** How many cases in a row have the same instruction: compiling it costs more than running. */
  readonly casesPerInstruction?: number
  readonly seed: number
  /** 32-bit code. */
  readonly legacy?: boolean
}

/** Key of a row in Report.byRow. */
function rowKey(pattern: Pattern): string {
  return `${pattern.definition.name} ${pattern.row.pattern}`
}

export function verify(patterns: readonly Pattern[], options: VerifyOptions): Report {
  const report: Report = { cases: 0, differences: [], accepted: new Map(), byRow: new Map() }
  const generator = new Generator(new Random(options.seed), options.decode, options.legacy)
  for (let i = 0; i < patterns.length; i += ROWS_AT_ONCE) {
    verifyRows(patterns.slice(i, i + ROWS_AT_ONCE), options, generator, report)
  }
  return report
}

function verifyRows(
  patterns: readonly Pattern[], options: VerifyOptions, generator: Generator, report: Report,
): void {
  const cases = Cases.make(patterns.length * options.casesPerRow)
  const made: { readonly pattern: Pattern, readonly instruction: Instruction }[] = []
  for (const pattern of patterns) {
    const before = made.length
    let instruction: Instruction | undefined
    for (let i = 0; i < options.casesPerRow; i++) {
      const isNew = !instruction || i % (options.casesPerInstruction ?? 1) === 0
      if (isNew) instruction = generator.fill(cases, made.length, pattern)
      else generator.fillAgain(cases, made.length, instruction!)
      if (instruction) made.push({ pattern, instruction })
    }
    report.byRow.set(rowKey(pattern), made.length - before)
  }
  const used = new Cases(cases.bytes.subarray(0, made.length * CASE_BYTES))
  const expected = options.expected.run(used)
  const actual = options.underTest.run(used)
  report.cases += made.length
  made.forEach(({ pattern }, index) => {
    const { name, fields } = pattern.definition
    const ignored = flagMask(mirrorsHost() ? notMirrored[name] ?? '' : fields.undefinedFlags ?? '')
    const text = difference(expected, actual, index, ignored)
    if (text === undefined) return
    if (acceptedReason(name, text)) {
      report.accepted.set(name, (report.accepted.get(name) ?? 0) + 1)
      return
    }
    const code = used.slice(index, at.code, used.u32(index, at.length))
    report.differences.push({
      name, pattern: pattern.row.pattern, code: Buffer.from(code).toString('hex'), text,
    })
  })
}

/** Undefined flags that are not as Zen 4 has them. */
const notMirrored: Readonly<Record<string, string>> = {
  mul: 'szap', imul: 'szap', div: 'oszapc', idiv: 'oszapc', bextr: 'p',
  daa: 'o', das: 'o', aaa: 'oszp', aas: 'oszp', aam: 'oac', aad: 'oac',
}

let mirrors: boolean | undefined

/** On Zen 4 (family 19h) undefined flags are compared too. */
function mirrorsHost(): boolean {
  mirrors ??= isZen4()
  return mirrors
}

function isZen4(): boolean {
  try {
    const text = readFileSync('/proc/cpuinfo', 'utf8')
    return text.includes('AuthenticAMD') && /cpu family\s*: 25\n/.test(text)
  } catch {
    return false
  }
}

/** One line a kind of difference, with an example, most frequent first. */
export function summarize(report: Report): string[] {
  const kinds = new Map<string, { count: number, example: Difference }>()
  for (const found of report.differences) {
    const kind = `${found.name}: ${found.text.replaceAll(/[0-9a-f]+ for [0-9a-f]+/g, '…')
      .replaceAll(/(xmm|st|r)(\d+|[a-d]x|[sd]i|[sb]p) /g, '$1 ').replace(/at \d+/, '')}`
    const known = kinds.get(kind)
    if (known) known.count += 1
    else kinds.set(kind, { count: 1, example: found })
  }
  return [...kinds].sort((a, b) => b[1].count - a[1].count).map(([, { count, example }]) =>
    `${example.name} ${count}x, as ${example.code}: ${example.text}`)
}
