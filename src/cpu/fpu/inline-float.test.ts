/**
 * What is written in line, scalar and packed, against the exact routine: while MXCSR is settled, it
 * answers the same where no flag but the inexact one comes of it, and nothing elsewhere.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SeededRandom } from '../../base/seeded-random.ts'
import type { FloatOp } from '../../isa/backend.ts'
import { float, floatFlags } from '../../isa/float/float.ts'
import { f32, f64, i32, i64, v128 } from '../../wasm/expression.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { isBounded, MODERATE } from './float-bounds.ts'
import { resultTypeOf, writeInlineFloat } from './inline-float.ts'
import { writeInlineVector } from './inline-vector.ts'

type Width = 32 | 64

const SETTLED = 0x1fa0
const INEXACT = 0x20
const scalars = [
  'add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'convert', 'toInt32', 'toInt64',
  'toInt32Truncated', 'toInt64Truncated',
] as const
const packed = ['add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max'] as const
const [A, B, RESULT, ANSWERED] = [0, 16, 32, 48]

const view = new DataView(new ArrayBuffer(8))

function bitsOf(width: Width, value: number): bigint {
  if (width === 64) view.setFloat64(0, value)
  else view.setFloat32(4, value)
  return width === 64 ? view.getBigUint64(0) : BigInt(view.getUint32(4))
}

/** Answers of a module: of an operation on vectors at A and B, or on their lowest lanes. */
function build() {
  const module = new ModuleBuilder()
  module.importMemory('env', 'core', { initialPages: 1 })
  const at = (place: number) => [0, i32.const(place)] as const
  const site = {
    known: [], finite: [], unsettled: () => i32.const(0), constant: v128.const,
  } as const
  for (const [width, bounded] of [[32], [64], [64, 'moderate']] as const) {
    for (const op of scalars) {
      const f = module.function({ parameters: [] })
      const family = width === 64 ? f64 : f32
      const [x, y] = [f.local(width === 64 ? 'f64' : 'f32'), f.local(width === 64 ? 'f64' : 'f32')]
      const type = resultTypeOf(op, width)
      const result = f.local(type)
      f.set(x, family.load(...at(A)))
      f.set(y, family.load(...at(B)))
      f.block((slow) => {
        writeInlineFloat({ ...site, f, width, x, y, bounded, result, slow }, op, i64.const(0))
        f.store(type, ...at(RESULT), result)
        f.store('i32', ...at(ANSWERED), i32.const(1))
      })
      module.exportFunction(`scalar ${op} ${width} ${bounded}`, f)
    }
    for (const op of packed) {
      const f = module.function({ parameters: [] })
      const [x, y, result] = [f.local('v128'), f.local('v128'), f.local('v128')]
      f.set(x, v128.load(...at(A)))
      f.set(y, v128.load(...at(B)))
      f.block((slow) => {
        writeInlineVector({ ...site, f, width, x, y, bounded, result, slow }, op, i64.const(0))
        f.store('v128', ...at(RESULT), result)
        f.store('i32', ...at(ANSWERED), i32.const(1))
      })
      module.exportFunction(`packed ${op} ${width} ${bounded}`, f)
    }
  }
  const core = new WebAssembly.Memory({ initial: 1 })
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), {
    env: { core },
  })
  return { memory: new DataView(core.buffer), exports }
}

/** Numbers at all edges that are asked for, or near them, and others. */
function operand(width: Width, random: SeededRandom): bigint {
  const exponents = width === 64
    ? [MODERATE.low, MODERATE.high, -1022, 1023, 31, 51, 52, 53, 63, 0] : [-126, 127, 31, 51, 63, 0]
  const sign = BigInt(random.below(2)) << BigInt(width - 1)
  const kind = random.below(8)
  if (kind === 0) return sign
  if (kind === 1) return sign | bitsOf(width, [Infinity, NaN][random.below(2)]!)
  if (kind === 2) return sign | BigInt(1 + random.below(3))
  const power = bitsOf(width, 2 ** exponents[random.below(exponents.length)]!)
  if (kind < 6) return sign | power + BigInt(random.below(5) - 2)
  if (kind === 6) return sign | bitsOf(width, 2 ** exponents[random.below(6)]! - 0.5)
  return sign | bitsOf(width, (1 + random.below(1 << 20)) / 64)
}

/** Whether results are to be answered in line, and what they are. */
function exactly(op: FloatOp, width: Width, a: bigint, b: bigint) {
  const result = float(op, width, a, b, SETTLED)
  return { result, isPlain: (floatFlags & ~INEXACT) === 0 }
}

function isModerate(bits: bigint): boolean {
  view.setBigUint64(0, bits)
  const magnitude = Math.abs(view.getFloat64(0))
  return magnitude === 0 || magnitude >= 2 ** MODERATE.low && magnitude < 2 ** MODERATE.high
}

function isDenormal(width: Width, bits: bigint): boolean {
  const fraction = width === 64 ? 52n : 23n
  const magnitude = BigInt.asUintN(width - 1, bits)
  return magnitude !== 0n && magnitude >> fraction === 0n
}

const { memory, exports } = build()

function ask(name: string): boolean {
  memory.setInt32(ANSWERED, 0, true)
  const run = exports[name] as () => void
  run()
  return memory.getInt32(ANSWERED, true) === 1
}

function lane(width: Width, at: number): bigint {
  return width === 64 ? memory.getBigUint64(at, true) : BigInt(memory.getUint32(at, true))
}

function setLane(width: Width, at: number, bits: bigint): void {
  if (width === 64) memory.setBigUint64(at, bits, true)
  else memory.setUint32(at, Number(bits), true)
}

function checkLane(op: FloatOp, width: Width, bounded: string | undefined, at: number, to: Width) {
  const [a, b, found] = [lane(width, A + at), lane(width, B + at), lane(to, RESULT + at)]
  const { result, isPlain } = exactly(op, width, a, b)
  const text = `${op} ${width} ${bounded} ${a.toString(16)} ${b.toString(16)}`
  assert.equal(found, BigInt.asUintN(to, result), text)
  assert.ok(isPlain, text)
  if (width === 64 && bounded && isBounded(op)) assert.ok(isModerate(found), text)
  else if (op !== 'convert' && !op.startsWith('toInt')) assert.ok(!isDenormal(width, found), text)
}

for (const [kind, ops] of [['scalar', scalars], ['packed', packed]] as const) {
  test(`${kind} operations in line answer as the exact routine does, or not at all`, () => {
    const random = new SeededRandom(kind)
    const answered = new Map<string, number>()
    for (let round = 0; round < 60_000; round++) {
      const op = ops[round % ops.length]!
      const width = random.below(2) ? 64 : 32
      const bounded = width === 64 && random.below(2) ? 'moderate' : undefined
      const name = `${kind} ${op} ${width} ${bounded}`
      const size = width / 8
      for (let at = 0; at < 16; at += size) {
        setLane(width, A + at, operand(width, random))
        setLane(width, B + at, operand(width, random))
        // Lanes that are not ordinary are few, so that some vectors are.
        if (kind === 'packed' && random.below(4)) setLane(width, A + at, bitsOf(width, 1.5 + at))
        if (kind === 'packed' && random.below(4)) setLane(width, B + at, bitsOf(width, 3))
      }
      if (!ask(name)) continue
      answered.set(name, (answered.get(name) ?? 0) + 1)
      const to = op.startsWith('toInt') ? 64 : op === 'convert' && width === 64 ? 32
        : op === 'convert' ? 64 : width
      for (let at = 0; at < (kind === 'packed' ? 16 : size); at += size) {
        checkLane(op, width, bounded, at, to)
      }
    }
    assert.equal(answered.size, ops.length * 3)
    for (const [name, count] of answered) assert.ok(count > 100, `${name}: ${count}`)
  })
}

/** One unit in the last place less. */
function below(width: Width, value: number): bigint {
  return bitsOf(width, value) - 1n
}

test('what is answered in line ends where it is said to', () => {
  const { low, high } = MODERATE
  const single = (value: number): bigint => bitsOf(32, value)
  const double = (value: number): bigint => bitsOf(64, value)
  const cases: readonly (readonly [string, Width, bigint, bigint, boolean])[] = [
    ['add 32 undefined', 32, below(32, 2 ** -126), single(1), false],
    ['add 32 undefined', 32, single(2 ** -126) + 1n, single(1), true],
    ['add 64 undefined', 64, below(64, 2 ** -1022), double(1), false],
    ['add 64 undefined', 64, double(2 ** -1022) + 1n, double(1), true],
    // These are rounded to the smallest normal number.
    ['mul 32 undefined', 32, single(2 ** -126), below(32, 1), false],
    ['mul 64 undefined', 64, double(2 ** -1022), below(64, 1), false],
    ['mul 32 undefined', 32, single(2 ** -124), below(32, 1), true],
    ['mul 64 undefined', 64, double(2 ** -1020), below(64, 1), true],
    ['add 64 moderate', 64, below(64, 2 ** low), double(1), false],
    ['add 64 moderate', 64, double(2 ** low), double(1), true],
    ['add 64 moderate', 64, double(2 ** high), double(1), false],
    ['add 64 moderate', 64, below(64, 2 ** high), double(1), true],
    ['mul 64 moderate', 64, double(2 ** (low + 9)), below(64, 2 ** -9), false],
    ['mul 64 moderate', 64, double(2 ** (low + 9)), double(2 ** -9), true],
    ['mul 64 moderate', 64, double(2 ** (high - 9)), double(2 ** 9), false],
    ['mul 64 moderate', 64, double(2 ** (high - 9)), below(64, 2 ** 9), true],
  ]
  for (const kind of ['scalar', 'packed']) for (const [name, width, a, b, isAnswered] of cases) {
    for (let at = 0; at < 16; at += width / 8) {
      setLane(width, A + at, a)
      setLane(width, B + at, b)
    }
    assert.equal(ask(`${kind} ${name}`), isAnswered, `${kind} ${name} ${a.toString(16)}`)
  }
})
