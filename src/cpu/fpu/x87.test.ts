/**
 * The engine's x87 functions against the exact routines: where they answer, registers, status, tags
 * and result are the same; and they answer for what programs compute.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { formNumber, type StackShape } from '../../isa/x87/form.ts'
import { ModuleBuilder } from '../../wasm/module.ts'
import { Random } from '../../../test/isa/decoder/byte-strings.ts'
import { ContextX87 } from '../interpreter/machine-adapter.ts'
import { partSignatures } from '../interpreter/parts.ts'
import { buildMulHigh } from '../interpreter/support.ts'
import { coreMap } from '../core-memory.ts'
import { CpuContext } from '../state.ts'
import { ExactX87 } from './exact-x87.ts'
import { buildX87 } from './x87.ts'
import { x87Flags, x87PartOf } from './x87-number.ts'

type Run = (form: number, index: number, low: bigint, high: number) => bigint

const PAGES = 1
const CASES = 40000

function build() {
  const module = new ModuleBuilder()
  const signature = partSignatures.x87Exact
  const exact = module.importFunction('env', 'exact', signature)
  module.importMemory('env', 'core', { initialPages: PAGES })
  const parts = buildX87(module, signature, exact, buildMulHigh(module).mulHighUnsigned)
  for (const [name, part] of Object.entries(parts)) module.exportFunction(name, part)
  const core = new WebAssembly.Memory({ initial: PAGES })
  const asked = { yes: false }
  const env = { core, exact: () => { asked.yes = true; return 0n } }
  const { exports } = new WebAssembly.Instance(new WebAssembly.Module(module.finish()), { env })
  return { core, asked, exports: exports as Record<string, Run> }
}

const operations: readonly (readonly [string, StackShape])[] = [
  ...['fadd', 'fsub', 'fsubr', 'fmul', 'fdiv', 'fdivr', 'fcom', 'fcomp'].flatMap((name) =>
    (['st st', '32', '64'] as const).map((shape) => [name, shape] as const)),
  ...['fiadd', 'fimul', 'fidiv', 'ficom'].flatMap((name) =>
    (['16', '32'] as const).map((shape) => [name, shape] as const)),
  ['faddp', 'st st'], ['fmulp', 'st st'], ['fdivrp', 'st st'], ['fcomi', 'st st'],
  ['fucomip', 'st st'], ['fxch', 'st'], ['fld', 'st'], ['fld', '64'], ['fld', '32'], ['fld', '80'],
  ['fild', '16'], ['fild', '32'], ['fild', '64'], ['fst', '32'], ['fstp', '64'], ['fstp', '80'],
  ['fistp', '16'], ['fist', '32'], ['fistp', '64'], ['fisttp', '64'], ['fchs', ''], ['fabs', ''],
  ['fstp', 'st'], ['ftst', ''], ['fsqrt', ''], ['frndint', ''], ['fscale', ''], ['fprem', ''],
  ['fprem1', ''], ['fxam', ''], ['fcmovb', 'st st'], ['ffree', 'st'], ['fincstp', ''],
]

/** A unit with ordinary numbers, mostly; registers 0 to 5 from the top hold something. */
function fill(context: ReturnType<typeof CpuContext.on>, random: Random): void {
  const bits = () => BigInt(random.next()) << 32n | BigInt(random.next())
  const top = random.below(8)
  context.x87Status = top << 11 | random.next() & 0x4720
  context.x87Control = random.below(4) ? 0x37f : 0x7f | random.next() & 0xf00
  context.x87Tags = 0
  for (let i = 0; i < 8; i++) {
    const register = context.x87.item(top + i & 7)
    const coarse = random.below(2) ? -1n << BigInt(random.below(64)) : -1n
    const near = 0x3fff - 70 + random.below(140)
    const kind = random.below(16)
    register.signExponent = random.next() & 0x8000 | (kind === 0 ? random.next() & 0x7fff : near)
    register.significand = BigInt.asUintN(64, bits() & coarse | 1n << 63n)
    if (kind === 1) register.significand = 0n
    if (kind === 1) register.signExponent &= 0x8000
    if (i < 6) context.x87Tags |= 1 << (top + i & 7)
  }
}

function operand(shape: StackShape, random: Random): bigint {
  const words = BigInt(random.next()) << 32n | BigInt(random.next())
  const ordinary = random.below(3) > 0
  const near = words & 15n
  if (shape === '64' && ordinary) return words & ~(0x7ffn << 52n) | 0x3f8n + near << 52n
  if (shape === '32' && ordinary) return words & 0x807fffffn | 0x78n + near << 23n
  return shape === '' || shape.startsWith('st') ? words & 1n
    : BigInt.asUintN(Math.min(Number(shape), 64), words)
}

/** A random case of an operation: what the parts are told. */
function makeCase(name: string, shape: StackShape, random: Random) {
  const other = random.below(6)
  // Sums and products with the top go both ways.
  const isReversed = shape === 'st'
    || shape === 'st st' && !/com|cmov/.test(name) && random.below(2) === 1
  const registers = isReversed ? other << 4 | (shape === 'st' ? 1 << 12 : 0)
    : (shape === 'st st' ? other : 1) << 12
  return {
    form: formNumber(name, shape), index: registers | x87Flags(name),
    low: operand(shape, random), high: random.next() & 0xffff,
  }
}

/** The bytes that an operation may change, but for the last instruction's pointers. */
function stateOf(bytes: Uint8Array): Uint8Array {
  const at = CpuContext.offsets
  return Uint8Array.of(...bytes.subarray(at.x87, at.x87LastOpcode))
}

/** What of a result counts: bits to store and what waits for the store, or flags. */
function outcomeOf(name: string, shape: StackShape, result: bigint, bytes: Uint8Array): unknown {
  if (/com(i|ip)$/.test(name)) return result
  if (x87PartOf(name, shape) !== 'x87Store') return undefined
  const waiting = bytes.slice(coreMap.x87Result, coreMap.x87Result + (shape === '80' ? 6 : 4))
  return [BigInt.asUintN(Number(shape), BigInt.asUintN(64, result)), ...waiting]
}

test('where the functions answer, they do what the exact routines do', () => {
  const { core, asked, exports } = build()
  const bytes = new Uint8Array(core.buffer)
  const context = CpuContext.on(core.buffer, 0)
  const exact = new ExactX87(new ContextX87(context), core.buffer)
  const random = new Random(87)
  const answered = new Map<string, number>()
  for (let i = 0; i < CASES; i++) {
    const [name, shape] = operations[i % operations.length]!
    fill(context, random)
    const { form, index, low, high } = makeCase(name, shape, random)
    const before = stateOf(bytes)
    asked.yes = false
    const result = exports[x87PartOf(name, shape)]!(form, index, BigInt.asIntN(64, low), high)
    const after = stateOf(bytes)
    const text = `${name} ${shape} ${low.toString(16)}, case ${i}`
    if (asked.yes) {
      assert.deepEqual(after, before, `${text} changed something before it asked`)
      continue
    }
    answered.set(`${name} ${shape}`, (answered.get(`${name} ${shape}`) ?? 0) + 1)
    const outcome = outcomeOf(name, shape, result, bytes)
    bytes.set(before, CpuContext.offsets.x87)
    const expected = exact.compute(form, index, low, high)
    assert.deepEqual(outcome, outcomeOf(name, shape, expected, bytes), text)
    assert.deepEqual(after, stateOf(bytes), text)
  }
  for (const [name, shape] of operations) {
    const count = answered.get(`${name} ${shape}`) ?? 0
    assert.ok(count > CASES / operations.length / 8, `${name} ${shape}: ${count} answered`)
  }
})
