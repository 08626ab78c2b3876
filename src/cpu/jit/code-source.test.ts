/**
 * What discovery takes for warm, and for hotter.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { InterpretedCode } from './code-source.ts'

const HOT = 1000
const [COLD, WARM, ENTRY, BLOCK] = [0x10, 0x20, 0x30, 0x40]

function sourceOf(): InterpretedCode {
  return new InterpretedCode({
    decode: () => 'invalid', machine: new Uint8Array(), codeMode: CODE_MODE_LONG, heatLimit: HOT,
    code: { heatAt: (machine) => machine === WARM ? HOT / 10 : 0, recordsAt: () => [] },
    targets: { byRecord: () => new Map() },
    arrivalsAt: (machine) => machine === ENTRY ? 2 : undefined,
    isBlock: (machine) => machine === BLOCK,
  }, () => 0)
}

test('entries are hotter than other code by how often they were hot', () => {
  const source = sourceOf()
  assert.deepEqual([COLD, WARM, ENTRY].map((offset) => source.heatOf(offset)),
    [0, HOT / 10, 3 * HOT])
})

test('code is warm that was jumped to often enough, or that is part of a region', () => {
  const source = sourceOf()
  const warm = (byJump: boolean): number[] =>
    [COLD, WARM, ENTRY, BLOCK].filter((offset) => source.isWarm(offset, byJump))
  assert.deepEqual(warm(true), [WARM, ENTRY, BLOCK])
  assert.deepEqual(warm(false), [COLD, WARM, ENTRY, BLOCK])
})
