/**
 * The fast path against the exact routine: where it answers, the answer and the flags are the exact
 * ones; and it answers for what programs compute.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FloatOp } from '../../isa/backend.ts'
import { float, floatFlags } from '../../isa/float/float.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { buildFastFloat } from './fast-float.ts'
import { floatNumber, floatOps } from './float-number.ts'

function build() {
  const module = new ModuleBuilder()
  const signature = { parameters: ['i32', 'i64', 'i64'], result: 'i64' } as const
  const exact = module.importFunction('env', 'exact', signature)
  module.importMemory('env', 'core', { initialPages: 1 })
  module.exportFunction('float', buildFastFloat(module, exact))
  const core = new WebAssembly.Memory({ initial: 1 })
  const state = { asked: false }
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: { core, exact: () => { state.asked = true; return 0n } },
  })
  const run = instance.exports.float as (number: number, a: bigint, b: bigint) => bigint
  const mxcsr = new Uint32Array(core.buffer, CpuContext.offsets.mxcsr, 1)
  const fast = (op: FloatOp, width: 32 | 64, a: bigint, b: bigint, control: number) => {
    mxcsr[0] = control
    state.asked = false
    const result = run(floatNumber(op, width), a, b)
    return state.asked ? undefined : BigInt.asUintN(64, result)
  }
  return Object.assign(fast, { flags: () => mxcsr[0]! & 0x3f })
}

let seed = 88172645463325252n

function random(): bigint {
  seed = BigInt.asUintN(64, seed ^ seed << 13n)
  seed ^= seed >> 7n
  seed = BigInt.asUintN(64, seed ^ seed << 17n)
  return seed
}

/** Numbers of all sizes and of few and many bits; integers; edges. */
function operand(width: 32 | 64): bigint {
  const kind = Number(random() & 7n)
  const fraction = width === 64 ? 52n : 23n
  const bias = width === 64 ? 1023n : 127n
  const sign = (random() & 1n) << BigInt(width - 1)
  if (kind === 0) return BigInt.asUintN(width, random())
  if (kind === 1) return sign | (random() & 3n) << fraction | random() & 3n
  if (kind === 2) return sign | bias * 2n - (random() & 1n) << fraction
  const exponent = bias - 16n + (random() & 31n)
  const coarse = kind < 5 ? -1n << (random() & 63n) : -1n
  return sign | exponent << fraction | random() & (1n << fraction) - 1n & coarse
}

test('where the fast path answers, it is right, and so are the flags', () => {
  const run = build()
  let answers = 0
  for (let i = 0; i < 60000; i++) {
    const op = floatOps[i % floatOps.length]!
    const width = i & 1 ? 64 : 32
    const integer = op.startsWith('fromInt')
    const a = integer ? random() >> (random() & 63n) : operand(width)
    const b = op === 'round' ? 8n : operand(width)
    const extra = random() & 7n
    const control = 0x1f80 | (i & 2 ? 0x20 : 0)
      | (extra === 0n ? 0x2000 : extra === 1n ? 0x8040 : 0) ^ (extra === 2n ? 0x1000 : 0)
    const fast = run(op, width, a, b, control)
    if (fast === undefined) continue
    answers += 1
    const exact = float(op, width, a, b, control)
    const text = `${op} ${width} ${a.toString(16)} ${b.toString(16)} ${control.toString(16)}`
    assert.equal(fast, exact, text)
    assert.equal(run.flags(), (control | floatFlags) & 0x3f, text)
  }
  assert.ok(answers > 20000, `${answers} of 60000 took the fast path`)
})

const view = new DataView(new ArrayBuffer(8))

function bitsOf(value: number): bigint {
  view.setFloat64(0, value)
  return view.getBigUint64(0)
}

test('arithmetic is fast before any result was inexact', () => {
  const run = build()
  assert.equal(run('add', 64, bitsOf(1.5), bitsOf(2.25), 0x1f80), bitsOf(3.75))
  assert.equal(run('mul', 64, bitsOf(12), bitsOf(1000), 0x1f80), bitsOf(12000))
  assert.equal(run('div', 64, bitsOf(12), bitsOf(4), 0x1f80), bitsOf(3))
  assert.equal(run('sqrt', 64, bitsOf(144), 0n, 0x1f80), bitsOf(12))
  assert.equal(run('div', 64, bitsOf(1), bitsOf(3), 0x1f80), bitsOf(1 / 3))
  assert.equal(run.flags(), 0x20)
  assert.equal(run('mul', 64, bitsOf(0.1), bitsOf(0.3), 0x1f80), bitsOf(0.1 * 0.3))
  assert.equal(run.flags(), 0x20)
  assert.equal(run('div', 64, bitsOf(1), bitsOf(3), 0x1fa0), bitsOf(1 / 3))
})
