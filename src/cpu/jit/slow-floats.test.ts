/**
 * What regions do not compute in line of doubles: exact results are answered without the engine
 * while MXCSR does not say that some result was inexact, and all else is the engine's.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ModuleBuilder } from '../../wasm/module.ts'
import { coreMap } from '../core-memory.ts'
import { NOT_YET_INEXACT } from '../fpu/float-state.ts'
import { type EngineParts, partSignatures } from '../interpreter/parts.ts'
import type { KnownOfDoubles } from '../interpreter/reading/float-state.ts'
import { CpuContext } from '../state.ts'
import { SlowFloats } from './slow-floats.ts'

const PLAIN = 0x1f80
const nothing: KnownOfDoubles = { known: [false, false], bounded: 'moderate' }
/** What the engine answers here, of all operations. */
const ENGINES = 12345

interface Answer {
  readonly value: number
  readonly state: number
}

/** Of an operation, and of it in both lanes of a vector. */
function build(op: string, of: KnownOfDoubles) {
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: 64 })
  const parts = {
    floatNoting: module.importFunction('env', 'float', partSignatures.floatNoting),
    floatVectorNoting:
      module.importFunction('env', 'floatVector', partSignatures.floatVectorNoting),
  } as unknown as EngineParts
  const slow = new SlowFloats(module, parts)
  const f = module.function({ parameters: ['f64', 'f64'], result: 'f64', second: 'i32' })
  const [x, y] = f.parameters
  const [value, state] = [f.local('f64'), f.local('i32')]
  f.setPair(value, state, slow.find(op, 'f64', of)!, x!, y!)
  f.returnPair(value, state)
  module.exportFunction('run', f)
  const core = new WebAssembly.Memory({ initial: 64 })
  const view = new DataView(core.buffer)
  const bits = new BigInt64Array(new Float64Array([ENGINES]).buffer)[0]!
  const { run } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: { core, float: () => bits, floatVector: () => assert.fail('no vector here') },
  }).exports as { run: (x: number, y: number) => [number, number] }
  return (a: number, b: number, mxcsr = PLAIN, noted = 0): Answer => {
    view.setUint32(CpuContext.offsets.mxcsr, mxcsr, true)
    view.setUint32(coreMap.denormals, noted, true)
    const [result, left] = run(a, b)
    return { value: result, state: left }
  }
}

const answered = (value: number): Answer => ({ value, state: NOT_YET_INEXACT })
const byEngine = (state: number): Answer => ({ value: ENGINES, state })

test('exact results are answered', () => {
  assert.deepEqual(build('add', nothing)(1.5, -0.25), answered(1.25))
  assert.deepEqual(build('sub', nothing)(3, 3), answered(0))
  assert.deepEqual(build('mul', nothing)(0.1, -4), answered(-0.4))
  assert.deepEqual(build('div', nothing)(7, 8), answered(0.875))
})

test('what is inexact, or not known to be moderate, is left to the engine', () => {
  const [add, mul] = [build('add', nothing), build('mul', nothing)]
  assert.deepEqual(add(1, 2 ** -60), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(mul(0.1, 0.1), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(add(2 ** 600, 0), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(add(0, 2 ** -600), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(mul(2 ** 300, 2 ** 300), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(mul(2 ** -300, 2 ** -300), byEngine(NOT_YET_INEXACT))
})

test('what is known is not asked, unless something was noted', () => {
  const mul = build('mul', { known: [true, false], bounded: 'normal' })
  assert.deepEqual(mul(2 ** 600, 4), answered(2 ** 602))
  assert.deepEqual(mul(4, 2 ** 600), byEngine(NOT_YET_INEXACT))
  assert.deepEqual(mul(2, 4), answered(8))
  assert.deepEqual(mul(2, 4, PLAIN, 1), byEngine(NOT_YET_INEXACT | 1))
})

test('in other states of MXCSR all is left to the engine', () => {
  const add = build('add', nothing)
  assert.deepEqual(add(1, 1, PLAIN | 0x20), byEngine(0))
  for (const mxcsr of [PLAIN | 0x2000, PLAIN | 0x40, PLAIN | 0x8000, PLAIN & ~0x800]) {
    assert.equal(add(1, 1, mxcsr).value, ENGINES, mxcsr.toString(16))
  }
})

test('of operations that it does not answer it has no function', () => {
  const module = new ModuleBuilder()
  const slow = new SlowFloats(module, {} as EngineParts)
  assert.equal(slow.find('sqrt', 'f64', nothing), undefined)
  assert.equal(slow.find('div', 'v128', nothing), undefined)
  assert.equal(slow.find('add', 'f32', nothing), undefined)
})
