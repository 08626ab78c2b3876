/**
 * The local APIC as a guest sees it.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { ManualClock } from '../../base/clock.ts'
import { ApicBus } from './ipi.ts'
import { Lapic } from './lapic.ts'
import { LapicRest, LapicState, REG } from './lapic-state.ts'

interface Machine { clock: ManualClock, lapics: Lapic[], events: string[] }

function machine(count: number): Machine {
  const events: string[] = []
  const clock = new ManualClock()
  const bus = new ApicBus({
    nmi: (v) => { events.push(`nmi ${v}`) },
    init: (v) => { events.push(`init ${v}`) },
    startup: (v, vector) => { events.push(`sipi ${v} ${vector.toString(16)}`) },
    raised() {},
  })
  for (let i = 0; i < count; i++) {
    const state = LapicState.on(new SharedArrayBuffer(LapicState.size))
    const rest = LapicRest.on(new ArrayBuffer(LapicRest.size))
    const lapic = new Lapic(state, rest, i, clock, bus)
    lapic.reset()
    bus.lapics.push(lapic)
  }
  return { clock, lapics: bus.lapics, events }
}

function enabled(): { clock: ManualClock, lapic: Lapic } {
  const { clock, lapics } = machine(1)
  lapics[0]!.mmioWrite(REG.SVR, 4, 0x1ff)
  return { clock, lapic: lapics[0]! }
}

function toX2(lapic: Lapic): void {
  assert.ok(lapic.writeBase(0xfee00000 + 0xc00 + (lapic.vcpu === 0 ? 0x100 : 0), 0))
}

test('the highest vector above the task priority is delivered, and EOI uncovers the next', () => {
  const { lapic } = enabled()
  lapic.raise(0x41)
  lapic.raise(0xf3)
  assert.equal(lapic.pendingVector(), 0xf3)
  lapic.accept(0xf3)
  assert.equal(lapic.pendingVector(), -1)
  lapic.mmioWrite(REG.EOI, 4, 0)
  assert.equal(lapic.pendingVector(), 0x41)
  lapic.mmioWrite(REG.TPR, 4, 0x40)
  assert.equal(lapic.pendingVector(), -1)
  lapic.taskPriorityClass = 3
  assert.equal(lapic.pendingVector(), 0x41)
})

test('nothing is accepted while the APIC is disabled by software', () => {
  const { lapics } = machine(1)
  assert.equal(lapics[0]!.raise(0x41), false)
  lapics[0]!.mmioWrite(REG.SVR, 4, 0x1ff)
  assert.equal(lapics[0]!.pendingVector(), -1)
})

test('the version is 0x14 with six local vectors, and the id is twice the vcpu', () => {
  const { lapics } = machine(2)
  assert.equal(lapics[1]!.mmioRead(REG.VERSION, 4), 0x50014)
  assert.equal(lapics[1]!.mmioRead(REG.ID, 4), 2 << 24)
  toX2(lapics[1]!)
  assert.ok(lapics[1]!.readMsr(0x802))
  assert.equal(lapics[1]!.low, 2)
})

test('a one-shot timer fires once, after count times divisor times 10 ns', () => {
  const { lapic, clock } = enabled()
  lapic.mmioWrite(REG.LVT_TIMER, 4, 0xec)
  lapic.mmioWrite(REG.TIMER_DIVIDE, 4, 3)
  lapic.mmioWrite(REG.TIMER_INITIAL, 4, 1000)
  assert.equal(lapic.deadline, 160_000)
  clock.nowNs = 80_000
  assert.equal(lapic.mmioRead(REG.TIMER_CURRENT, 4), 500)
  lapic.expire(clock.nowNs)
  assert.equal(lapic.pendingVector(), -1)
  clock.nowNs = 160_000
  lapic.expire(clock.nowNs)
  assert.equal(lapic.pendingVector(), 0xec)
  assert.equal(lapic.deadline, Infinity)
  assert.equal(lapic.mmioRead(REG.TIMER_CURRENT, 4), 0)
})

test('a periodic timer keeps its phase and drops the ticks that were missed', () => {
  const { lapic, clock } = enabled()
  lapic.mmioWrite(REG.LVT_TIMER, 4, 1 << 17 | 0xec)
  lapic.mmioWrite(REG.TIMER_DIVIDE, 4, 11)
  lapic.mmioWrite(REG.TIMER_INITIAL, 4, 100_000)
  clock.nowNs = 3_400_000
  lapic.expire(clock.nowNs)
  assert.equal(lapic.pendingVector(), 0xec)
  assert.equal(lapic.deadline, 4_000_000)
})

test('the TSC deadline counts in the guest\'s ticks and reads zero after it fired', () => {
  const { lapic, clock } = enabled()
  lapic.mmioWrite(REG.LVT_TIMER, 4, 2 << 17 | 0xec)
  lapic.timer.tscOffset = -500
  lapic.tscDeadline = 1500n
  assert.equal(lapic.deadline, 2000)
  assert.equal(lapic.tscDeadline, 1500n)
  clock.nowNs = 2000
  lapic.expire(2000)
  assert.equal(lapic.pendingVector(), 0xec)
  assert.equal(lapic.tscDeadline, 0n)
})

test('x2APIC mode is entered from xAPIC mode and left only through disabling', () => {
  const { lapic } = enabled()
  assert.equal(lapic.readMsr(0x802), false)
  toX2(lapic)
  assert.equal(lapic.writeBase(0xfee00900, 0), false)
  assert.equal(lapic.writeBase(0xfee00100, 0), true)
  assert.equal(lapic.writeBase(0xfee00d00, 0), false)
  assert.equal(lapic.writeBase(0xfee01900, 0), false)
})

test('reserved bits and absent registers fault in x2APIC mode', () => {
  const { lapic } = enabled()
  toX2(lapic)
  assert.equal(lapic.writeMsr(0x80b, 1, 0), false)
  assert.equal(lapic.writeMsr(0x80d, 0, 0), false)
  assert.equal(lapic.readMsr(0x80e), false)
  assert.equal(lapic.readMsr(0x831), false)
  assert.equal(lapic.writeMsr(0x83f, 0x55, 0), true)
  assert.equal(lapic.pendingVector(), 0x55)
})

test('x2APIC registers take the bits that Xen lets through, and fault for any other', () => {
  const { lapic } = enabled()
  toX2(lapic)
  for (const [register, allowed] of [
    [REG.TPR, 0xff], [REG.SVR, 0x3ff], [REG.ICR, 0xccfff], [REG.TIMER_DIVIDE, 0xb],
    [REG.LVT_TIMER, 0x710ff], [REG.LVT_THERMAL, 0x117ff], [REG.LVT_PERF, 0x117ff],
    [REG.LVT_LINT0, 0x1f7ff], [REG.LVT_LINT1, 0x1f7ff], [REG.LVT_ERROR, 0x110ff],
  ] as const) {
    for (let bit = 0; bit < 32; bit++) {
      const accepted = lapic.writeMsr(0x800 + (register >>> 4), 1 << bit, 0)
      assert.equal(accepted, (allowed >>> bit & 1) !== 0, `${register.toString(16)}, bit ${bit}`)
    }
  }
})

test('a logical destination of x2APIC is a cluster of sixteen and its members', () => {
  const { lapics } = machine(10)
  for (const lapic of lapics) {
    toX2(lapic)
    lapic.writeMsr(0x80f, 0x1ff, 0)
  }
  lapics[0]!.writeMsr(0x830, 0x841, 0x0000_0014)
  lapics[0]!.writeMsr(0x830, 0x852, 0x0001_0005)
  assert.deepEqual(lapics.map((lapic) => lapic.pendingVector()),
    [-1, 0x41, 0x41, -1, -1, -1, -1, -1, 0x52, 0x52])
})

test('INIT and STARTUP reach the addressed processor', () => {
  const { lapics, events } = machine(3)
  const boot = lapics[0]!
  boot.mmioWrite(REG.ICR2, 4, 2 << 24)
  boot.mmioWrite(REG.ICR, 4, 0xc500)
  boot.mmioWrite(REG.ICR, 4, 0x8500)
  boot.mmioWrite(REG.ICR, 4, 0x0699)
  toX2(boot)
  boot.writeMsr(0x830, 0xc0400, 0)
  assert.deepEqual(events, ['init 1', 'sipi 1 99', 'nmi 1', 'nmi 2'])
})

test('fixed interrupts reach logical, broadcast and shorthand destinations', () => {
  const { lapics } = machine(3)
  for (const lapic of lapics) {
    lapic.mmioWrite(REG.SVR, 4, 0x1ff)
    lapic.mmioWrite(REG.LDR, 4, 1 << 24 + lapic.vcpu)
  }
  const pending = () => lapics.map((l) => l.pendingVector())
  lapics[0]!.mmioWrite(REG.ICR2, 4, 6 << 24)
  lapics[0]!.mmioWrite(REG.ICR, 4, 0x0840 | 1)
  assert.deepEqual(pending(), [-1, 0x41, 0x41])
  lapics[0]!.mmioWrite(REG.ICR2, 4, 0xff << 24 >>> 0)
  lapics[0]!.mmioWrite(REG.ICR, 4, 0x51)
  assert.deepEqual(pending(), [0x51, 0x51, 0x51])
  lapics[0]!.mmioWrite(REG.ICR, 4, 0xc0061)
  assert.deepEqual(pending(), [0x51, 0x61, 0x61])
})

test('an illegal vector is an error that ESR shows after it is written', () => {
  const { lapic } = enabled()
  lapic.mmioWrite(REG.LVT_ERROR, 4, 0xfe)
  lapic.mmioWrite(REG.ICR, 4, 0x40005)
  assert.equal(lapic.pendingVector(), 0xfe)
  assert.equal(lapic.mmioRead(REG.ESR, 4), 0)
  lapic.mmioWrite(REG.ESR, 4, 0)
  assert.equal(lapic.mmioRead(REG.ESR, 4), 0x20)
})

test('any access sequence leaves the state valid and throws nothing', () => {
  const u32 = fc.integer({ min: 0, max: 0xffff_ffff })
  fc.assert(fc.property(fc.array(fc.tuple(fc.nat(4), fc.nat(0x103f), u32, u32)), (steps) => {
    const { lapics, clock } = machine(2)
    for (const [kind, at, low, high] of steps) {
      const lapic = lapics[high & 1]!
      if (kind === 0) lapic.mmioWrite(at & 0xfff, 1 << low % 3, high)
      else if (kind === 1) assert.ok(lapic.mmioRead(at & 0xfff, 1 << low % 3) <= 0xffff_ffff)
      else if (kind === 2) lapic.writeMsr(0x800 + at % 64, low, high)
      else if (kind === 3) lapic.writeBase(low, high & 1)
      else lapic.expire(clock.nowNs += low)
      const vector = lapic.pendingVector()
      assert.ok(vector === -1 || vector >= 16 && vector < 256)
      if (vector >= 0) lapic.accept(vector)
      assert.ok(lapic.deadline >= 0)
    }
  }), { numRuns: 300 })
})
