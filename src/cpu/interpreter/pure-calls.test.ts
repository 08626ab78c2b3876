/**
 * Bodies of pure functions against their definitions in TypeScript, on random operands.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { pureByNumber, pureNumber } from '../../isa/pure.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { partSignatures } from './parts.ts'
import { slot } from './pure-body.ts'
import { buildPure, callPure } from './pure-calls.ts'
import { fillCrc32Tables } from './pure-integers.ts'

const CORE_PAGES = Math.ceil(coreMap.tlbSets / 65536)
const MASK64 = 2n ** 64n - 1n

/** Calls functions by number; `left` are those that were left to TypeScript. */
function instantiate() {
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: CORE_PAGES })
  const purely = module.importFunction('env', 'pure', partSignatures.pure)
  module.exportFunction('pure', buildPure(module, purely))
  const core = new WebAssembly.Memory({ initial: CORE_PAGES })
  fillCrc32Tables(core.buffer)
  const left: number[] = []
  const env = { core, pure: (number: number) => left.push(number) }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { env })
  const view = new DataView(core.buffer)
  const run = exports.pure as (number: number) => void
  return { view, left, run, core: core.buffer }
}

/** A generator of 64-bit values, whose ones are dense, sparse or few. */
function randomWords(seed: bigint): () => bigint {
  let state = seed
  const next = (): bigint => {
    state = state * 6364136223846793005n + 1442695040888963407n & MASK64
    return (state >> 32n | state << 32n) & MASK64
  }
  return () => {
    const word = next()
    switch (Number(next() & 7n)) {
      case 0: return word & next() & next()
      case 1: return word | next() | next()
      case 2: return word & 0xffffn
      case 3: return 0n
      case 4: return MASK64
      default: return word
    }
  }
}

for (const [name, last] of [
  ['crc32', [8n, 16n, 32n, 64n]], ['pdep', undefined], ['pext', undefined],
] as const) {
  test(`${name} in WebAssembly does what its definition in TypeScript does`, () => {
    const { view, left, run, core } = instantiate()
    const word = randomWords(BigInt(name.length))
    const number = pureNumber(name)
    for (let turn = 0; turn < 2000; turn++) {
      const operands = Array.from(pureByNumber(number).operands, word)
      if (last) operands[operands.length - 1] = last[turn % last.length]!
      const fill = (): void =>
        operands.forEach((operand, index) => view.setBigUint64(slot(index), operand, true))
      fill()
      run(number)
      const result = view.getBigUint64(slot(0), true)
      fill()
      callPure(core, number)
      assert.equal(result, view.getBigUint64(slot(0), true), operands.join(' '))
    }
    assert.deepEqual(left, [])
  })
}

test('what a body does not know is left to TypeScript', () => {
  const { view, left, run } = instantiate()
  const COMPARE_WORDS = 1
  view.setUint32(slot(2), COMPARE_WORDS, true)
  run(pureNumber('pcmpistr'))
  assert.deepEqual(left, [pureNumber('pcmpistr')])
})
