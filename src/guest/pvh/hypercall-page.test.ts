/** The hypercall page, and what having it made says of the guest. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EFER } from '../../abi/x86/control.ts'
import { CS } from '../../abi/x86/registers.ts'
import { SEGMENT_DB, SEGMENT_L } from '../../cpu/state.ts'
import { contextOf } from '../../hypervisor/domain/context.ts'
import { TestMachine } from '../../hypervisor/events/test-machine.ts'
import { PvhPlatform } from './platform.ts'

const HYPERCALL_MSR = 0x4000_0000

test('who has the page made decides by its mode which shape shared_info has', () => {
  const m = new TestMachine()
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  const domain = m.guest()
  const guest = guests.vcpuOf(m.vcpu(domain))
  const context = contextOf(m.vcpu(domain))
  context.segments.item(CS).attributes = SEGMENT_DB
  guest.enter(context)
  assert.ok(guest.writeMsr(HYPERCALL_MSR, 0x9000n))
  assert.equal(domain.state.sharedInfo32, 1)
  context.efer = BigInt(EFER.LMA)
  context.segments.item(CS).attributes = SEGMENT_L
  assert.ok(guest.writeMsr(HYPERCALL_MSR, 0x9000n))
  assert.equal(domain.state.sharedInfo32, 0)
})
