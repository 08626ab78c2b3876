/**
 * Timers of vcpus that wait: who fires them, and what a vcpu does for which nothing came of it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { SCHEDOP_watchdog, SHUTDOWN_watchdog } from '../abi/xen/sched.ts'
import { __HYPERVISOR_sched_op, VIRQ_TIMER } from '../abi/xen/xen.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import { VPF_blocked, VPF_polling } from '../hypervisor/domain/state.ts'
import { bindVirq } from '../hypervisor/events/bind.ts'
import { Events } from '../hypervisor/events/events.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { interrupt } from '../hypervisor/events/upcall.ts'
import { Timekeeper } from '../hypervisor/time/timekeeper.ts'
import { Core } from './core.ts'
import { act, ScriptedCpu } from './scripted-cpu.ts'

test('a vcpu that blocks is run for its timer, and blocks again when nobody is told of it', () => {
  const { core, cpu, clock, host, vcpu, time } = blocked()
  time.singleshot = clock.nowNs + 1000
  host.kickCore(0)
  core.step()
  clock.nowNs += 1000
  assert.ok(core.step())
  assert.equal(cpu.log.some((line) => line.startsWith('interrupt')), false)
  while (core.step()) assert.ok(cpu.runs < 10)
  assert.ok(vcpu.state.flags & VPF_blocked)
  assert.equal(time.singleshot, Infinity)
  assert.equal(cpu.runs, 1)
})

test('an event at the same time keeps it from blocking again', () => {
  const { core, cpu, clock, host, vcpu, time } = blocked()
  time.singleshot = clock.nowNs + 1000
  host.kickCore(0)
  core.step()
  clock.nowNs += 1000
  interrupt(vcpu)
  core.step()
  core.step()
  assert.equal(vcpu.state.flags & VPF_blocked, 0)
  assert.equal(cpu.runs, 3)
})

test('an upcall ends a poll of other ports', () => {
  const { host, vcpu } = blocked()
  vcpu.clearFlag(VPF_blocked)
  const events = Events.of(host)
  events.beginPoll(vcpu, 5)
  assert.ok(vcpu.state.flags & VPF_polling)
  interrupt(vcpu)
  assert.equal(vcpu.state.flags, 0)
})

test('of several that wait, each is run at its time', () => {
  const { core, clock, host, vcpu, m } = blocked()
  const other = m.vcpu(m.guest())
  contextOf(other).systemFlags = BigInt(RFLAGS.IF | 2)
  while (core.step()) if (core.current === other) other.setFlag(VPF_blocked)
  const time = Timekeeper.of(host)
  time.stateOf(vcpu).singleshot = clock.nowNs + 1000
  time.stateOf(other).singleshot = clock.nowNs + 3000
  host.kickCore(0)
  core.step()
  for (const [ns, expected, next] of [[1000, vcpu, 2000], [2000, other, Infinity]] as const) {
    clock.nowNs += ns
    assert.ok(core.step())
    assert.equal(core.current, expected)
    while (core.step());
    assert.equal(core.idleDeadline, clock.nowNs + next)
  }
})

test('a watchdog that another of the guest\'s vcpus winds is one of the first\'s timers', () => {
  const { m, core, clock, vcpu } = blocked(2)
  const { domain } = vcpu
  const { status } = m.op(m.vcpu(domain, 1), __HYPERVISOR_sched_op, SCHEDOP_watchdog, [0, 3])
  assert.equal(status, 1)
  core.step()
  assert.equal(core.idleDeadline, clock.nowNs + 3e9)
  clock.nowNs += 3e9
  while (core.step());
  assert.equal(domain.state.shutdownCode, SHUTDOWN_watchdog)
})

test('a timer that fires ends no run of its vcpu', () => {
  const { core, cpu, clock, guests, host, vcpu, time } = blocked()
  guests.vcpuOf(vcpu).lapic.mmioWrite(0xf0, 4, 0x1ff)
  const bound = bindVirq(Events.of(host), vcpu.domain, VIRQ_TIMER, vcpu.id)
  assert.ok(bound > 0)
  vcpu.state.upcallVector = 0xf3
  time.singleshot = clock.nowNs + 1000
  host.kickCore(0)
  core.step()
  clock.nowNs += 1000
  assert.ok(core.step())
  assert.deepEqual(cpu.log, ['interrupt f3'])
  assert.equal(host.machine.cells[host.core(0).kickWord >>> 2], 0)
  assert.equal(vcpu.state.work, 0)
})

/** A core whose only guest has halted. */
function blocked(vcpus = 1) {
  const m = new TestMachine()
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  const vcpu = m.vcpu(m.guest(vcpus))
  contextOf(vcpu).systemFlags = BigInt(RFLAGS.IF | 2)
  const cpu = new ScriptedCpu()
  const core = new Core({
    index: 0, host: m.host, dispatcher: m.hypervisor.dispatcher, cpu, guests,
  })
  cpu.acts.push(act('halt'))
  while (core.step());
  cpu.log.length = 0
  const { clock, host } = m
  return { m, core, cpu, clock, guests, host, vcpu, time: Timekeeper.of(host).stateOf(vcpu) }
}
