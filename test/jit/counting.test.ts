/**
 * What counts as an executed instruction, and who can tell.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Code, R14, RAX, RBX, RCX, RDI, RDX, RSI, RSP } from './encoder.ts'
import { CODE_AT, DATA_AT, type Start, STACK_TOP, TestMachine, UNMAP } from './machine.ts'

const PAGE = 4096

/** A program without data. */
function startOf(code: Code, entry = CODE_AT): Start {
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[R14] = BigInt(DATA_AT)
  const nothing = new Uint8Array(0)
  return {
    code: code.finish(), spare: nothing, entry, data: nothing, registers, vectors: [],
    flags: 0, cpl: 0,
  }
}

/** Instructions of a program until it halts, told in one run and in runs of one each. */
function countsOf(start: Start): readonly [number, number] {
  const machine = new TestMachine(0)
  machine.load(start)
  const first = machine.cpu.executed
  assert.equal(machine.run(100_000), 'halt')
  const atOnce = machine.cpu.executed - first
  machine.load(start)
  const second = machine.cpu.executed
  while (machine.run(1, true) !== 'halt') assert.ok(machine.cpu.executed - second < 100_000)
  return [atOnce, machine.cpu.executed - second]
}

/** What the int3 at the end and its handler's HLT count: each one, and no exception. */
const END = 2

test('a jump ends a run of one instruction, whatever it leads to', () => {
  const code = new Code(CODE_AT)
  code.address(RBX, 'target')
  code.op([0x89], RBX, { base: R14, displacement: 0 }, { width: 64 }) // mov [r14], rbx
  code.op([0xff], 2, { base: R14, index: RAX, scale: 3, displacement: 0 }) // call [r14 + rax * 8]
  code.raw(0xcc)
  code.label('target')
  code.op([0xff], 0, RAX)
  code.raw(0xcc)
  const machine = new TestMachine(0)
  machine.load(startOf(code))
  for (let count = 1; count <= 5; count++) {
    const before = machine.cpu.executed
    machine.run(1, true)
    assert.equal(machine.cpu.executed - before, 1)
  }
})

test('an instruction that crosses into the next page counts once', () => {
  const code = new Code(CODE_AT)
  while (code.here < CODE_AT + PAGE - 4) code.raw(0x90)
  code.constant(RAX, 1)
  code.raw(0xcc)
  const start = startOf(code, CODE_AT + PAGE - 6)
  assert.deepEqual(countsOf(start), [3 + END, 3 + END])
})

test('moving and filling counts once for each page of the target', () => {
  for (const [opcode, offset, bytes, pages] of [
    [0xa4, 0, 100, 1], [0xa4, 100, 3 * PAGE, 4], [0xaa, 0, 2 * PAGE, 2], [0xaa, PAGE - 1, 2, 2],
  ] as const) {
    const code = new Code(CODE_AT)
    code.constant(RSI, DATA_AT + 4 * PAGE + 50)
    code.constant(RDI, DATA_AT + offset)
    code.constant(RCX, bytes)
    code.raw(0xf3, opcode, 0xcc)
    const expected = 3 + pages + END
    assert.deepEqual(countsOf(startOf(code)), [expected, expected], `${opcode} ${offset} ${bytes}`)
  }
})

test('rounds of other repeated string instructions count each', () => {
  const code = new Code(CODE_AT)
  code.constant(RDI, DATA_AT)
  code.constant(RCX, 20)
  code.raw(0xf3, 0xae, 0xcc) // repe scasb
  assert.deepEqual(countsOf(startOf(code)), [22 + END, 22 + END])
})

test('an exception counts once, and the instruction when it completes', () => {
  const code = new Code(CODE_AT)
  code.raw(0xcd, UNMAP)
  const [before] = countsOf(startOf(code))
  code.op([0x8b], RAX, { base: R14, displacement: 0 })
  code.raw(0xcc)
  const counts = countsOf(startOf(code))
  // The handler of page faults has some instructions.
  assert.equal(counts[0], counts[1])
  assert.ok(counts[0] > before + 1)
})

test('the time stamp counter is asked when all before has been counted', () => {
  const code = new Code(CODE_AT)
  code.constant(RCX, 40)
  code.label('again')
  code.raw(0x90, 0x0f, 0x31) // nop; rdtsc
  code.op([0x89], RAX, { base: R14, index: RCX, scale: 2, displacement: 0 })
  code.raw(0x0f, 0x01, 0xf9) // rdtscp, which changes RCX
  code.op([0x8b], RCX, { base: R14, displacement: 1024 })
  code.op([0x29], RDX, RBX)
  code.op([0xff], 1, RCX)
  code.op([0x89], RCX, { base: R14, displacement: 1024 })
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
  const start = startOf(code)
  const data = new Uint8Array(1028)
  data[1024] = 40
  const [interpreter, compiled] = [new TestMachine(0), new TestMachine(2)]
  for (const machine of [interpreter, compiled]) {
    machine.load({ ...start, data })
    assert.equal(machine.run(10_000), 'halt')
  }
  assert.ok(compiled.cpu.jitCounts.compiled > 0)
  assert.equal(interpreter.cpu.executed, compiled.cpu.executed)
  assert.deepEqual(interpreter.differences(compiled, true), [])
})
