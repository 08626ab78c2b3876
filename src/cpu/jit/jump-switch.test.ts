/**
 * Perfect hashes of random offsets.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { i32 } from '../../wasm/expression.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { jumpSwitch } from './jump-switch.ts'

const several = fc.uniqueArray(fc.integer(), { minLength: 2, maxLength: 16 })

function hashOf(offsets: readonly number[]) {
  const { slots, slotOf } = jumpSwitch(offsets)
  const module = new ModuleBuilder()
  const f = module.function({ parameters: ['i32'], result: 'i32' })
  f.return(i32.add(slotOf(f.parameters[0]!), i32.const(0)))
  module.exportFunction('slot', f)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()))
  return { slots, slot: exports['slot'] as (offset: number) => number }
}

test('each known offset has a slot of its own', () => {
  fc.assert(fc.property(several, (offsets) => {
    const { slots, slot } = hashOf(offsets)
    assert.deepEqual(offsets.map((offset) => slots[slot(offset)]), [...offsets.keys()])
  }))
})

test('any other has some slot', () => {
  fc.assert(fc.property(several, fc.integer(), (offsets, other) => {
    const { slots, slot } = hashOf(offsets)
    assert.notEqual(slots[slot(other)], undefined)
  }))
})

test('offsets that differ in their highest bits alone have slots too', () => {
  const offsets = Array.from({ length: 16 }, (_, i) => i << 28)
  const { slots } = hashOf(offsets)
  assert.equal(slots.filter((number) => number >= 0).length, 16)
  assert.ok(slots.length <= 128, `${slots.length} slots`)
})
