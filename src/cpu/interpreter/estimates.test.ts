/**
 * Estimates of reciprocals and roots in WebAssembly: they are those of the table, whether they are
 * asked for the first time or again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pureFunctions, pureNumber } from '../../isa/pure.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { partSignatures } from './parts.ts'
import { buildPure, callPure } from './pure-calls.ts'

function build() {
  const module = new ModuleBuilder()
  const exact = module.importFunction('env', 'exact', partSignatures.pure)
  module.importMemory('env', 'core', { initialPages: 1 })
  module.exportFunction('pure', buildPure(module, exact))
  const core = new WebAssembly.Memory({ initial: 1 })
  const state = { asked: 0 }
  const { pure } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: {
      core,
      exact: (number: number) => {
        state.asked += 1
        callPure(core.buffer, number)
      },
    },
  }).exports as { pure: (number: number) => void }
  const view = new DataView(core.buffer, coreMap.scratch)
  const run = (name: string, bits: number): bigint => {
    view.setBigUint64(0, BigInt(bits) << 32n | BigInt(bits), true)
    pure(pureNumber(name))
    return view.getBigUint64(0, true)
  }
  return { run, state }
}

const names = ['rcp32', 'rsqrt32'] as const

test('estimates are those of the table, the first time and again', () => {
  const { run } = build()
  for (const name of names) {
    for (const start of [0, 0x7ff, 0, 0x400]) {
      for (let bits = start; bits < 2 ** 32; bits += 0x1f_f801) {
        const expected = pureFunctions[name]!.run(BigInt(bits))
        assert.equal(run(name, bits), expected, `${name} ${bits.toString(16)}`)
      }
    }
    for (const bits of [0, 1, 0x7f_ffff, 0x80_0000, 0x7e00_0000, 0x7e80_0000, 0x7f7f_ffff,
      0x7f80_0000, 0x7f80_0001, 0x7fc0_0001, 0x3f80_0000, 0x4000_0000]) {
      for (const sign of [0, 0x8000_0000]) {
        assert.equal(run(name, bits + sign), pureFunctions[name]!.run(BigInt(bits + sign)),
          `${name} ${bits.toString(16)}`)
      }
    }
  }
})

test('what was asked for is known', () => {
  const { run, state } = build()
  for (const name of names) {
    state.asked = 0
    for (const bits of [0x3f80_0000, 0x4080_0000, 0x3f80_07ff, 0]) run(name, bits)
    assert.equal(state.asked, 1)
  }
})
