/**
 * Events whose frames go where there is no memory yet: they wait in the context.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Cpu } from '../cpu.ts'
import { P2M_POD, P2M_RAM_RW } from '../p2m-format.ts'
import { CPU_CONTEXT_SIZE } from '../state.ts'
import { CODE, HANDLER, RealModeMachine } from '../test-real-mode.ts'

const STACK_PAGE = 2
const [UD2, NOP] = [[0x0f, 0x0b], 0x90]
const UD = 6
const NMI = 2
const IRQ = 0x20

/** A processor whose stack is populated on demand. */
class Stackless {
  readonly #machine: RealModeMachine
  cpu: Cpu

  constructor(...code: number[]) {
    this.#machine = new RealModeMachine(code, [NMI, UD, IRQ])
    this.#machine.setPage(STACK_PAGE, P2M_POD)
    this.cpu = this.#machine.processor((STACK_PAGE + 1) * 4096)
  }

  /** The stack is there now, and the vcpu on another core. */
  populateAndMove(): void {
    this.#machine.setPage(STACK_PAGE, P2M_RAM_RW)
    const bytes = new Uint8Array(CPU_CONTEXT_SIZE)
    this.cpu.saveContext(bytes)
    this.cpu = this.#machine.processorWith(bytes)
  }

  /** Where the handler returns to, once it has halted. */
  returnAddress(): number {
    assert.equal(this.cpu.run(1000), 'halt')
    assert.equal(this.cpu.context.rip, BigInt(HANDLER + 1))
    return this.#machine.returnAddress(this.cpu)
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
