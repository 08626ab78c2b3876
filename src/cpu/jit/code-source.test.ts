/**
 * What discovery takes for warm.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { CODE_MODE_LONG } from '../core-memory.ts'
import { InterpretedCode } from './code-source.ts'

const HOT = 1000
const [COLD, WARM, ENTRY, BLOCK] = [0x10, 0x20, 0x30, 0x40]

test('code is warm that was jumped to often enough, or that is part of a region', () => {
  const source = new InterpretedCode({
    decode: () => 'invalid', machine: new Uint8Array(), codeMode: CODE_MODE_LONG, heatLimit: HOT,
    code: { heatAt: (machine) => machine === WARM ? HOT / 10 : 0, recordsAt: () => [] },
    targets: { byRecord: () => new Map() },
    isEntry: (machine) => machine === ENTRY, isBlock: (machine) => machine === BLOCK,
  }, () => 0)
  const warm = (byJump: boolean): number[] =>
    [COLD, WARM, ENTRY, BLOCK].filter((offset) => source.isWarm(offset, byJump))
  assert.deepEqual(warm(true), [WARM, ENTRY, BLOCK])
  assert.deepEqual(warm(false), [COLD, WARM, ENTRY, BLOCK])
})
