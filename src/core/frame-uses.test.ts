/**
 * What a core forgets when others write to frames of guests, and what it tells others.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { codeUse, storeUse } from '../cpu/mmu/frame-uses.ts'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import type { Host } from '../hypervisor/host/host.ts'
import { NOTES } from '../hypervisor/host/state.ts'
import { Core } from './core.ts'
import { ScriptedCpu } from './scripted-cpu.ts'

/** Sets bits in the word of a frame, as processors do. */
function use(host: Host, mfn: number, bits: number): void {
  Atomics.or(host.machine.cells, (host.state.frameUses >>> 2) + mfn, bits)
}

test('code of a frame that another domain has written is forgotten before a guest runs', () => {
  const { core, cpu, host } = withGuest()
  use(host, 0x123, codeUse(0))
  use(host, 0x456, codeUse(0))
  host.frameUses.written(0x123)
  host.frameUses.written(0x456)
  core.step()
  core.step()
  assert.deepEqual(cpu.log, ['forget code 123000', 'forget code 456000'])
})

test('what nobody has code from is written without a note', () => {
  const { host } = withGuest()
  const { count } = host.frameUses
  host.frameUses.written(0x123)
  use(host, 0x123, storeUse(3))
  host.frameUses.written(0x123)
  assert.equal(host.frameUses.count, count)
})

test('who missed notes forgets all code, and what it may have stored to is known', () => {
  const { core, cpu, host } = withGuest()
  for (let i = 0; i <= NOTES; i++) {
    use(host, 7, codeUse(0))
    host.frameUses.written(7)
  }
  use(host, 9, storeUse(0) | codeUse(1))
  core.step()
  core.step()
  assert.deepEqual(cpu.log, ['flush code', 'forget stores 9000'])
})

test('who is asked to drop entries for stores does so', () => {
  const { core, cpu, host } = withGuest()
  use(host, 5, storeUse(0) | codeUse(1))
  assert.equal(host.frameUses.ask(5, 1), codeUse(0))
  core.step()
  assert.deepEqual(cpu.log, ['forget stores 5000'])
})

test('a locked instruction that is not one access is carried out alone', () => {
  const { core, cpu } = withGuest()
  cpu.acts.push(() => 'bus-lock')
  core.step()
  assert.deepEqual(cpu.log, ['alone', 'with others'])
})

/** A core whose guest has run, with an empty log. */
function withGuest() {
  const m = new TestMachine(2)
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  contextOf(m.vcpu(m.guest())).systemFlags = BigInt(RFLAGS.IF | 2)
  const cpu = new ScriptedCpu()
  const core = new Core({
    index: 0, host: m.host, dispatcher: m.hypervisor.dispatcher, cpu, guests,
  })
  core.step()
  cpu.log.length = 0
  return { core, cpu, host: m.host }
}
