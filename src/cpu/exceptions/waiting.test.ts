/**
 * Events whose frames go where there is no memory yet: they wait in the context.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Cpu } from '../cpu.ts'
import { LEAF_ENTRIES, P2M_MFN_SHIFT, P2M_POD, P2M_RAM_RW } from '../p2m-format.ts'
import { CPU_CONTEXT_SIZE, CpuContext, RFLAGS, setFlags } from '../state.ts'

const PAGES = 64
const P2M = 0x10_0000
const LEAF = 0x12_0000
const CODE = 0x500
const HANDLER = 0x600
const STACK_PAGE = 2
const [UD2, NOP, HLT] = [[0x0f, 0x0b], 0x90, 0xf4]
const UD = 6
const NMI = 2
const IRQ = 0x20

/** A processor in real mode whose stack is populated on demand; handlers halt. */
class Stackless {
  readonly #memory = new WebAssembly.Memory({ initial: PAGES, maximum: PAGES, shared: true })
  readonly #words = new Uint32Array(this.#memory.buffer)
  readonly #view = new DataView(this.#memory.buffer)
  cpu = this.#processor()

  constructor(...code: number[]) {
    this.#words[P2M >>> 2] = LEAF >>> 12
    for (let gfn = 0; gfn < LEAF_ENTRIES; gfn++) this.#set(gfn, P2M_RAM_RW)
    this.#set(STACK_PAGE, P2M_POD)
    for (const vector of [NMI, UD, IRQ]) this.#view.setUint32(vector * 4, HANDLER, true)
    new Uint8Array(this.#memory.buffer).set([...code, HLT], CODE)
    this.#view.setUint8(HANDLER, HLT)
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
    context.gpr.set(4, BigInt((STACK_PAGE + 1) * 4096))
    setFlags(context, RFLAGS.IF | 2)
    this.cpu.loadContext(bytes)
  }

  #processor(): Cpu {
    const cpu = new Cpu({ machine: this.#memory, doorbell: 0, tsc: () => 0, random: () => 0 })
    cpu.setMemory(P2M)
    return cpu
  }

  #set(gfn: number, type: number): void {
    this.#words[(LEAF >>> 2) + gfn] = gfn << P2M_MFN_SHIFT | type
  }

  /** The stack is there now, and the vcpu on another core. */
  populateAndMove(): void {
    this.#set(STACK_PAGE, P2M_RAM_RW)
    const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
    this.cpu.saveContext(bytes)
    this.cpu = this.#processor()
    this.cpu.loadContext(bytes)
  }

  /** Where the handler returns to, once it has halted. */
  returnAddress(): number {
    assert.equal(this.cpu.run(1000), 'halt')
    assert.equal(this.cpu.context.rip, BigInt(HANDLER + 1))
    return this.#view.getUint16(Number(this.cpu.context.gpr.get(4)), true)
  }
}

test('an exception leaves with the address of the stack, and is delivered by the next run', () => {
  const machine = new Stackless(NOP, ...UD2)
  assert.equal(machine.cpu.run(1000), 'delivery')
  assert.equal(Math.floor(machine.cpu.exit.address / 4096), STACK_PAGE)
  assert.equal(machine.cpu.context.rip, BigInt(CODE + 1))
  machine.populateAndMove()
  assert.equal(machine.returnAddress(), CODE + 1)
})

test('so are an interrupt and an NMI, before any instruction and any other interrupt', () => {
  const events: [(cpu: Cpu) => void, number][] = [
    [(cpu) => cpu.injectInterrupt(IRQ), 0], [(cpu) => cpu.injectNmi(), 1],
  ]
  for (const [inject, blocked] of events) {
    const machine = new Stackless(NOP, NOP)
    inject(machine.cpu)
    assert.equal(machine.cpu.run(1000), 'delivery')
    machine.populateAndMove()
    assert.equal(machine.cpu.canTakeInterrupt(), false)
    assert.equal(machine.returnAddress(), CODE)
    assert.equal(machine.cpu.context.nmiBlocked, blocked)
  }
})
