/**
 * The regions of random programs, verified; and regions with one check less, which must not pass.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { TABLE_BYTES, TLB_ENTRIES, TLB_SETS } from '../../src/cpu/core-memory.ts'
import { MACHINE } from '../../src/cpu/interpreter/parts.ts'
import { collectRegions } from './collect.ts'
import { Lockstep } from './lockstep.ts'
import { verifyModule } from './verifier.ts'
import { isMemoryAccess, readModule, type WasmInstruction } from './wasm-reader.ts'

const programs = Number(process.env['JIT_PROGRAMS'] ?? 60)
const MUTATED = 40

const [CONST, CONST64, DROP, EQZ, EQZ64, AND64, NE, LOAD64] =
  [0x41, 0x42, 0x1a, 0x45, 0x50, 0x83, 0x47, 0x29]
const [LE, AND, LE64, SUB64, LT64, LOAD] = [0x4d, 0x71, 0x58, 0x7d, 0x54, 0x28]
/** From the tables on: the first addend of the micro-TLB. */
const ADDENDS = TLB_SETS * 2 * TABLE_BYTES + 80 * 4 + 8
const TAG = -1n << 24n

const regions = collectRegions(() => {
  new Lockstep().run(1, programs)
}).map(readModule)

test('the accesses of compiled regions stay where they may', (t) => {
  for (const region of regions) assert.deepEqual(verifyModule(region), [])
  const count = regions.reduce((sum, { functions }) => sum + functions.length, 0)
  assert.ok(count > programs, 'there is something to verify')
  t.diagnostic(`${count} regions`)
})

type Code = readonly WasmInstruction[]
/** What stands at an index in place of what is there, if a check does. */
type Mutation = (code: Code, index: number) => WasmInstruction[] | undefined

function like(instruction: WasmInstruction, opcode: number, immediate?: number): WasmInstruction {
  return { ...instruction, opcode, immediates: immediate === undefined ? [] : [immediate] }
}

/** Accepts whatever is asked. */
function always(instruction: WasmInstruction): WasmInstruction[] {
  return [like(instruction, DROP), like(instruction, CONST, 1)]
}

function comparesWith(mask: bigint, code: Code, index: number): boolean {
  const wanted = code[index - 2]
  if (code[index]?.opcode !== EQZ64 || code[index - 1]?.opcode !== AND64) return false
  const value = wanted?.opcode === CONST64 ? BigInt(wanted.immediates[0]!) : 0n
  return (value & -16n) === mask
}


const mutations: Readonly<Record<string, Mutation>> = {
  'a hit that nobody asks for': (code, index) =>
    comparesWith(TAG, code, index) ? always(code[index]!) : undefined,
  'a page that nobody compares': (code, index) =>
    code[index]!.opcode === LE64 && code[index - 2]!.opcode === SUB64
      ? [like(code[index]!, DROP), ...always(code[index]!)] : undefined,
  'an end of the page that nobody looks at': (code, index) =>
    code[index]!.opcode === LE && code[index - 2]!.opcode === AND
      ? [like(code[index]!, DROP), ...always(code[index]!)] : undefined,
  'an alignment that nobody asks for': (code, index) => {
    const isAsked = comparesWith(TAG, code, index + 2) && code[index]!.immediates[0] !== TAG
    return isAsked ? [{ ...code[index]!, immediates: [TAG] }] : undefined
  },
  'a tag that is compared in part': (code, index) => comparesWith(TAG, code, index + 2)
    ? [{ ...code[index]!, immediates: [-1n << 25n] }] : undefined,
  'an operand that is written whether it was reached or not': (code, index) => {
    const isCheck = code[index]!.opcode === NE && code[index + 1]?.opcode === EQZ
      && code[index - 1]!.opcode === CONST && code[index - 1]!.immediates[0] === -1
    return isCheck ? [like(code[index]!, DROP), like(code[index]!, DROP),
      like(code[index]!, CONST, 1)] : undefined
  },
  'a store by the table for loads': (code, index) => {
    const entry = code[index]!
    const isForStores = entry.opcode === LOAD64 && entry.offset === TABLE_BYTES
    return isForStores ? [{ ...entry, offset: 0 }] : undefined
  },
  'an index without bounds': (code, index) => {
    const { opcode, immediates } = code[index]!
    return opcode === CONST && immediates[0] === (TLB_ENTRIES - 1) * 8
      ? [like(code[index]!, CONST, -8)] : undefined
  },
  'an entry of the micro-TLB that nobody asks': (code, index) =>
    code[index]!.opcode === LT64 && code[index + 1]!.opcode === EQZ
      && code[index - 1]!.offset >= ADDENDS - 328
      ? [like(code[index]!, DROP), ...always(code[index]!)] : undefined,
  'the addend of another entry': (code, index) => {
    const addend = code[index]!
    return addend.opcode === LOAD && addend.offset >= ADDENDS
      ? [{ ...addend, offset: addend.offset + 16 }] : undefined
  },
  'an access to the next page': (code, index) => {
    const access = code[index]!
    const isAccess = isMemoryAccess(access.opcode) && access.memory === MACHINE
    return isAccess ? [{ ...access, offset: access.offset + 4096 }] : undefined
  },
}

for (const [name, mutation] of Object.entries(mutations)) {
  test(`the verifier finds ${name}`, (t) => {
    let count = 0
    for (const region of regions.slice(0, MUTATED)) {
      for (const [number, f] of region.functions.entries()) {
        const code = f.instructions
        const index = code.findIndex((_, at) => mutation(code, at))
        if (index < 0) continue
        const instructions = code.toSpliced(index, 1, ...mutation(code, index)!)
        const functions = region.functions.with(number, { ...f, instructions })
        const problems = verifyModule({ ...region, functions })
        assert.notEqual(problems.length, 0, `at byte ${code[index]!.from}`)
        count += 1
        break
      }
    }
    assert.ok(count > 0, 'there is such code')
    t.diagnostic(`${count} regions`)
  })
}
