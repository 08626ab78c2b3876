/**
 * The fast path of fused multiply-add against the exact routine: where it answers, the answer is
 * the exact one and no flag changes; and it answers for what programs compute.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FusedOp } from '../../isa/backend.ts'
import { floatFlags, fused } from '../../isa/float/float.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { buildFastFused } from './fast-fused.ts'
import { fusedNumber, fusedOps } from './float-number.ts'

function build() {
  const module = new ModuleBuilder()
  const signature = { parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i64' } as const
  const exact = module.importFunction('env', 'exact', signature)
  module.importMemory('env', 'core', { initialPages: 1 })
  module.exportFunction('fused', buildFastFused(module, exact))
  const core = new WebAssembly.Memory({ initial: 1 })
  const state = { asked: false }
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: { core, exact: () => { state.asked = true; return 0n } },
  })
  const run = instance.exports.fused as
    (number: number, a: bigint, b: bigint, c: bigint) => bigint
  const mxcsr = new Uint32Array(core.buffer, CpuContext.offsets.mxcsr, 1)
  return (op: FusedOp, width: 32 | 64, a: bigint, b: bigint, c: bigint, control: number) => {
    mxcsr[0] = control
    state.asked = false
    const result = run(fusedNumber(op, width), a, b, c)
    return state.asked ? undefined : BigInt.asUintN(64, result)
  }
}

let seed = 88172645463325252n

function random(): bigint {
  seed = BigInt.asUintN(64, seed ^ seed << 13n)
  seed ^= seed >> 7n
  seed = BigInt.asUintN(64, seed ^ seed << 17n)
  return seed
}

function below(limit: number): number {
  return Number(random() >> 8n) % limit
}

/** Numbers whose exponents are `around` zero or farther off, of few and of many bits. */
function operand(width: 32 | 64, around: number): bigint {
  const fraction = width === 64 ? 52n : 23n
  const bias = width === 64 ? 1023n : 127n
  const sign = (random() & 1n) << BigInt(width - 1)
  const kind = below(10)
  if (kind === 0) return BigInt.asUintN(width, random())
  if (kind === 1) return sign
  const exponent = bias + BigInt(around + below(9) - 4)
  const coarse = kind < 6 ? -1n << BigInt(below(Number(fraction) + 1)) : -1n
  return sign | exponent << fraction | random() & (1n << fraction) - 1n & coarse
}

test('where the fast path answers, it is right and changes no flag', () => {
  const run = build()
  let answers = 0
  for (let i = 0; i < 100_000; i++) {
    const op = fusedOps[below(4)]!
    const width = i & 1 ? 64 : 32
    const reach = width === 64 ? 520 : 60
    const far = below(8) === 0
    const first = far ? below(2 * reach) - reach : 0
    const second = far ? below(2 * reach) - reach : 0
    const a = operand(width, first)
    const b = operand(width, second)
    const apart = below(3) === 0 ? below(240) - 120 : 0
    const sum = Math.max(-1000, Math.min(1000, first + second + apart))
    let c = operand(width, width === 64 ? sum : Math.max(-120, Math.min(120, sum)))
    if (below(8) === 0) {
      // Nearly what cancels the product, or what does.
      const product = fused('madd', width, a, b, 0n, 0x1f80)
      c = BigInt.asUintN(width, (product ^ 1n << BigInt(width - 1)) + BigInt(below(3) - 1))
    }
    const extra = below(24)
    const control = 0x1f80 | (i & 2 ? 0x20 : 0)
      | (extra === 0 ? 0x2000 : extra === 1 ? 0x8040 : 0) ^ (extra === 2 ? 0x1000 : 0)
    const fast = run(op, width, a, b, c, control)
    if (fast === undefined) continue
    answers += 1
    const exact = fused(op, width, a, b, c, control)
    const text = `${op} ${width} ${[a, b, c].map((bits) => bits.toString(16)).join(' ')}`
    assert.equal(fast, exact, text)
    assert.equal(floatFlags & ~control, 0, text)
  }
  assert.ok(answers > 40_000, `${answers} of 100000 took the fast path`)
})

const view = new DataView(new ArrayBuffer(8))

function bitsOf(value: number): bigint {
  view.setFloat64(0, value)
  return view.getBigUint64(0)
}

test('exact arithmetic is fast before any result was inexact', () => {
  const run = build()
  const [three, five, seven] = [3, 5, 7].map(bitsOf) as [bigint, bigint, bigint]
  assert.equal(run('madd', 64, three, five, seven, 0x1f80), bitsOf(22))
  assert.equal(run('nmsub', 64, three, five, seven, 0x1f80), bitsOf(-22))
  assert.equal(run('msub', 64, three, five, bitsOf(15), 0x1f80), 0n)
  assert.equal(run('madd', 64, bitsOf(0.1), five, seven, 0x1f80), undefined)
  assert.notEqual(run('madd', 64, bitsOf(0.1), five, seven, 0x1fa0), undefined)
})
