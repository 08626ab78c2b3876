/**
 * Modules with the shapes of their regions, as bytes.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_FLAT32, CODE_MODE_LONG } from '../core-memory.ts'
import { encodeKept, moduleOfKept, shapesOfKept } from './kept-file.ts'

const shapes = [
  { blocks: Int32Array.of(-8, 3), bytes: Uint8Array.of(1, 2, 3), entries: Int32Array.of(0),
    keys: Int32Array.of(-5), pages: Int32Array.of(-1), isWide: true,
    codeMode: CODE_MODE_LONG },
  { blocks: Int32Array.of(16, 2, 4096, 5), bytes: Uint8Array.of(4, 5, 6, 7, 8),
    entries: Int32Array.of(0, 1), keys: Int32Array.of(6, 7), pages: Int32Array.of(0, 1),
    isWide: false, codeMode: CODE_MODE_FLAT32 },
]

test('what is read is what was written, wherever in a buffer it lies', () => {
  const module = Uint8Array.of(9, 8, 7)
  const content = Buffer.concat([Buffer.of(0xff), encodeKept({ shapes, module })]).subarray(1)
  assert.deepEqual(shapesOfKept(content), shapes)
  assert.deepEqual(moduleOfKept(content), module)
})
