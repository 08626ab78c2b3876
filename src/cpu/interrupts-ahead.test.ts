/**
 * What the processor does about interrupts by itself: code in real mode, whose handler halts.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cpu } from './cpu.ts'
import { LEAF_ENTRIES, P2M_MFN_SHIFT, P2M_RAM_RW } from './p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext, RFLAGS, setFlags } from './state.ts'

const PAGES = 64
const P2M = 0x10_0000
const LEAF = 0x12_0000
const CODE = 0x500
const HANDLER = 0x600
const VECTOR = 0x51
const [CLI, STI, NOP, HLT] = [0xfa, 0xfb, 0x90, 0xf4]
const EOI_MSR = 0x80b
const WRMSR = [0x0f, 0x30]
/** mov ecx, 0x80b; xor edx, edx; xor eax, eax; wrmsr */
const EOI = [0x66, 0xb9, EOI_MSR & 0xff, EOI_MSR >> 8, 0, 0, 0x66, 0x31, 0xd2, 0x66, 0x31, 0xc0,
  ...WRMSR]

function machine(...code: number[]): { cpu: Cpu, memory: DataView } {
  const memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
  const words = new Uint32Array(memory.buffer)
  words[P2M >>> 2] = LEAF >>> 12
  for (let gfn = 0; gfn < LEAF_ENTRIES; gfn++) {
    words[(LEAF >>> 2) + gfn] = gfn << P2M_MFN_SHIFT | P2M_RAM_RW
  }
  words[VECTOR] = HANDLER
  const octets = new Uint8Array(memory.buffer)
  octets.set([...code, HLT], CODE)
  octets[HANDLER] = HLT
  const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
  const context = CpuContext.on(bytes)
  for (let i = 0; i < 6; i++) {
    const segment = context.segments.item(i)
    segment.limit = 0xffff
    segment.attributes = i === 1 ? 0x9b : 0x93
  }
  context.idtr.limit = 0x3ff
  context.cr0 = 0x10n
  context.rip = BigInt(CODE)
  context.gpr.set(4, 0x3000n)
  setFlags(context, RFLAGS.IF | 2)
  const cpu = new Cpu({ machine: memory, doorbell: 0, tsc: () => 0, random: () => 0 })
  cpu.setMemory(P2M)
  cpu.loadContext(bytes)
  return { cpu, memory: new DataView(memory.buffer) }
}

const processor = (...code: number[]): Cpu => machine(...code).cpu

/** Runs with interrupts off at first, and one that waits. */
function runWaiting(cpu: Cpu, vector: number): string {
  cpu.context.systemFlags &= ~BigInt(RFLAGS.IF)
  cpu.requestWindow(true)
  cpu.ahead.allow(vector, false)
  return cpu.run(1000)
}

test('an interrupt that was offered is taken once the instruction behind STI is over', () => {
  const { cpu, memory } = machine(NOP, STI, NOP, NOP, NOP)
  assert.equal(runWaiting(cpu, VECTOR), 'halt')
  assert.equal(cpu.context.rip, BigInt(HANDLER + 1))
  assert.equal(cpu.ahead.taken, VECTOR)
  assert.equal(memory.getUint16(Number(cpu.context.gpr.get(4)), true), CODE + 3)
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
