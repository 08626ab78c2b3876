/**
 * Soft float against the host CPU, which a small C program (host-float.c) drives: the same random
 * and boundary operands, rounding modes, DAZ, FTZ and exception masks in both.
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import type { FloatOp } from '../backend.ts'
import { float, floatFlags } from './float.ts'

interface Operation { readonly op: FloatOp, readonly width: 32 | 64, readonly imm?: number }

const names: readonly FloatOp[] = [
  'add', 'sub', 'mul', 'div', 'sqrt', 'min', 'max', 'convert', 'fromInt32', 'fromInt64',
  'toInt32', 'toInt64', 'toInt32Truncated', 'toInt64Truncated', 'compare', 'compareSignaling',
]

function operationOf(number: number): Operation {
  if (number < 32) return { op: names[number >> 1]!, width: number & 1 ? 64 : 32 }
  return { op: 'round', width: number & 16 ? 64 : 32, imm: number & 15 }
}

let seed = 0x2545f491n

function random64(): bigint {
  seed ^= seed << 13n & 0xffffffffffffffffn
  seed ^= seed >> 7n
  seed ^= seed << 17n & 0xffffffffffffffffn
  return seed
}

const special: Record<32 | 64, readonly bigint[]> = {
  32: [
    0n, 1n, 2n, 0x3fffffn, 0x400000n, 0x7fffffn, 0x800000n, 0x800001n, 0xffffffn, 0x1000000n,
    0x3f000000n, 0x3f7fffffn, 0x3f800000n, 0x3f800001n, 0x3fc00000n, 0x40000000n, 0x4b000000n,
    0x4b7fffffn, 0x4effffffn, 0x4f000000n, 0x5effffffn, 0x5f000000n, 0x7f7fffffn, 0x7f000000n,
    0x7f800000n, 0x7f800001n, 0x7fbfffffn, 0x7fc00000n, 0x7fffffffn, 0x7fc12345n,
  ],
  64: [
    0n, 1n, 2n, 0x8000000000000n, 0xfffffffffffffn, 0x10000000000000n, 0x10000000000001n,
    0x1fffffffffffffn, 0x3fe0000000000000n, 0x3fefffffffffffffn, 0x3ff0000000000000n,
    0x3ff0000000000001n, 0x3ff8000000000000n, 0x4000000000000000n, 0x41dfffffffc00000n,
    0x41dfffffffe00000n, 0x41e0000000000000n, 0x43dfffffffffffffn, 0x43e0000000000000n,
    0x380fffffffffffffn, 0x36a0000000000000n, 0x47efffffe0000000n, 0x47effffff0000000n,
    0x7fefffffffffffffn, 0x7ff0000000000000n, 0x7ff0000000000001n, 0x7ff7ffffffffffffn,
    0x7ff8000000000000n, 0x7fffffffffffffffn, 0x3ca0000000000000n,
  ],
}

function operand(width: 32 | 64): bigint {
  const kind = Number(random64() >> 20n & 7n)
  const list = special[width]
  const sign = (random64() >> 30n & 1n) << BigInt(width - 1)
  if (kind < 3) return list[Number(random64() >> 8n) % list.length]! | sign
  const bits = BigInt.asUintN(width, random64())
  if (kind < 5) return bits
  // Near one another and near one, where roundings and cancellations are.
  const fraction = width === 32 ? 23n : 52n
  const bias = width === 32 ? 127n : 1023n
  const exponent = bias - 8n + (random64() >> 9n & 15n)
  const coarse = kind === 7 ? ~((1n << (random64() >> 5n & 31n)) - 1n) : -1n
  return sign | exponent << fraction | bits & (1n << fraction) - 1n & coarse
}

function controlWord(): number {
  const bits = Number(random64() & 0xffffn)
  const masks = bits & 3 ? 0x1f80 : bits & 0x1f80
  return masks | bits & 0x6000 | (bits & 0xc ? 0 : bits & 0x8040)
}

function build(directory: string): string | undefined {
  const program = join(directory, 'host-float')
  const source = join(import.meta.dirname, 'host-float.c')
  const built = spawnSync('gcc', ['-O1', '-w', '-o', program, source])
  return built.status === 0 ? program : undefined
}

test('soft float gives the results and flags of the host CPU', (context) => {
  if (process.arch !== 'x64') return context.skip('the host is no x86-64')
  const directory = mkdtempSync(join(tmpdir(), 'xenolith-float-'))
  try {
    const program = build(directory)
    if (!program) return context.skip('gcc is missing')
    const count = Number(process.env.FLOAT_CASES ?? 60000)
    const queries = Buffer.alloc(count * 24)
    for (let i = 0; i < count; i++) {
      const number = i % 64
      const { op, width } = operationOf(number)
      const integer = op === 'fromInt32' || op === 'fromInt64'
      const value = integer && i & 64 ? BigInt.asIntN(64, random64()) >> (random64() & 63n)
        : operand(width)
      queries.writeUInt32LE(number, i * 24)
      queries.writeUInt32LE(controlWord(), i * 24 + 4)
      queries.writeBigUInt64LE(BigInt.asUintN(64, value), i * 24 + 8)
      queries.writeBigUInt64LE(operand(width), i * 24 + 16)
    }
    const answers = spawnSync(program, { input: queries, maxBuffer: count * 16 + 4096 }).stdout
    let wrong = 0
    for (let i = 0; i < count; i++) wrong += check(queries, answers, i, wrong) ? 0 : 1
    assert.equal(wrong, 0)
  } finally {
    rmSync(directory, { recursive: true })
  }
})

const oneOperand = new Set<FloatOp>(['sqrt', 'convert', 'round'])

function check(queries: Buffer, answers: Buffer, i: number, wrong: number): boolean {
  const number = queries.readUInt32LE(i * 24)
  const { op, width, imm } = operationOf(number)
  const mxcsr = queries.readUInt32LE(i * 24 + 4)
  let a = queries.readBigUInt64LE(i * 24 + 8)
  const b = queries.readBigUInt64LE(i * 24 + 16)
  const wanted = answers.readBigUInt64LE(i * 16)
  const flags = answers.readUInt32LE(i * 16 + 8)
  // One-operand instructions of the host take their source from the second register.
  if (oneOperand.has(op)) a = b
  const result = float(op, width, a, imm === undefined ? b : BigInt(imm), mxcsr)
  const resultWidth = op === 'convert' ? 96 - width
    : op.startsWith('toInt') ? Number(op.slice(5, 7))
    : op.startsWith('compare') ? 64 : width
  const faulted = (floatFlags & ~(mxcsr >> 7) & 63) !== 0
  const same = faulted
    ? flags === (floatFlags | 256)
    : flags === floatFlags && BigInt.asUintN(resultWidth, wanted) === result
  if (!same && wrong < 40) {
    console.log(op, width, imm, a.toString(16), b.toString(16), mxcsr.toString(16),
      'ours', result.toString(16), floatFlags, 'host', wanted.toString(16), flags)
  }
  return same
}
