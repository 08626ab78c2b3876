/**
 * Floating point in WebAssembly, fast and by integers, against the exact routine: answers and flags
 * are the exact ones while all exceptions are masked.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FloatOp } from '../../isa/backend.ts'
import { float, floatFlags } from '../../isa/float/float.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { buildMulHigh } from '../interpreter/support.ts'
import { CpuContext } from '../state.ts'
import { buildFastFloat } from './fast-float.ts'
import { floatNumber, floatOps } from './float-number.ts'
import { buildSoftFloat } from './soft-float.ts'
import { buildEncoders } from './soft-number.ts'

function build() {
  const module = new ModuleBuilder()
  const signature = { parameters: ['i32', 'i64', 'i64'], result: 'i64' } as const
  const exact = module.importFunction('env', 'exact', signature)
  module.importMemory('env', 'core', { initialPages: 1 })
  const { mulHighUnsigned } = buildMulHigh(module)
  const soft = buildSoftFloat(module, buildEncoders(module), mulHighUnsigned)
  module.exportFunction('float', buildFastFloat(module, soft, exact))
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

/** Results near the ends of the range, where they are tiny or overflow. */
function partner(op: FloatOp, width: 32 | 64, a: bigint): bigint {
  const fraction = width === 64 ? 52n : 23n
  const bias = width === 64 ? 1023n : 127n
  const exponent = a >> fraction & 2n * bias + 1n
  const end = (random() & 1n ? 0n : 2n * bias) + (random() & 7n) - 4n
  const wanted = op === 'mul' ? end - exponent + bias : exponent - end + bias
  const within = wanted < 0n ? 0n : wanted > 2n * bias ? 2n * bias : wanted
  const coarse = -1n << (random() % (fraction + 1n))
  return (random() & 1n) << BigInt(width - 1) | within << fraction
    | random() & (1n << fraction) - 1n & coarse
}

function special(width: 32 | 64): bigint {
  const top = BigInt(width - 1)
  const fraction = width === 64 ? 52n : 23n
  const infinity = (1n << top) - (1n << fraction)
  const fractions = random() & (1n << fraction) - 1n
  const kinds = [0n, infinity, infinity | fractions, infinity | 1n << fraction - 1n, fractions,
    1n, 1n << fraction, (1n << fraction) - 1n, infinity - 1n]
  return (random() & 1n) << top | kinds[Number(random() % BigInt(kinds.length))]!
}

test('whatever operands and modes are, results and flags are those of the exact routine', () => {
  const run = build()
  for (let i = 0; i < 120_000; i++) {
    const op = floatOps[i % floatOps.length]!
    const width = random() & 1n && !op.endsWith('Half') ? 64 : 32
    const integer = op.startsWith('fromInt')
    const pick = (): bigint => random() % 3n ? operand(width) : special(width)
    const a = integer ? random() >> (random() & 63n) : op === 'fromHalf' ? random() & 0xffffn
      : op === 'toHalf' && random() & 1n ? random() & 0x8fff_ffffn | 0x3000_0000n : pick()
    const b = op === 'round' || op === 'toHalf' ? random() & 15n
      : random() & 1n ? partner(op, width, a) : pick()
    const modes = random() & 1n ? 0 : Number(random() & 0xe07fn)
    const control = 0x1f80 | (random() & 1n ? 0 : modes) | (i & 2 ? 0x20 : 0)
    const found = run(op, width, a, b, control)
    const exact = float(op, width, a, b, control)
    const text = `${op} ${width} ${a.toString(16)} ${b.toString(16)} ${control.toString(16)}`
    assert.equal(found, exact, text)
    assert.equal(run.flags(), (control | floatFlags) & 0x3f, text)
  }
})

test('while some exception is not masked, only what is ordinary is answered', () => {
  const run = build()
  assert.equal(run('add', 64, 1n, 1n, 0x1e80), undefined)
  assert.equal(run('add', 64, 1n, 1n, 0x1f80), 2n)
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
