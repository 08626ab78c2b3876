/**
 * Breakpoints by address; test/privileged has the traps that come of them.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import {
  BREAKPOINTS, instructionHits, portHits, Watching, watchingOf,
} from './debug.ts'
import { CPU_CONTEXT_SIZE, CpuContext, type CpuContextView, setFlags } from './state.ts'

const CR4_DE = 8n
const CR0_AM = 1n << 18n
const AC = 1 << 18

function context(dr7: number, ...addresses: bigint[]): CpuContextView {
  const c = CpuContext.on(new ArrayBuffer(CPU_CONTEXT_SIZE), 0)
  addresses.forEach((address, n) => c.dr.set(n, address))
  c.dr.set(7, BigInt(dr7))
  return c
}

test('breakpoints that are not enabled wait for nothing', () => {
  assert.equal(watchingOf(context(0x0333_0400, 1n, 2n)), 0)
})

test('local and global bits enable alike, and R/W says for what', () => {
  assert.equal(watchingOf(context(0x0000_0401)), Watching.EXECUTE)
  assert.equal(watchingOf(context(0x0000_0402)), Watching.EXECUTE)
  assert.equal(watchingOf(context(0x0010_0404)), Watching.DATA)
  assert.equal(watchingOf(context(0x3000_0440)), Watching.DATA)
  assert.equal(watchingOf(context(0x0010_0405)), Watching.DATA | Watching.EXECUTE)
})

test('ports are watched with CR4.DE only', () => {
  const c = context(0x0002_0401, 0x80n)
  assert.equal(watchingOf(c), 0)
  assert.equal(portHits(c, 0x80, 1), 0)
  c.cr4 = CR4_DE
  assert.equal(watchingOf(c), Watching.PORTS)
  assert.equal(portHits(c, 0x80, 1), 1)
  assert.equal(portHits(c, 0x7f, 2), 1)
  assert.equal(portHits(c, 0x81, 1), 0)
})

test('an instruction breakpoint matches its whole address, and each has its bit', () => {
  const c = context(0x0405, 0x1_0000_1000n, 0x1_0000_1000n)
  assert.equal(instructionHits(c, 0x1_0000_1000n), 3)
  assert.equal(instructionHits(c, 0x1000n), 0)
})

test('alignment is checked for the user, with CR0.AM and RFLAGS.AC, and needs no steps', () => {
  const c = context(0x400)
  setFlags(c, AC)
  c.cr0 = CR0_AM
  assert.equal(watchingOf(c), 0)
  c.cpl = 3
  assert.equal(watchingOf(c), Watching.ALIGNMENT)
  assert.equal(watchingOf(c) & BREAKPOINTS, 0)
  c.cr0 = 0n
  assert.equal(watchingOf(c), 0)
})
