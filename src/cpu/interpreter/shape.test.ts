/**
 * Handlers are found by the right keys.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { fillSlots, Random } from '../../../test/isa/decoder/byte-strings.ts'
import { MAX_LENGTH } from '../../isa/decode/decoder.ts'
import { CODE_MODE_16, CODE_MODE_LONG, CODE_MODE_STACK32 } from '../core-memory.ts'
import { decode } from '../engine.ts'
import { codeModeOf, modeShapeOf } from './code-mode.ts'
import { keyOf, rowKeyOf, shapeOf } from './shape.ts'

test('what is alike by its row has the same shape', () => {
  const shapes = new Map<number, string>()
  const modes = [CODE_MODE_LONG, CODE_MODE_16, CODE_MODE_16 | CODE_MODE_STACK32]
  const bytes = new Uint8Array(MAX_LENGTH * 50_000)
  for (const mode of modes) {
    fillSlots(bytes, new Random(mode), mode === CODE_MODE_LONG)
    for (let at = 0; at < bytes.length; at += MAX_LENGTH) {
      const instruction = decode(bytes, codeModeOf(mode), at)
      if (typeof instruction === 'string') continue
      const modeShape = modeShapeOf(mode)
      const { name } = instruction.definition
      const shape = `${name} ${keyOf(instruction, shapeOf(instruction, modeShape))}`
      const key = rowKeyOf(instruction, modeShape)
      assert.equal(shapes.get(key) ?? shape, shape)
      shapes.set(key, shape)
    }
  }
  assert.ok(shapes.size > 1000)
})
