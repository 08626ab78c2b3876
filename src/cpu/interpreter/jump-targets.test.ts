/**
 * The table of indirect jumps, with jumps that lead nowhere.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { i32 } from '../../wasm/expression.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CoreControl, coreMap } from '../core-memory.ts'
import { JumpTargets, buildJumpAndNote } from './jump-targets.ts'
import { partSignatures } from './parts.ts'
import { RECORD_BYTES } from './record.ts'

const PAGE = 0x7f00_1234_5000n
const RECORD = coreMap.records
const JUMPED = 77

function machine() {
  const pages = 16
  const core = new WebAssembly.Memory({ initial: pages })
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: pages })
  const jump = module.function(partSignatures.jump)
  jump.return(i32.const(JUMPED))
  module.exportFunction('jump', buildJumpAndNote(module, jump))
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()),
    { env: { core } })
  CoreControl.on(core.buffer, coreMap.control).codePage = PAGE
  const targets = new JumpTargets(core.buffer)
  return { targets, jump: exports['jump'] as (record: number, rip: bigint) => number }
}

test('a jump is noted with its distance from its page, and how often it went there', () => {
  const { jump, targets } = machine()
  for (let i = 0; i < 3; i++) assert.equal(jump(RECORD, PAGE + 0x10n), JUMPED)
  jump(RECORD, PAGE - 0x1234n)
  jump(RECORD + RECORD_BYTES, PAGE + 0x10n)
  const found = targets.byRecord()
  assert.deepEqual(new Set(found.get(RECORD)),
    new Set([{ offset: 0x10, count: 3 }, { offset: -0x1234, count: 1 }]))
  assert.deepEqual(found.get(RECORD + RECORD_BYTES), [{ offset: 0x10, count: 1 }])
})

test('what is too far away is not noted', () => {
  const { jump, targets } = machine()
  assert.equal(jump(RECORD, PAGE + 0x8000_0000n), JUMPED)
  assert.equal(targets.byRecord().size, 0)
  jump(RECORD, PAGE - 0x8000_0000n)
  assert.deepEqual(targets.byRecord().get(RECORD), [{ offset: -0x8000_0000, count: 1 }])
})

test('what is common outlives any number of jumps that are not', () => {
  const { jump, targets } = machine()
  for (let i = 0; i < 1_000_000; i++) {
    if (i % 10 === 0) jump(RECORD, PAGE + 0x10n)
    jump(RECORD, PAGE + BigInt(0x1000 + i))
  }
  const [first] = [...targets.byRecord().get(RECORD)!].sort((a, b) => b.count - a.count)
  assert.equal(first!.offset, 0x10)
})

test('nothing is known of records that are gone', () => {
  const { jump, targets } = machine()
  jump(RECORD, PAGE)
  targets.clear()
  assert.equal(targets.byRecord().size, 0)
})
