/**
 * Exact sums, products and quotients of doubles against the exact routine: what is answered is
 * right and changes no flag; and counting is answered.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { float, floatFlags } from '../../isa/float/float.ts'
import { call, i32, v128 } from '../../wasm/expression.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { CpuContext } from '../state.ts'
import { writeExactDouble, writeExactDoubles } from './exact-doubles.ts'
import { floatVectorNumber } from './float-lanes.ts'
import { floatNumber } from './float-number.ts'

const PLAIN = 0x1f80
const [A, B, RESULT] = [0x8000, 0x8010, 0x8020]

/** Answers two lanes, or nothing when they are left to the usual way. */
function build() {
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: 1 })
  const inner = module.function({ parameters: ['i32', 'v128', 'v128'], result: 'v128' })
  const [number, a, b] = inner.parameters
  const result = inner.local('v128')
  const answered = (yes: number): void =>
    inner.store('i32', 0, i32.const(0), i32.const(yes), RESULT + 16)
  answered(1)
  inner.block((usual) =>
    writeExactDoubles({ f: inner, number: number!, a: a!, b: b!, result, usual }))
  answered(0)
  inner.return(v128.const(0n))
  const f = module.function({ parameters: ['i32'] })
  const load = (at: number) => v128.load(0, i32.const(0), at)
  const loaded = [load(A), load(B)]
  f.store('v128', 0, i32.const(0), call(inner, f.parameters[0]!, ...loaded), RESULT)
  module.exportFunction('run', f)
  const core = new WebAssembly.Memory({ initial: 1 })
  const view = new DataView(core.buffer)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()),
    { env: { core } })
  return (op: 'add' | 'sub' | 'mul', x: readonly bigint[], y: readonly bigint[], mxcsr: number) => {
    view.setUint32(CpuContext.offsets.mxcsr, mxcsr, true)
    x.forEach((bits, lane) => view.setBigUint64(A + lane * 8, bits, true))
    y.forEach((bits, lane) => view.setBigUint64(B + lane * 8, bits, true))
    ;(exports.run as (number: number) => void)(floatVectorNumber(op, 64))
    assert.equal(view.getUint32(CpuContext.offsets.mxcsr, true), mxcsr)
    return view.getUint32(RESULT + 16, true) === 1
      ? [view.getBigUint64(RESULT, true), view.getBigUint64(RESULT + 8, true)] : undefined
  }
}

/** The same for one double: its bits, or nothing. */
function buildScalar() {
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: 1 })
  const f = module.function({ parameters: ['i32', 'i64', 'i64'], result: 'i64' })
  const [number, a, b] = f.parameters
  const result = f.local('i64')
  f.block((usual) =>
    writeExactDouble({ f, number: number!, a: a!, b: b!, result, usual }))
  f.unreachable()
  module.exportFunction('run', f)
  const core = new WebAssembly.Memory({ initial: 1 })
  new DataView(core.buffer).setUint32(CpuContext.offsets.mxcsr, PLAIN, true)
  const { run } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()),
    { env: { core } }).exports as { run: (number: number, a: bigint, b: bigint) => bigint }
  return (op: 'add' | 'sub' | 'mul' | 'div', x: bigint, y: bigint): bigint | undefined => {
    try {
      return BigInt.asUintN(64, run(floatNumber(op, 64), x, y))
    } catch (error) {
      assert.ok(error instanceof WebAssembly.RuntimeError, String(error))
      return undefined
    }
  }
}

let seed = 88172645463325252n

function random(below: number): number {
  seed = BigInt.asUintN(64, seed ^ seed << 13n)
  seed ^= seed >> 7n
  seed = BigInt.asUintN(64, seed ^ seed << 17n)
  return Number(seed % BigInt(below))
}

const scratch = new DataView(new ArrayBuffer(8))

function bitsOf(value: number): bigint {
  scratch.setFloat64(0, value)
  return scratch.getBigUint64(0)
}

/** Doubles of few bits and of many, near one another and at the ends of the range. */
function operand(): bigint {
  const bits = 1 + random(53)
  const significand = random(2 ** bits) * (random(2) ? 1 : -1)
  const exponent = [0, 0, 0, -500, 500, -1074, -1022 + bits, 970][random(8)]! + random(8)
  return random(20) ? bitsOf(significand * 2 ** exponent)
    : bitsOf([0, -0, Infinity, NaN, 2 ** -1074][random(5)]!)
}

test('what is answered is exact, and so sets no flag', () => {
  const run = build()
  const ops = ['add', 'sub', 'mul'] as const
  let answers = 0
  for (let i = 0; i < 75_000; i++) {
    const op = ops[i % 3]!
    const [a, b] = [[operand(), operand()], [operand(), operand()]]
    const found = run(op, a, b, PLAIN)
    if (!found) continue
    answers += 1
    a.forEach((x, lane) => {
      const text = `${op} ${x.toString(16)} ${b[lane]!.toString(16)}`
      assert.equal(found[lane], float(op, 64, x, b[lane]!, PLAIN), text)
      assert.equal(floatFlags & 0x3f, 0, text)
    })
  }
  assert.ok(answers > 1000, `${answers} answers`)
})

test('so it is of one double', () => {
  const run = buildScalar()
  const answers = { add: 0, sub: 0, mul: 0, div: 0 }
  const ops = Object.keys(answers) as (keyof typeof answers)[]
  for (let i = 0; i < 20_000; i++) {
    const op = ops[i % 4]!
    const [x, y] = [operand(), operand()]
    const found = run(op, x, y)
    if (found === undefined) continue
    answers[op] += 1
    const text = `${op} ${x.toString(16)} ${y.toString(16)}`
    assert.equal(found, float(op, 64, x, y, PLAIN), text)
    assert.equal(floatFlags & 0x3f, 0, text)
  }
  assert.ok(ops.every((op) => answers[op] > 100), JSON.stringify(answers))
  assert.equal(run('mul', bitsOf(0.1), bitsOf(4)), bitsOf(0.4))
  assert.equal(run('div', bitsOf(-1.5), bitsOf(8)), bitsOf(-0.1875))
  assert.equal(run('div', bitsOf(1), bitsOf(3)), undefined)
  assert.equal(run('div', bitsOf(1), bitsOf(0)), undefined)
  assert.equal(run('add', bitsOf(2 ** 600), bitsOf(1)), undefined)
})

test('what counts in doubles is answered, what is inexact or not ordinary is not', () => {
  const run = build()
  const lanes = (...values: number[]): bigint[] => values.map(bitsOf)
  for (const [op, x, y, expected] of [
    ['add', [1, -2.5], [0.125, 2.5], [1.125, 0]],
    ['sub', [3e15, 0], [1, 7], [3e15 - 1, -7]],
    ['mul', [123456, 0], [-0.375, 5], [-46296, 0]],
  ] as const) assert.deepEqual(run(op, lanes(...x), lanes(...y), PLAIN), lanes(...expected), op)
  assert.equal(run('add', lanes(1, 1), lanes(1, 2 ** -60), PLAIN), undefined)
  assert.equal(run('mul', lanes(1, 0.1), lanes(1, 0.1), PLAIN), undefined)
  assert.equal(run('mul', lanes(2 ** -500, 1), lanes(2 ** -500, 1), PLAIN), undefined)
  assert.equal(run('add', lanes(2 ** -1074, 1), lanes(1, 1), PLAIN), undefined)
  assert.equal(run('add', lanes(Infinity, 1), lanes(1, 1), PLAIN), undefined)
})

test('what is not moderate is left to what notes it', () => {
  const run = build()
  const lanes = (value: number): bigint[] => [bitsOf(value), bitsOf(1)]
  assert.deepEqual(run('mul', lanes(2 ** 200), lanes(2 ** 200), PLAIN), lanes(2 ** 400))
  assert.equal(run('mul', lanes(2 ** 300), lanes(2 ** 300), PLAIN), undefined)
  assert.equal(run('add', lanes(2 ** 600), lanes(2 ** 600), PLAIN), undefined)
  assert.equal(run('sub', lanes(2 ** -600), lanes(2 ** -600), PLAIN), undefined)
})

test('other rounding, DAZ, FTZ and unmasked exceptions are left to the usual way', () => {
  const run = build()
  const ones = [bitsOf(1), bitsOf(1)]
  for (const mxcsr of [PLAIN | 0x2000, PLAIN | 0x40, PLAIN | 0x8000, PLAIN & ~0x800]) {
    assert.equal(run('add', ones, ones, mxcsr), undefined, mxcsr.toString(16))
  }
})
