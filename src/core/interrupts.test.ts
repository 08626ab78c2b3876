/** Interrupts between a LAPIC and a scripted processor. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { HVM_PARAM_CALLBACK_IRQ } from '../abi/xen/hvm/params.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import type { PvhVcpu } from '../guest/pvh/vcpu.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { vcpuInfoAt } from '../hypervisor/events/upcall.ts'
import { deliverInterrupts, settleInterrupts } from './interrupts.ts'
import { ScriptedCpu } from './scripted-cpu.ts'

/** APIC_BASE of the first processor in x2APIC mode. */
const X2APIC = 0xfee0_0d00
const SVR_MSR = 0x80f
const INTERRUPTS_ON = 0x202n
const INTERRUPTS_OFF = 2n

/** A vcpu with an x2APIC, that the processor has. */
function entered(flags: bigint): { cpu: ScriptedCpu, guest: PvhVcpu } {
  const m = new TestMachine()
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  const guest = guests.vcpuOf(m.vcpu(m.guest()))
  const cpu = new ScriptedCpu()
  cpu.context.systemFlags = flags
  guest.enter(cpu.context)
  guest.lapic.writeBase(X2APIC, 0)
  guest.lapic.writeMsr(SVR_MSR, 0x1ff, 0)
  return { cpu, guest }
}

function offeredIn({ ahead }: ScriptedCpu): [number, boolean] {
  return [ahead.offered, ahead.quietEoi]
}

test('what the processor takes and ends by itself, the LAPIC hears of afterwards', () => {
  const { cpu, guest } = entered(INTERRUPTS_OFF)
  guest.lapic.raise(0x55)
  deliverInterrupts(cpu, guest)
  assert.deepEqual(offeredIn(cpu), [0x55, true])
  cpu.ahead.taken = 0x55
  settleInterrupts(cpu, guest)
  guest.lapic.raise(0x51)
  assert.equal(guest.pendingVector(), -1)
  deliverInterrupts(cpu, guest)
  assert.deepEqual(offeredIn(cpu), [0, false])
  guest.end()
  deliverInterrupts(cpu, guest)
  assert.deepEqual(offeredIn(cpu), [0x51, true])
  cpu.ahead.taken = 0x51
  cpu.ahead.ended = true
  settleInterrupts(cpu, guest)
  deliverInterrupts(cpu, guest)
  assert.deepEqual(offeredIn(cpu), [0, false])
})

test('what is requested anew while the processor has it is another interrupt', () => {
  for (const [taken, after] of [[0x55, [0x55, -1]], [0, [0x55, 0x55]]] as const) {
    const { cpu, guest } = entered(INTERRUPTS_OFF)
    guest.lapic.raise(0x55)
    deliverInterrupts(cpu, guest)
    cpu.ahead.taken = taken
    cpu.ahead.ended = taken !== 0
    const again = guest.lapic.raise(0x55)
    assert(again, 'it does not wait already')
    settleInterrupts(cpu, guest)
    const first = guest.pendingVector()
    if (taken !== 0) {
      guest.accept(first)
      guest.end()
    }
    assert.deepEqual([first, guest.pendingVector()], after)
  }
})

test('one that is delivered at once may be ended by the processor, if no other waits', () => {
  for (const [others, quiet] of [[[], true], [[0x21], false]] as const) {
    const { cpu, guest } = entered(INTERRUPTS_ON)
    for (const vector of [0x55, ...others]) guest.lapic.raise(vector)
    deliverInterrupts(cpu, guest)
    assert.deepEqual(cpu.log, ['interrupt 55'])
    assert.deepEqual(offeredIn(cpu), [0, quiet])
  }
})

test('the callback is not offered: the guest may clear the pending byte itself', () => {
  const { cpu, guest } = entered(INTERRUPTS_OFF)
  const { vcpu } = guest
  vcpu.domain.state.hvmParams.set(HVM_PARAM_CALLBACK_IRQ, 2n << 56n | 0xf3n)
  vcpu.host.machine.octets[vcpuInfoAt(vcpu)] = 1
  deliverInterrupts(cpu, guest)
  assert.deepEqual(offeredIn(cpu), [0, false])
})
