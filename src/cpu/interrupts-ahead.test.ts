/**
 * What the processor does about interrupts by itself: code in real mode, whose handler halts.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cpu } from './cpu.ts'
import { RFLAGS } from './state.ts'
import { CODE, HANDLER, RealModeMachine } from './test-real-mode.ts'

const STACK = 0x3000
const VECTOR = 0x51
const [CLI, STI, NOP] = [0xfa, 0xfb, 0x90]
const EOI_MSR = 0x80b
const WRMSR = [0x0f, 0x30]
/** mov ecx, 0x80b; xor edx, edx; xor eax, eax; wrmsr */
const EOI = [0x66, 0xb9, EOI_MSR & 0xff, EOI_MSR >> 8, 0, 0, 0x66, 0x31, 0xd2, 0x66, 0x31, 0xc0,
  ...WRMSR]

function processor(...code: number[]): Cpu {
  return new RealModeMachine(code, [VECTOR]).processor(STACK)
}

/** Runs with interrupts off at first, and one that waits. */
function runWaiting(cpu: Cpu, vector: number): string {
  cpu.context.systemFlags &= ~BigInt(RFLAGS.IF)
  cpu.requestWindow(true)
  cpu.ahead.allow(vector, false)
  return cpu.run(1000)
}

test('an interrupt that was offered is taken once the instruction behind STI is over', () => {
  const machine = new RealModeMachine([NOP, STI, NOP, NOP, NOP], [VECTOR])
  const cpu = machine.processor(STACK)
  assert.equal(runWaiting(cpu, VECTOR), 'halt')
  assert.equal(cpu.context.rip, BigInt(HANDLER + 1))
  assert.equal(cpu.ahead.taken, VECTOR)
  assert.equal(machine.returnAddress(cpu), CODE + 3)
})

test('it is not while interrupts are off, nor against CR8, nor when none was', () => {
  const off = processor(NOP, STI, CLI, NOP)
  assert.equal(runWaiting(off, VECTOR), 'halt')
  assert.equal(off.ahead.taken, 0)
  const masked = processor(STI, NOP)
  masked.context.cr8 = BigInt(VECTOR >> 4)
  assert.equal(runWaiting(masked, VECTOR), 'window')
  assert.equal(masked.ahead.taken, 0)
  assert.equal(runWaiting(processor(STI, NOP), 0), 'window')
})

test('one EOI that may be quiet is noted; the next leaves', () => {
  const cpu = processor(...EOI, NOP, ...EOI)
  cpu.ahead.allow(0, true)
  assert.equal(cpu.ahead.ended, false)
  assert.equal(cpu.run(1000), 'wrmsr')
  assert.equal(cpu.exit.address, EOI_MSR)
  assert.equal(cpu.ahead.ended, true)
  assert.equal(cpu.context.rip, BigInt(CODE + 2 * EOI.length + 1))
  cpu.ahead.allow(0, false)
  assert.equal(cpu.ahead.ended, false)
})

test('an EOI that is not zero leaves, as every EOI that may not be quiet', () => {
  const odd = processor(...EOI.slice(0, -2), 0x66, 0x40, ...WRMSR)
  odd.ahead.allow(0, true)
  assert.equal(odd.run(1000), 'wrmsr')
  assert.equal(odd.ahead.ended, false)
  const loud = processor(...EOI)
  loud.ahead.allow(0, false)
  assert.equal(loud.run(1000), 'wrmsr')
  assert.equal(loud.ahead.ended, false)
})
