/**
 * What jumps to other pages remember, when it does not hold any more.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { Code, R14, RAX, RBX, RCX, RDI, RSP } from './encoder.ts'
import { ALIAS_AT, CODE_AT, DATA_AT, type Start, STACK_TOP, SWAP, TestMachine } from './machine.ts'

const PAGE = 4096
const ROUNDS = 16

/** A program in page 0, with `second` in page 1 and `spare` in the spare page. */
function startOf(
  first: (code: Code) => void, second: (code: Code) => void, spare: (code: Code) => void,
): Start {
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[R14] = BigInt(DATA_AT)
  const code = new Code(CODE_AT)
  first(code)
  while (code.here < CODE_AT + PAGE) code.raw(0xcc)
  second(code)
  const other = new Code(CODE_AT + PAGE)
  spare(other)
  return {
    code: code.finish(), spare: other.finish(), entry: CODE_AT, data: new Uint8Array(0),
    registers, vectors: [], flags: 0, cpl: 0,
  }
}

/** Adds a number to RBX. */
function add(code: Code, value: number): void {
  code.op([0x81], 0, RBX, { width: 64 })
  code.le(value, 4)
}

/** Counts RCX down, and goes to `again` until it is 0. */
function loop(code: Code): void {
  code.op([0xff], 1, RCX)
  code.to('again', 4, 0x0f, 0x85)
  code.raw(0xcc)
}

/** What RBX is in the end, interpreted. */
function sumOf(start: Start, change: (machine: TestMachine) => void = () => {}): bigint {
  const machine = new TestMachine(0)
  machine.load(start)
  change(machine)
  assert.equal(machine.run(10_000), 'halt')
  return machine.cpu.context.gpr.get(RBX)
}

/** A function that adds a number to RBX. */
function adding(value: number) {
  return (code: Code): void => {
    if (value === 1) code.label('function')
    add(code, value)
    code.raw(0xc3)
  }
}

const BOTH = BigInt(ROUNDS / 2 * (1 + 1000))

for (const [name, call] of [
  ['direct', (code: Code) => code.to('function', 4, 0xe8)],
  ['indirect', (code: Code) => {
    code.address(RAX, 'function')
    code.op([0xff], 2, RAX)
  }],
  ['indirect through memory', (code: Code) => {
    code.address(RAX, 'function')
    code.op([0x89], RAX, { base: R14, displacement: 0 }, { width: 64 })
    code.op([0xff], 2, { base: R14, displacement: 0 })
  }],
] as const) {
  test(`a call (${name}) leads to the page that is there now`, () => {
    const start = startOf((code) => {
      code.constant(RCX, ROUNDS)
      code.label('again')
      call(code)
      code.raw(0xcd, SWAP)
      loop(code)
    }, adding(1), adding(1000))
    assert.equal(sumOf(start), BOTH)
  })
}

test('a return leads to the page that is there now', () => {
  const caller = (value: number) => (code: Code): void => {
    if (value === 1) code.label('caller')
    code.op([0xff], 2, RDI) // call rdi
    add(code, value)
    code.raw(0xc3)
  }
  const start = startOf((code) => {
    code.constant(RCX, ROUNDS)
    code.address(RDI, 'callee')
    code.label('again')
    code.to('caller', 4, 0xe8)
    loop(code)
    code.label('callee')
    code.raw(0xcd, SWAP, 0xc3)
  }, caller(1), caller(1000))
  assert.equal(sumOf(start), BOTH)
})

test('a call leads to what was written over its target', () => {
  const start = startOf((code) => {
    code.constant(RCX, ROUNDS)
    code.label('again')
    code.to('function', 4, 0xe8)
    code.constant(RAX, ALIAS_AT + PAGE + 3)
    code.op([0xff], 0, { base: RAX, displacement: 0 }, { width: 8 }) // inc byte [rax]
    loop(code)
  }, adding(1), () => {})
  assert.equal(sumOf(start), BigInt(ROUNDS * (ROUNDS + 1) / 2))
})

test('a call leads to another page where its own is mapped elsewhere', () => {
  const MAPPED_AT = CODE_AT + 8 * PAGE
  const start = startOf((code) => {
    code.constant(RCX, ROUNDS)
    code.label('again')
    code.to('function', 4, 0xe8)
    // The next round is executed at the other address of this page.
    code.address(RAX, 'next')
    code.op([0x81], 6, RAX) // xor eax, 8 pages
    code.le(8 * PAGE, 4)
    code.op([0xff], 4, RAX)
    code.label('next')
    loop(code)
  }, adding(1), adding(1000))
  const sum = sumOf(start, (machine) => {
    const view = new DataView(machine.bytes.buffer)
    const entry = (table: number, index: number): number =>
      Number(view.getBigUint64(table + index * 8, true) & 0xf_ffff_f000n)
    const directory = entry(entry(Number(machine.cpu.context.cr3), 0), 0)
    const table = entry(directory, CODE_AT >> 21)
    const map = (linear: number, like: number): void => view.setBigUint64(
      table + (linear >> 12 & 511) * 8, view.getBigUint64(table + (like >> 12 & 511) * 8, true),
      true)
    map(MAPPED_AT, CODE_AT)
    map(MAPPED_AT + PAGE, CODE_AT + 4 * PAGE)
  })
  assert.equal(sum, BOTH)
})
