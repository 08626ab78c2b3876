/**
 * Features of compiling that are left out: each then changes nothing but the code.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { type Feature, FEATURES, type Without } from '../../src/cpu/jit/features.ts'
import { countsOf, sizeOf } from './count.ts'
import { type Code, R14, RAX, RCX } from './encoder.ts'
import { Lockstep } from './lockstep.ts'
import type { Start } from './machine.ts'
import { startOf } from './start.ts'

const PROGRAMS = 12
const FIRST_SEED = 1
const ROUNDS = 200

test('programs do the same with all of them left out', () => {
  const lockstep = new Lockstep(FEATURES)
  const failure = lockstep.run(FIRST_SEED, PROGRAMS)
  assert.equal(failure?.report, undefined)
  assert.equal(lockstep.widened, 0)
  const usual = new Lockstep()
  assert.equal(usual.run(FIRST_SEED, PROGRAMS), undefined)
  assert.ok(usual.widened > 0)
})

/** Counts RCX down, and does something in each round. */
function loop(write: (code: Code) => void, isLong = true): Start {
  return startOf((code) => {
    code.constant(RCX, ROUNDS)
    code.label('again')
    write(code)
    code.op([0xff], 1, RCX) // dec ecx
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
  }, isLong)
}

function sizesOf(start: Start, without: Without): number[] {
  return countsOf(start, without).regions.map(({ instructions }) => sizeOf(instructions))
}

const programs: readonly (readonly [Feature, Start])[] = [
  // jz over an instruction that leaves the flags.
  ['flags', loop((code) => code.raw(0x01, 0xc8, 0x74, 0x02, 0x89, 0xc2))],
  ['micro-tlb', loop((code) => code.op([0x03], RAX, { base: R14, displacement: 0 }))],
  // fld1; fstp st(0)
  ['x87', loop((code) => code.raw(0xd9, 0xe8, 0xdd, 0xd8))],
  ['32-bit', loop((code) => code.raw(0x01, 0xc8), false)],
]
for (const [feature, start] of programs) {
  test(`without "${feature}" a loop becomes other code`, () => {
    assert.notDeepEqual(sizesOf(start, [feature]), sizesOf(start, []))
  })
}
