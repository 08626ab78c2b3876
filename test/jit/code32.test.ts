/**
 * 32-bit code in flat segments, compiled and interpreted. Random programs have some too.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { DS } from '../../src/abi/x86/registers.ts'
import { Code, R14, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { DATA_AT, type Start, TestMachine } from './machine.ts'
import { startOf } from './start.ts'

const ROUNDS = 50

function startIn32Bits(write: (code: Code) => void, registers: readonly bigint[] = []): Start {
  const start = startOf(write, false)
  return { ...start, registers: start.registers.map((value, i) => registers[i] ?? value) }
}

/** An interpreter and a machine that compiles at once, after a program; they must not differ. */
function sameAsInterpreted(start: Start, prepare = (_: TestMachine): void => {}): TestMachine {
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(1)]
  for (const machine of [interpreter, compiled]) {
    machine.load(start)
    prepare(machine)
    assert.equal(machine.run(100_000), 'halt')
  }
  assert.deepEqual(interpreter.differences(compiled, true), [])
  return compiled
}

function countDown(code: Code): void {
  code.op([0xff], 1, RCX)
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
}

/** Adds up words of the data. */
const sum = startIn32Bits((code) => {
  code.constant(RCX, ROUNDS)
  code.label('again')
  code.op([0x03], RAX, { base: R14, index: RCX, scale: 2, displacement: 0 })
  code.op([0x89], RAX, { base: R14, displacement: 1024 })
  countDown(code)
})

test('32-bit code is compiled, and what registers hold above is no part of addresses', () => {
  const upper = 0xdead_beef_0000_0000n
  const registers = sum.registers.map((value) => value | upper)
  const machine = sameAsInterpreted({ ...sum, registers })
  assert.ok(machine.cpu.jitCounts.compiled > 0)
})

test('code in segments that are not flat is interpreted', () => {
  const machine = sameAsInterpreted(sum, ({ cpu }) => {
    cpu.context.segments.item(DS).base = 16n
    cpu.modeChanged()
  })
  assert.equal(machine.cpu.jitCounts.asked, 0)
})

test('an address that is executed in both modes is compiled for the first', () => {
  // ADD RAX, RCX; in 32-bit code DEC EAX; ADD EAX, ECX.
  const write = (code: Code): void => {
    code.raw(0xb9)
    code.le(ROUNDS, 4)
    code.label('again')
    code.raw(0x48, 0x01, 0xc8)
    countDown(code)
  }
  const starts = [startOf(write), startIn32Bits(write)]
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(3)]
  for (const order of [[0, 1, 0, 1], [1, 0, 1, 0]]) {
    for (const machine of [interpreter, compiled]) machine.load(starts[order[0]!]!)
    for (const which of order) {
      for (const machine of [interpreter, compiled]) {
        machine.begin(starts[which]!)
        assert.equal(machine.run(10_000), 'halt')
      }
      assert.deepEqual(interpreter.differences(compiled, true), [])
    }
  }
  assert.ok(compiled.cpu.jitCounts.compiled > 0)
})

const END = 0xffff_ffffn
const accesses: Readonly<Record<string, (code: Code) => void>> = {
  'a load': (code) => code.op([0x8b], RAX, { base: RBX, displacement: -2 }),
  'a store': (code) => code.op([0x89], RAX, { base: RBX, displacement: 0 }),
  'a sum': (code) => code.op([0x01], RAX, { base: RBX, displacement: -1 }),
  'a locked sum': (code) => code.op([0x01], RAX, { base: RBX, displacement: -1 }, { lock: true }),
  'a vector': (code) => code.op([0x0f, 0x10], 0, { base: RBX, displacement: -8 }),
  'a stored vector': (code) => code.op([0x0f, 0x11], 0, { base: RBX, displacement: -8 }),
  'a push': (code) => {
    code.constant(RSP, 2)
    code.short(0x50, RAX)
  },
}

for (const [name, write] of Object.entries(accesses)) {
  test(`${name} across the end of 4 GiB is a fault of its segment`, () => {
    const registers = sum.registers.with(RBX, END)
    const machine = sameAsInterpreted({ ...startIn32Bits((code) => {
      write(code)
      code.raw(0xcc)
    }), registers })
    assert.equal(machine.cpu.context.cr2, 0n)
  })
}

test('strings are moved and filled in blocks, over borders of pages', () => {
  const machine = sameAsInterpreted(startIn32Bits((code) => {
    code.constant(RDX, 5)
    code.label('again')
    code.constant(RSI, DATA_AT + 4000)
    code.constant(RDI, DATA_AT + 12_200)
    code.constant(RCX, 1000)
    code.raw(0xf3, 0xa5) // rep movsd
    code.constant(RCX, 5001)
    code.op([0x89], RDX, RAX) // mov eax, edx
    code.raw(0xf3, 0xaa) // rep stosb
    code.op([0xff], 1, RDX)
    code.to('again', 4, 0x0f, 0x85)
    code.raw(0xcc)
  }))
  assert.ok(machine.cpu.jitCounts.compiled > 0)
})
