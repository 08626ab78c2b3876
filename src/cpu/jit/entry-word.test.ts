/**
 * What regions are called with: both parts come out as they were put in.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { entryOf, entryWord } from './entry-word.ts'
import { PAGE_BYTES } from './region.ts'

const module = new ModuleBuilder()
for (const part of ['number', 'page'] as const) {
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  f.return(entryOf(f.parameters[0]!)[part])
  module.exportFunction(part, f)
}
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()))
const parts = exports as Record<'number' | 'page', (word: number) => number>

test('an entry is known by its number and its page, before or behind page 0', () => {
  const offsets = [16, PAGE_BYTES, 5 * PAGE_BYTES - 1, -1, -0x7000_0000, 0x7fff_fff0]
  const shape = {
    codeMode: CODE_MODE_LONG, bytes: new Uint8Array(), keys: new Int32Array(),
    pages: new Int32Array(), isWide: false,
    blocks: Int32Array.from(offsets.flatMap((offset) => [offset, 0])),
    entries: Int32Array.from(offsets.keys()),
  }
  const words = offsets.map((_, number) => entryWord(shape, number))
  assert.deepEqual(words.map(parts.number), [0, 1, 2, 3, 4, 5])
  assert.deepEqual(words.map(parts.page), [0, 1, 4, -1, -0x7_0000, 0x7_ffff])
})
