/**
 * Fuzz target: any text as an xl.cfg gives a configuration or ConfigError, and soon.
 *
 * `node fuzz/config.ts [runs] [seed]`; short by default. Words of the grammar are mixed with noise,
 * for noise alone never gets past the scanner.
 */
import assert from 'node:assert/strict'
import fc from 'fast-check'
import { loadDomainConfig } from '../src/toolstack/config/domain.ts'
import { KNOWN_OPTIONS } from '../src/toolstack/config/options.ts'
import { ConfigError } from '../src/toolstack/config/parser.ts'

const word = fc.oneof(
  fc.constantFrom(...KNOWN_OPTIONS),
  fc.constantFrom('=', '+=', '[', ']', ',', ';', '\n', '# c\n', ' ', '"a"', '\'b\'', '"\\', '\\'),
  fc.constantFrom('0', '128', '0x80', '07', '9e9', '1fx', '"-1"', '"native"', '"destroy"', '"pvh"'),
  fc.string({ maxLength: 6, unit: 'binary' }),
)
const line = fc.tuple(fc.constantFrom(...KNOWN_OPTIONS), fc.constantFrom('=', '+='), word)
  .map((parts) => `${parts.join('')}\n`)
const text = fc.array(fc.oneof(word, line), { maxLength: 60 }).map((parts) => parts.join(''))

/** Throws unless `source` is dealt with in one of the two ways. */
export function tryConfig(source: string): void {
  try {
    const { config } = loadDomainConfig('fuzz.cfg', source)
    assert(config.memoryKib >= 0 && config.memoryKib <= config.maxMemoryKib)
    assert(config.vcpus >= 1 && config.vcpus <= config.maxVcpus)
  } catch (error) {
    assert(error instanceof ConfigError, String(error))
    assert(error.lines.length > 0)
  }
}

export function fuzzConfig(runs: number, seed?: number): void {
  fc.assert(fc.property(text, tryConfig), { numRuns: runs, ...seed === undefined ? {} : { seed } })
  // What is nested or long must not exhaust the stack or take quadratic time.
  for (const part of ['[', '["a",', 'a=[', ';', '"', '\\', 'a', '#\n', 'a=1\n']) {
    tryConfig(`a=${part.repeat(100_000)}`)
  }
}

if (import.meta.main) {
  const [runs = '2000', seed] = process.argv.slice(2)
  fuzzConfig(Number(runs), seed === undefined ? undefined : Number(seed))
  console.log(`config: ${runs} runs`)
}
