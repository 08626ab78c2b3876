/**
 * What a core forgets when others write to frames of guests.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { WRITTEN_FRAMES } from '../hypervisor/host/state.ts'
import { Core } from './core.ts'
import { ScriptedCpu } from './scripted-cpu.ts'

test('code of a frame that another domain has written is forgotten before a guest runs', () => {
  const { host, hypervisor, ...machine } = withGuest()
  const core = new Core({ index: 0, host, dispatcher: hypervisor.dispatcher, ...machine })
  const { log } = machine.cpu
  core.step()
  log.length = 0
  host.frameWritten(0x123)
  host.frameWritten(0x456)
  core.step()
  core.step()
  assert.deepEqual(log, ['forget code 123000', 'forget code 456000'])
  for (let i = 0; i <= WRITTEN_FRAMES; i++) host.frameWritten(i)
  log.length = 0
  core.step()
  core.step()
  assert.deepEqual(log, ['flush code'])
})

function withGuest() {
  const m = new TestMachine()
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  contextOf(m.vcpu(m.guest())).systemFlags = BigInt(RFLAGS.IF | 2)
  return { host: m.host, hypervisor: m.hypervisor, guests, cpu: new ScriptedCpu() }
}
