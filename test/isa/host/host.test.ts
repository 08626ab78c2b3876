/**
 * Every row that user code can run: our readings of it against the host CPU.
 *
 * HOST_CASES is the number of cases per row: a few here, thousands in the long run.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { makeDecoder } from '../../../src/isa/decode/decoder.ts'
import type { Pattern } from '../../../src/isa/decode/pattern.ts'
import { allInstructions } from '../../../src/isa/instructions/all.ts'
import { x87Services } from '../../../src/isa/x87/services.ts'
import { userPatterns } from './generator.ts'
import { HostEngine } from './host-engine.ts'
import { InterpreterEngine } from './interpreter-engine.ts'
import type { Cases, Engine } from './layout.ts'
import { ReferenceEngine } from './reference-engine.ts'
import { summarize, verify } from './verify.ts'

const decode = makeDecoder(allInstructions)
const casesPerRow = Number(process.env['HOST_CASES'] ?? 10)
const seed = Number(process.env['HOST_SEED'] ?? 20260101)

/** All rows but those of system services, which have tests of their own. */
function patternsOf(legacy: boolean): readonly Pattern[] {
  return userPatterns(allInstructions, legacy).filter(({ definition }) =>
    !definition.service || definition.service in x87Services)
}

/** Each with its cases and its instructions for a row. The reference reading is slow, and checked
 * by the interpreter's cases as well; compiling one costs as much as some of its cases. */
const engines: readonly (readonly [string, () => Engine, number, number])[] = [
  ['reference reading', () => new ReferenceEngine(decode, x87Services),
    Math.min(casesPerRow, 50), casesPerRow],
  ['interpreter', () => new InterpreterEngine(), casesPerRow, casesPerRow],
  ['compiled region', () => new InterpreterEngine(1), Math.min(casesPerRow, 200), 10],
]
for (const [name, make, cases, instructions] of engines) for (const legacy of [false, true]) {
  test(`the ${name} does what the host CPU does in ${legacy ? 32 : 64}-bit code`, (t) => {
    using host = HostEngine.make()
    if (!host) {
      t.skip('no host oracle')
      return
    }
    const patterns = patternsOf(legacy)
    const options = {
      decode, expected: host, underTest: make(), casesPerRow: cases, seed, legacy,
      casesPerInstruction: Math.ceil(cases / instructions),
    }
    const report = verify(patterns, options)
    assert.deepEqual(summarize(report).slice(0, 20), [], `HOST_SEED=${seed}`)
    t.diagnostic(`${report.cases} cases of ${patterns.length} rows`)
  })
}

test('every row can be assembled and decoded again', () => {
  const none = { run: (cases: Cases) => cases }
  const report = verify(userPatterns(allInstructions), {
    decode, expected: none, underTest: none, casesPerRow: 2, seed,
  })
  assert.deepEqual([...report.byRow].filter(([, count]) => count === 0), [])
})
