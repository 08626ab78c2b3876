/**
 * The oracle by hand: `node test/isa/host/run.ts [engine] [names] [cases] [seed] [same]`. `engine`
 * is reference, interpreter or jit, with 32 behind it for 32-bit code; `names` is a regular
 * expression over mnemonics, `cases` is per row, and `same` how many of them in a row have the same
 * instruction.
 */
import { makeDecoder } from '../../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../../src/isa/instructions/all.ts'
import { x87Services } from '../../../src/isa/x87/services.ts'
import { userPatterns } from './generator.ts'
import { HostEngine } from './host-engine.ts'
import { ReferenceEngine } from './reference-engine.ts'
import { summarize, verify } from './verify.ts'

const [engine = 'reference', names = '.', cases = '50', seed = '1', same = '1'] =
  process.argv.slice(2)
const decode = makeDecoder(allInstructions)
const filter = new RegExp(`^(${names})`)
const legacy = engine.endsWith('32')
const patterns = userPatterns(allInstructions, legacy).filter(({ definition }) =>
  (!definition.service || definition.service in x87Services) && filter.test(definition.name))
using host = HostEngine.make()
if (host) {
  const heatLimit = engine.startsWith('jit') ? 1 : 0
  const underTest = engine.startsWith('reference') ? new ReferenceEngine(decode, x87Services)
    : new (await import('./interpreter-engine.ts')).InterpreterEngine(heatLimit)
  const report = verify(patterns, {
    decode, expected: host, underTest, casesPerRow: Number(cases), seed: Number(seed),
    casesPerInstruction: Number(same),
    legacy,
  })
  for (const line of summarize(report)) console.log(line.slice(0, 240))
  console.log(`${report.cases} cases of ${patterns.length} rows,`,
    `${report.differences.length} differences`)
}
