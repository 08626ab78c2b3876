/**
 * Every row that user code can run, in the reference reading and on the host CPU.
 *
 * HOST_CASES is the number of cases per row: a few here, thousands in the long run.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { makeDecoder } from '../../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../../src/isa/instructions/all.ts'
import { x87Services } from '../../../src/isa/x87/services.ts'
import { userPatterns } from './generator.ts'
import { HostEngine } from './host-engine.ts'
import { ReferenceEngine } from './reference-engine.ts'
import { summarize, verify } from './verify.ts'

const decode = makeDecoder(allInstructions)
const casesPerRow = Number(process.env['HOST_CASES'] ?? 20)
const seed = Number(process.env['HOST_SEED'] ?? 20260101)

test('the reference reading does what the host CPU does', (t) => {
  using host = HostEngine.make()
  if (!host) {
    t.skip('no host oracle')
    return
  }
  const patterns = userPatterns(allInstructions).filter(({ definition }) => !definition.service)
  const underTest = new ReferenceEngine(decode, x87Services)
  const report = verify(patterns, { decode, expected: host, underTest, casesPerRow, seed })
  assert.deepEqual(summarize(report).slice(0, 20), [], `HOST_SEED=${seed}`)
  t.diagnostic(`${report.cases} cases of ${patterns.length} rows`)
})

test('every row can be assembled and decoded again', () => {
  const none = { run: (cases: import('./layout.ts').Cases) => cases }
  const patterns = userPatterns(allInstructions)
  const report = verify(patterns, {
    decode, expected: none, underTest: none, casesPerRow: 2, seed,
  })
  assert.deepEqual([...report.byRow].filter(([, count]) => count === 0), [])
})
