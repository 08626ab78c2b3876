/**
 * Fuzz target: whatever bytes a guest executes, the decoder does not throw, does not read beyond
 * what it was given, answers alike for any bytes behind the instruction, and what it finds is
 * consistent.
 *
 * `node fuzz/decoder.ts [runs] [seed]`; short by default.
 */
import assert from 'node:assert/strict'
import { effectsOf } from '../src/isa/backends/effects.ts'
import { makeDecoder, MAX_LENGTH } from '../src/isa/decode/decoder.ts'
import { allInstructions } from '../src/isa/instructions/all.ts'
import type { Instruction, Operand } from '../src/isa/operand.ts'
import { printInstruction } from '../src/isa/print/print.ts'
import { fillSlots, Random } from '../test/isa/decoder/byte-strings.ts'

const [runs = '20000', seed = '1'] = process.argv.slice(2)
const decode = makeDecoder(allInstructions)
const random = new Random(Number(seed))
const modes = [
  { long: true, defaultSize32: true },
  { long: false, defaultSize32: true },
  { long: false, defaultSize32: false },
] as const

function checkOperand(operand: Operand): void {
  if ('index' in operand && operand.kind !== 'memory') {
    assert(operand.index >= 0 && operand.index < 16)
  }
  if (operand.kind === 'memory') {
    assert(operand.base >= -1 && operand.base < 16)
    assert(operand.index >= -1 && operand.index < 16 && operand.scale >= 0 && operand.scale < 4)
    assert(operand.segment >= 0 && operand.segment < 6)
  }
}

function checkInstruction(found: Instruction, long: boolean): void {
  assert(found.length >= 1 && found.length <= MAX_LENGTH)
  assert.equal(found.operands.length, found.row.operands.length)
  found.operands.forEach(checkOperand)
  assert(found.definition.service !== undefined || effectsOf(found, long) !== undefined)
  assert(printInstruction(found).length > 0)
}

const slot = new Uint8Array(MAX_LENGTH)
for (let run = 0; run < Number(runs); run++) {
  const mode = modes[run % 3]!
  if (random.below(3) === 0) slot.forEach((_, i) => slot[i] = random.below(256))
  else fillSlots(slot, random, mode.long)
  const found = decode(slot, mode)
  if (typeof found === 'string') {
    assert(found === 'invalid' || found === 'too-long')
    continue
  }
  checkInstruction(found, mode.long)
  const text = printInstruction(found)
  // Cut anywhere it is truncated; with its own bytes alone it is the same.
  for (let length = 0; length < found.length; length++) {
    const cut = decode(slot.subarray(0, length), mode)
    assert.equal(cut, 'truncated', `${text} cut to ${length}`)
  }
  const alone = decode(slot.subarray(0, found.length), mode)
  assert(typeof alone !== 'string' && printInstruction(alone) === text)
}
console.log(`decoder: ${runs} byte strings`)
