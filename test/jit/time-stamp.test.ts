/**
 * What guests read from the time stamp counter while the clock is not asked for each reading: a
 * loop that stores what it reads, interpreted and compiled.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import type { EngineOptions } from '../../src/cpu/engine.ts'
import { Code, R14, RAX, RBX, RCX, RDI, RSP } from './encoder.ts'
import { CODE_AT, DATA, DATA_AT, STACK_TOP, TestMachine } from './machine.ts'

const PAGE = 4096
const WINDOW = 100
const ROUNDS = 200
/** Instructions before the first reading, and of a round without what comes between readings. */
const [BEFORE, ROUND] = [3, 5]
/** How often code is jumped to before it is compiled, or 0. */
const heatLimits = [0, 1] as const

/** Reads the counter so often, with `between` after each reading, and halts. */
function readingLoop(between: (code: Code) => void): Code {
  const code = new Code(CODE_AT)
  code.constant(RBX, ROUNDS)
  code.constant(RDI, DATA_AT)
  code.constant(RCX, 0)
  code.label('round')
  code.raw(0x0f, 0x31)
  code.op([0x89], RAX, { base: RDI, displacement: 0 })
  code.op([0x83], 0, RDI) // add edi, 4
  code.raw(4)
  between(code)
  code.op([0xff], 1, RBX) // dec ebx
  code.to('round', 4, 0x0f, 0x85)
  code.raw(0xcc)
  return code
}

function nops(count: number): (code: Code) => void {
  return (code) => code.raw(...new Array<number>(count).fill(0x90))
}

/** A machine that is about to run the loop. */
function machineOf(code: Code, heatLimit: number, options: Partial<EngineOptions>): TestMachine {
  const machine = new TestMachine(heatLimit, { tscWindow: WINDOW, ...options })
  const registers = new Array<bigint>(16).fill(0n)
  registers[RSP] = BigInt(STACK_TOP)
  registers[R14] = BigInt(DATA_AT + PAGE)
  const nothing = new Uint8Array(0)
  machine.load({
    code: code.finish(), spare: nothing, entry: CODE_AT, data: nothing, registers, vectors: [],
    flags: 0, cpl: 0,
  })
  return machine
}

function readingsOf(machine: TestMachine): number[] {
  return [...new Uint32Array(machine.bytes.buffer, DATA, ROUNDS)]
}

function assertLater(readings: readonly number[]): void {
  readings.forEach((reading, i) => assert.ok(i === 0 || reading > readings[i - 1]!, `${readings}`))
}

test('readings go forward, are not ahead of the clock, and old by less than the window', () => {
  for (const heatLimit of heatLimits) {
    for (const count of [0, 1, 7, 40, 200]) {
      let asked = 0
      // A tick for each instruction.
      const machine: TestMachine = machineOf(readingLoop(nops(count)), heatLimit, {
        tsc: () => {
          asked++
          return machine.cpu.executed
        },
      })
      assert.equal(machine.run(1_000_000), 'halt')
      const readings = readingsOf(machine)
      assertLater(readings)
      readings.forEach((reading, i) => {
        const clock = BEFORE + i * (ROUND + count)
        assert.ok(reading <= clock && reading > clock - WINDOW, `${i}: ${reading} at ${clock}`)
      })
      const most = Math.min(ROUNDS, Math.ceil(ROUNDS * (ROUND + count) / WINDOW) + 1)
      assert.ok(asked <= most, `${count}: ${asked}`)
    }
  }
})

test('readings go forward while the clock stands', () => {
  for (const heatLimit of heatLimits) {
    const machine = machineOf(readingLoop(nops(0)), heatLimit, { tsc: () => 7 })
    machine.run(1_000_000)
    assertLater(readingsOf(machine))
  }
})

test('without a window each reading is what the clock says', () => {
  let ticks = 0
  const machine = machineOf(readingLoop(nops(0)), 0, { tscWindow: 0, tsc: () => ++ticks + 0.5 })
  machine.run(1_000_000)
  assert.deepEqual(readingsOf(machine), Array.from({ length: ROUNDS }, (_, i) => i + 1))
})

test('the clock is asked in each run', () => {
  let asked = 0
  const machine = machineOf(readingLoop(nops(0)), 0, { tsc: () => ++asked * 1000 })
  for (let i = 0; i < 10; i++) machine.run(ROUND, true)
  assert.equal(asked, 10)
})

test('the clock is asked after a block of memory', () => {
  /** rdi is kept in rdx; mov rdi, r14; mov ecx, 1000; rep stosb */
  const fill = (code: Code): void => {
    code.op([0x89], RDI, 2, { width: 64 })
    code.op([0x89], R14, RDI, { width: 64 })
    code.constant(RCX, 1000)
    code.raw(0xf3, 0xaa)
    code.op([0x89], 2, RDI, { width: 64 })
  }
  for (const heatLimit of heatLimits) {
    let asked = 0
    const tsc = (): number => ++asked * 1000
    const machine = machineOf(readingLoop(fill), heatLimit, { tsc, tscWindow: 1_000_000 })
    machine.run(1_000_000)
    assert.equal(asked, ROUNDS)
  }
})
