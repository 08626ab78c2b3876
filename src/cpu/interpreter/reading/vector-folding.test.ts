/**
 * What vector operations on constants come to, against the engine's instructions.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { vectorOps, type VectorOp } from '../../../isa/vector-op.ts'
import { i32, simd, v128 } from '../../../wasm/expression.ts'
import { ModuleBuilder } from '../../../wasm/module.ts'
import {
  bytesOf, foldShuffle, foldVectors, lanesOfMask, vectorIdentity, vectorOfBytes,
} from './vector-folding.ts'

const ONES = (1n << 128n) - 1n
const [A, B, RESULT] = [0, 16, 32]

/** A function of two vectors by the engine's instruction. */
function build(opcode: number, immediates?: readonly number[]) {
  const module = new ModuleBuilder()
  module.importMemory('env', 'memory', { initialPages: 1 })
  const f = module.function({ parameters: [] })
  const operands = [A, B].map((at) => v128.load(0, i32.const(0), at))
  f.store('v128', 0, i32.const(0), simd('v128', opcode, operands, immediates), RESULT)
  module.exportFunction('run', f)
  const memory = new WebAssembly.Memory({ initial: 1 })
  const bytes = new Uint8Array(memory.buffer)
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()),
    { env: { memory } })
  return (a: bigint, b: bigint): bigint => {
    bytes.set(bytesOf(a), A)
    bytes.set(bytesOf(b), B)
    ;(exports.run as () => void)()
    return vectorOfBytes([...bytes.subarray(RESULT, RESULT + 16)])
  }
}

let seed = 88172645463325252n

function random(): bigint {
  seed = BigInt.asUintN(64, seed ^ seed << 13n)
  seed ^= seed >> 7n
  seed = BigInt.asUintN(64, seed ^ seed << 17n)
  return seed
}

/** Some lanes are equal, some at their ends. */
function randomVector(): bigint {
  const whole = random() << 64n | random()
  const coarse = bytesOf(whole).map((byte) => byte < 80 ? 0 : byte < 160 ? 0xff : byte)
  return random() & 1n ? whole : vectorOfBytes(coarse)
}

test('operations on constants are folded as they are computed', () => {
  const folded = (Object.keys(vectorOps) as VectorOp[])
    .filter((op) => foldVectors(op, 0n, 0n) !== undefined)
  assert.ok(folded.length >= 9, folded.join())
  for (const op of folded) {
    const run = build(vectorOps[op])
    for (let i = 0; i < 200; i++) {
      const [a, b] = [randomVector(), i % 4 ? randomVector() : ONES]
      assert.equal(foldVectors(op, a, b), run(a, b), `${op} ${a.toString(16)} ${b.toString(16)}`)
      assert.equal(foldVectors(op, a, a), run(a, a), `${op} ${a.toString(16)}`)
    }
  }
})

test('what a constant leaves as it is, or makes zero, it does for any vector', () => {
  for (const op of Object.keys(vectorOps) as VectorOp[]) {
    for (const constant of [0n, ONES]) {
      const identity = vectorIdentity(op, constant)
      if (!identity) continue
      const run = build(vectorOps[op])
      const a = randomVector()
      assert.equal(run(a, constant), identity === 'same' ? a : 0n, op)
    }
  }
})

test('shuffles of constants, and selections by them, are what they are computed to be', () => {
  for (let i = 0; i < 50; i++) {
    const [a, b, mask] = [randomVector(), randomVector(), randomVector()]
    const lanes = bytesOf(random() << 64n | random()).map((byte) => byte % 32)
    assert.equal(foldShuffle(a, b, lanes), build(13, lanes)(a, b))
    const chosen = lanesOfMask(mask)
    if (chosen) assert.equal(build(13, chosen)(a, b), a & mask | b & (ONES ^ mask))
  }
  assert.deepEqual(lanesOfMask(0xffn), [0, ...Array.from({ length: 15 }, (_, at) => at + 17)])
  assert.equal(lanesOfMask(0xfn), undefined)
})
