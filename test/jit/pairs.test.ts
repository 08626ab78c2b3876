/**
 * Instructions that the interpreter carries out with the one before, when their record is not what
 * it was when they became a pair.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { HandlerTable } from '../../src/cpu/interpreter/handler-table.ts'
import { hotPairs } from '../../src/cpu/interpreter/hot-pairs.ts'
import { makeDecoder } from '../../src/isa/decode/decoder.ts'
import { allInstructions } from '../../src/isa/instructions/all.ts'
import { LONG_MODE } from '../isa/host/layout.ts'
import { Code, R14, RAX, RBX, RCX, RDI, RDX } from './encoder.ts'
import { ALIAS_AT, CODE_AT, type Start, TestMachine } from './machine.ts'
import { startOf } from './start.ts'

const WORDS = [5n, 7n]
const CODE_SELECTOR = 8
const decode = makeDecoder(allInstructions)
const memories = {
  core: new WebAssembly.Memory({ initial: 1 }), machine: new WebAssembly.Memory({ initial: 1 }),
}
const table = new HandlerTable(memories, decode, {})

/** The number of the handler for the first two instructions of some code; 0: each has its own. */
function pairOf(code: readonly number[]): number {
  const bytes = Uint8Array.from(code)
  const numberAt = (at: number): [number: number, behind: number] => {
    const instruction = decode(bytes, LONG_MODE, at)
    assert(typeof instruction !== 'string')
    return [table.numberOf(instruction, { long: true, stackWidth: 64 }), at + instruction.length]
  }
  const [first, behind] = numberAt(0)
  return table.pairOf(first, numberAt(behind)[0])
}

/** A program that finds WORDS at R14. */
function withWords(write: (code: Code) => void): Start {
  return { ...startOf(write), data: new Uint8Array(BigUint64Array.from(WORDS).buffer) }
}

/** Loads a register with one of WORDS: four bytes and a REX prefix. */
function load(code: Code, register: number, index: number): void {
  code.op([0x8b], register, { base: R14, displacement: index * 8 }, { width: 64 })
}

test('each pair has a handler of its own', () => {
  const numbers = hotPairs.map((hex) => pairOf(hex.replace(' ', '').match(/../g)!
    .map((digits) => parseInt(digits, 16))))
  assert.equal(new Set(numbers).size, hotPairs.length)
  assert(!numbers.includes(0))
})

test('the second of a pair is what the first has written', () => {
  const [before, after] = [0, 1].map((index) => {
    const code = new Code(0)
    load(code, RDX, index)
    return [...code.bytes, ...new Array<number>(8).fill(0x90)].slice(0, 8)
  }) as [number[], number[]]
  let first = 0
  const start = withWords((code) => {
    code.address(RBX, 'second')
    code.op([0x81], 0, RBX, { width: 64 })
    code.le(ALIAS_AT - CODE_AT, 4)
    code.constant64(RAX, new DataView(Uint8Array.from(after).buffer).getBigUint64(0, true))
    first = code.bytes.length
    code.op([0x89], RAX, { base: RBX, displacement: 0 }, { width: 64 })
    code.label('second')
    code.raw(...before)
    code.raw(0xcc)
  })
  assert.notEqual(pairOf([...start.code.subarray(first)]), 0)
  const machine = new TestMachine(0)
  machine.load(start)
  assert.equal(machine.run(100), 'halt')
  assert.equal(machine.cpu.context.gpr.get(RDX), WORDS[1])
})

test('the second of a pair enters a region once it has become hot', () => {
  const [OUTER, INNER] = [3, 20]
  let first = 0
  const start = withWords((code) => {
    code.constant(RBX, OUTER)
    code.label('first')
    code.constant(RCX, INNER)
    first = code.bytes.length
    load(code, RDI, 0)
    code.label('second')
    load(code, RDX, 1)
    code.op([0x01], RDX, RAX, { width: 64 })
    code.op([0x01], RDI, RAX, { width: 64 })
    code.op([0xff], 1, RCX)
    code.to('second', 1, 0x75)
    code.op([0xff], 1, RBX)
    code.to('end', 1, 0x74)
    // A far return is a service, so that no region goes on behind it.
    code.raw(0x6a, CODE_SELECTOR)
    code.address(RDI, 'first')
    code.raw(0x57, 0x48, 0xcb) // push rdi; retf
    code.label('end')
    code.raw(0xcc)
  })
  assert.notEqual(pairOf([...start.code.subarray(first)]), 0)
  const machine = new TestMachine(INNER / 2)
  machine.load(start)
  assert.equal(machine.run(1000), 'halt')
  assert.equal(machine.cpu.context.gpr.get(RAX), BigInt(OUTER * INNER) * (WORDS[0]! + WORDS[1]!))
})
