/**
 * Fused multiply-add in WebAssembly, fast and by integers, against the exact routine: answers and
 * flags are the exact ones while all exceptions are masked.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FusedOp } from '../../isa/backend.ts'
import { floatFlags, fused } from '../../isa/float/float.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { buildMulHigh } from '../interpreter/support.ts'
import { CpuContext } from '../state.ts'
import { buildFastFused } from './fast-fused.ts'
import { fusedNumber, fusedOps } from './float-number.ts'
import { buildSoftFloat } from './soft-float.ts'
import { buildSoftFused } from './soft-fused.ts'
import { buildEncoders } from './soft-number.ts'

function build() {
  const module = new ModuleBuilder()
  const signature = { parameters: ['i32', 'i64', 'i64', 'i64'], result: 'i64' } as const
  const exact = module.importFunction('env', 'exact', signature)
  module.importMemory('env', 'core', { initialPages: 1 })
  const { mulHighUnsigned: mulHigh } = buildMulHigh(module)
  const encoders = buildEncoders(module)
  const soft = buildSoftFused(module,
    { encoders, mulHigh, soft: buildSoftFloat(module, encoders, mulHigh) })
  module.exportFunction('fused', buildFastFused(module, soft, exact))
  const core = new WebAssembly.Memory({ initial: 1 })
  const state = { asked: false }
  const instance = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: { core, exact: () => { state.asked = true; return 0n } },
  })
  const run = instance.exports.fused as
    (number: number, a: bigint, b: bigint, c: bigint) => bigint
  const mxcsr = new Uint32Array(core.buffer, CpuContext.offsets.mxcsr, 1)
  const fast = (op: FusedOp, width: 32 | 64, a: bigint, b: bigint, c: bigint, control: number) => {
    mxcsr[0] = control
    state.asked = false
    const result = run(fusedNumber(op, width), a, b, c)
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

function below(limit: number): number {
  return Number(random() >> 8n) % limit
}

/** What stands at the ends of the range, without a sign. */
function special(width: 32 | 64): bigint {
  const fraction = width === 64 ? 52n : 23n
  const infinity = (1n << BigInt(width - 1)) - (1n << fraction)
  const fractions = random() & (1n << fraction) - 1n
  const kinds = [0n, 0n, infinity, infinity | fractions, infinity | 1n << fraction - 1n, fractions,
    1n, 1n << fraction, infinity - 1n]
  return kinds[below(kinds.length)]!
}

/** Numbers whose exponents are `around` zero or farther off, of few and of many bits. */
function operand(width: 32 | 64, around: number): bigint {
  const fraction = width === 64 ? 52n : 23n
  const bias = width === 64 ? 1023n : 127n
  const sign = (random() & 1n) << BigInt(width - 1)
  const kind = below(10)
  if (kind === 0) return BigInt.asUintN(width, random())
  if (kind === 1) return sign | special(width)
  const wanted = bias + BigInt(around + below(9) - 4)
  const exponent = wanted < 0n ? 0n : wanted > 2n * bias ? 2n * bias : wanted
  const coarse = kind < 6 ? -1n << BigInt(below(Number(fraction) + 1)) : -1n
  return sign | exponent << fraction | random() & (1n << fraction) - 1n & coarse
}

test('whatever operands and modes are, results and flags are those of the exact routine', () => {
  const run = build()
  for (let i = 0; i < 100_000; i++) {
    const op = fusedOps[below(4)]!
    const width = i & 1 ? 64 : 32
    const reach = width === 64 ? 520 : 60
    const far = below(8) === 0
    const first = far ? below(2 * reach) - reach : 0
    // A product near an end of the range, or anywhere.
    const end = (width === 64 ? 1022 : 126) * (below(2) * 2 - 1)
    const second = below(6) === 0 ? end - first : far ? below(2 * reach) - reach : 0
    const a = operand(width, first)
    const b = operand(width, second)
    const apart = below(3) === 0 ? below(240) - 120 : 0
    const sum = Math.max(-1040, Math.min(1040, first + second + apart))
    let c = operand(width, width === 64 ? sum : Math.max(-130, Math.min(130, sum)))
    if (below(8) === 0) {
      // Nearly what cancels the product, or what does.
      const product = fused('madd', width, a, b, 0n, 0x1f80)
      c = BigInt.asUintN(width, (product ^ 1n << BigInt(width - 1)) + BigInt(below(3) - 1))
    }
    const modes = below(3) ? 0 : Number(random() & 0xe07fn)
    const control = 0x1f80 | modes | (i & 2 ? 0x20 : 0)
    const fast = run(op, width, a, b, c, control)
    const exact = fused(op, width, a, b, c, control)
    const text = `${op} ${width} ${[a, b, c].map((bits) => bits.toString(16)).join(' ')}`
    assert.equal(fast, exact, text)
    assert.equal(run.flags(), (control | floatFlags) & 0x3f, text)
  }
})

const view = new DataView(new ArrayBuffer(8))

function bitsOf(value: number): bigint {
  view.setFloat64(0, value)
  return view.getBigUint64(0)
}

test('exact sums are exact, and what may raise an exception is left to the exact routine', () => {
  const run = build()
  const [three, five, seven] = [3, 5, 7].map(bitsOf) as [bigint, bigint, bigint]
  assert.equal(run('madd', 64, three, five, seven, 0x1f80), bitsOf(22))
  assert.equal(run('nmsub', 64, three, five, seven, 0x1f80), bitsOf(-22))
  assert.equal(run('msub', 64, three, five, bitsOf(15), 0x1f80), 0n)
  assert.equal(run('madd', 64, 1n, five, seven, 0x1e80), undefined)
})
