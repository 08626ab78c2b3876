/**
 * Timers, watchdogs, runstates and the scale of the TSC.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EINVAL, ENOENT, ENOSPC } from '../../abi/xen/errno.ts'
import { SCHEDOP_watchdog, SHUTDOWN_watchdog } from '../../abi/xen/sched.ts'
import * as V from '../../abi/xen/vcpu.ts'
import {
  __HYPERVISOR_sched_op, __HYPERVISOR_set_timer_op, __HYPERVISOR_vcpu_op, SharedInfo,
  VMASST_TYPE_runstate_update_flag,
} from '../../abi/xen/xen.ts'
import type { Vcpu } from '../domain/vcpu.ts'
import { TestMachine } from '../events/test-machine.ts'
import { ticksOf, tscScale } from './scale.ts'
import { Timekeeper } from './timekeeper.ts'

const AT = 0x900

/** VCPUOP with a struct of 64-bit words at AT. */
function vcpuOp(m: TestMachine, vcpu: Vcpu, command: number, target: number, ...words: number[]) {
  const { bytes } = m.host.machine
  const at = m.at(vcpu.domain, AT)
  words.forEach((word, i) => bytes.setBigUint64(at + i * 8, BigInt(word), true))
  return m.call(vcpu, __HYPERVISOR_vcpu_op, command, target, AT)
}

test('the scale turns ticks into nanoseconds within one in a million, at any rate', () => {
  for (const khz of [1_000, 999_999, 1_000_000, 2_000_000, 2_445_842, 5_000_000]) {
    const { mul, shift } = tscScale(khz)
    assert.ok(mul >= 0x8000_0000 && mul <= 0xffff_ffff)
    const ns = ticksOf(1e9, khz) * 2 ** shift * mul / 2 ** 32
    assert.ok(Math.abs(ns - 1e9) <= 1000, `${khz} kHz: ${ns}`)
  }
})

test('a singleshot timer that is late fires at once, even if it was to be ahead', () => {
  const m = new TestMachine()
  const vcpu = m.vcpu(m.guest(2))
  m.clock.nowNs += 5000
  const future = V.VCPU_SSHOTTMR_future
  for (const flags of [0, future]) {
    assert.equal(vcpuOp(m, vcpu, V.VCPUOP_set_singleshot_timer, 0, 100, flags), 0)
    assert.ok(Timekeeper.of(m.host).nextDeadline(vcpu) < m.clock.nowNs)
    assert.equal(vcpuOp(m, vcpu, V.VCPUOP_stop_singleshot_timer, 0), 0)
    assert.equal(Timekeeper.of(m.host).nextDeadline(vcpu), Infinity)
  }
  assert.equal(vcpuOp(m, vcpu, V.VCPUOP_set_singleshot_timer, 1, 100, 0), -EINVAL)
  assert.equal(vcpuOp(m, vcpu, V.VCPUOP_is_up, 9), -ENOENT)
})

test('set_timer_op takes system time, and 0 stops', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const vcpu = m.vcpu(domain)
  m.call(vcpu, __HYPERVISOR_set_timer_op, 7_000)
  assert.equal(Timekeeper.of(m.host).nextDeadline(vcpu), domain.state.bornNs + 7_000)
  m.call(vcpu, __HYPERVISOR_set_timer_op, 0)
  assert.equal(Timekeeper.of(m.host).nextDeadline(vcpu), Infinity)
})

test('a periodic timer keeps its phase and is not shorter than a millisecond', () => {
  const m = new TestMachine()
  const vcpu = m.vcpu(m.guest())
  const time = Timekeeper.of(m.host)
  assert.equal(vcpuOp(m, vcpu, V.VCPUOP_set_periodic_timer, 0, 999_999), -EINVAL)
  assert.equal(vcpuOp(m, vcpu, V.VCPUOP_set_periodic_timer, 0, 2_000_000), 0)
  const start = m.clock.nowNs
  time.expire(vcpu, start + 7_000_000)
  assert.equal(time.nextDeadline(vcpu), start + 8_000_000)
})

test('the two watchdogs are given out, wound and stopped; one that fires ends the domain', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const vcpu = m.vcpu(domain)
  const watchdog = (id: number, seconds: number) =>
    m.op(vcpu, __HYPERVISOR_sched_op, SCHEDOP_watchdog, [id, seconds]).status
  assert.equal(watchdog(0, 10), 1)
  assert.equal(watchdog(0, 10), 2)
  // A word, as from Xen.
  assert.equal(watchdog(0, 10), -ENOSPC >>> 0)
  assert.equal(watchdog(2, 0), 0)
  assert.equal(watchdog(2, 5), -EINVAL)
  const time = Timekeeper.of(m.host)
  time.expire(vcpu, m.clock.nowNs + 10e9)
  assert.equal(domain.state.shutdownCode, SHUTDOWN_watchdog)
})

test('a watchdog of no seconds fires at once', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const vcpu = m.vcpu(domain)
  assert.equal(m.op(vcpu, __HYPERVISOR_sched_op, SCHEDOP_watchdog, [0, 0]).status, 1)
  Timekeeper.of(m.host).expire(vcpu, m.clock.nowNs)
  assert.equal(domain.state.shutdownCode, SHUTDOWN_watchdog)
})

test('runstate times add up to the time that passed', () => {
  const m = new TestMachine()
  const vcpu = m.vcpu(m.guest())
  const time = Timekeeper.of(m.host)
  time.changeRunstate(vcpu, V.RUNSTATE_running, m.clock.nowNs += 100)
  time.changeRunstate(vcpu, V.RUNSTATE_blocked, m.clock.nowNs += 30)
  m.clock.nowNs += 7
  const op = V.VcpuRunstateInfo.on(new ArrayBuffer(V.VcpuRunstateInfo.size))
  time.describeRunstate(vcpu, op)
  assert.equal(op.state, V.RUNSTATE_blocked)
  assert.deepEqual([0, 1, 2, 3].map((i) => op.time.get(i)), [30, 100, 7, 0])
})

test('a runstate area says that it is written to before anything else in it changes', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const vcpu = m.vcpu(domain)
  const time = Timekeeper.of(m.host)
  const { bytes } = m.host.machine
  const at = m.at(domain, AT)
  const shown = () => [bytes.getInt32(at, true), bytes.getUint8(at + 15)]
  const seen: number[][] = []
  domain.state.vmAssist = 1 << VMASST_TYPE_runstate_update_flag
  time.stateOf(vcpu).runstateArea = AT
  time.changeRunstate(vcpu, V.RUNSTATE_offline, m.clock.nowNs)
  bytes.setInt32(at, V.RUNSTATE_blocked, true)
  vcpu.setTranslate((linear, write) => {
    seen.push(shown())
    return domain.p2m.translate(linear, write)
  })
  time.showRunstate(vcpu)
  assert.deepEqual([...seen, shown()], [
    [V.RUNSTATE_blocked, 0], [V.RUNSTATE_blocked, 0x80], [V.RUNSTATE_offline, 0x80],
    [V.RUNSTATE_offline, 0],
  ])
})

test('the wall clock is the epoch of system time 0, under an even version', () => {
  const m = new TestMachine()
  const domain = m.guest()
  const at = domain.state.sharedInfoMfn * 4096
  const { bytes } = m.host.machine
  assert.equal(bytes.getUint32(at + SharedInfo.offsets.wc_version, true) % 2, 0)
  assert.equal(bytes.getUint32(at + SharedInfo.offsets.wc_sec, true), 1_700_000_000)
})
