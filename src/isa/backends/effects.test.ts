/**
 * What definitions declare against what their semantics do.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Random } from '../../../test/isa/decoder/byte-strings.ts'
import { Generator, userPatterns } from '../../../test/isa/host/generator.ts'
import { Cases } from '../../../test/isa/host/layout.ts'
import { makeDecoder } from '../decode/decoder.ts'
import { allInstructions } from '../instructions/all.ts'
import type { Instruction } from '../operand.ts'
import { effectsOf } from './effects.ts'

const decode = makeDecoder(allInstructions)

/** Two instructions for each row: mostly one with a register and one with memory. */
function samples(): Instruction[] {
  const generator = new Generator(new Random(99), decode)
  const cases = Cases.make(1)
  const found: Instruction[] = []
  for (const pattern of userPatterns(allInstructions)) {
    for (let i = 0; i < 4; i++) {
      const instruction = generator.fill(cases, 0, pattern)
      if (instruction) found.push(instruction)
    }
  }
  return found
}
const all = samples()

function sorted(flags: Iterable<string>): string {
  return [...flags].sort().join('')
}

test('the declared flags are those that execute writes', () => {
  const wrong = new Set<string>()
  for (const instruction of all) {
    const effects = effectsOf(instruction)
    if (!effects) continue
    const { name, fields } = instruction.definition
    const written = sorted(effects.flagsWritten).replace('d', '')
    if (written !== sorted(fields.flags ?? '')) wrong.add(`${name}: ${written}`)
  }
  assert.deepEqual(wrong, new Set())
})

test('what ends a block branches', () => {
  const wrong = all.filter((instruction) => {
    const effects = effectsOf(instruction)
    return effects && instruction.definition.fields.endsBlock && !effects.branches
  })
  assert.deepEqual(wrong.map((instruction) => instruction.definition.name), [])
})

test('registers, flags and memory of an ADD are seen', () => {
  const found = decode(Uint8Array.of(0x48, 0x01, 0x58, 0x08), { long: true, defaultSize32: true })
  assert(typeof found !== 'string')
  const effects = effectsOf(found)!
  assert.equal(effects.gprRead, 1 << 0 | 1 << 3)
  assert.equal(effects.gprWritten, 0)
  assert(effects.loads && effects.stores && effects.faults && !effects.branches)
  assert.equal(sorted(effects.flagsWritten), 'acopsz')
})

test('a condition reads its flags only', () => {
  const found = decode(Uint8Array.of(0x0f, 0x4c, 0xc3), { long: true, defaultSize32: true })
  assert(typeof found !== 'string')
  assert.equal(sorted(effectsOf(found)!.flagsRead), 'os')
})
