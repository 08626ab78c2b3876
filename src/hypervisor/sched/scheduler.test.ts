/**
 * The scheduler with its policies, on a machine of many cores with a clock that jumps.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { XEN_SCHEDULER_CREDIT2 } from '../../abi/xen/domctl.ts'
import { VPF_blocked } from '../domain/state.ts'
import { createPool } from './cpupools.ts'
import { type ModelMachine as Machine, ModelMachine } from './model-machine.ts'

const MS = 1e6
const SECOND = 1e9

function near(actual: number, expected: number, tolerance: number, what: string): void {
  assert.ok(Math.abs(actual - expected) <= tolerance * expected,
    `${what}: ${actual} is not within ${tolerance} of ${expected}`)
}

for (const policy of ['credit2', 'credit']) {
  const machine = (cores: number): Machine => new ModelMachine(cores, `sched=${policy}`)

  test(`${policy}: weights of 256 and 512 give shares of 1 to 2`, () => {
    for (const cores of [1, 2, 4]) {
      const m = machine(cores)
      const light = m.guest(cores)
      const heavy = m.guest(cores, {}, { weight: 512 })
      m.run(2 * SECOND)
      near(m.ran(heavy) / m.ran(light), 2, 0.1, `on ${cores} cores`)
      near(m.ran(heavy) + m.ran(light), cores * 2 * SECOND, 0.001, 'all the time')
    }
  })

  test(`${policy}: a cap of 25 gives a quarter of a core, of 150 one and a half`, () => {
    const m = machine(2)
    const quarter = m.guest(1, {}, { cap: 25 })
    m.run(2 * SECOND)
    near(m.ran(quarter), 0.5 * SECOND, 0.05, 'alone')
    const more = m.guest(2, {}, { cap: 150 })
    const before = m.ran(quarter)
    m.run(2 * SECOND)
    near(m.ran(more), 3 * SECOND, 0.07, '150')
    near(m.ran(quarter) - before, 0.5 * SECOND, 0.07, 'beside another')
  })

  test(`${policy}: what a cap leaves goes to the others`, () => {
    const m = machine(1)
    const capped = m.guest(1, {}, { cap: 25, weight: 1024 })
    const other = m.guest()
    m.run(2 * SECOND)
    near(m.ran(capped), 0.5 * SECOND, 0.15, 'the capped')
    near(m.ran(other), 1.5 * SECOND, 0.07, 'the other')
  })

  test(`${policy}: who sleeps most of the time runs soon after it wakes`, () => {
    const m = machine(2)
    for (let i = 0; i < 6; i++) m.guest()
    const sleeper = m.guest(1, { runNs: 0.2 * MS, sleepNs: 10 * MS })
    m.run(2 * SECOND)
    const { delays } = m.life(sleeper)
    assert.ok(delays.length > 100, `${delays.length} wake-ups`)
    const sorted = delays.toSorted((a, b) => a - b)
    const late = sorted[Math.floor(sorted.length * 0.99)] ?? Infinity
    assert.ok(late <= 2 * MS, `99 % within ${late / MS} ms`)
  })

  test(`${policy}: of 32 vcpus on 2 cores nobody starves, and shares are equal`, () => {
    const m = machine(2)
    const guests = Array.from({ length: 32 }, () => m.guest())
    m.run(3 * SECOND)
    for (const guest of guests) near(m.ran(guest), 3 * SECOND / 16, 0.25, 'a share')
  })

  test(`${policy}: who ran alone for long shares with whoever comes`, () => {
    for (const cores of [1, 2]) {
      const m = machine(cores)
      const long = m.guest(cores)
      const sleeper = m.guest(1, { runNs: 50 * MS, sleepNs: 5 * SECOND })
      m.run(20 * SECOND)
      const [comes, before] = [m.guest(cores), [long, sleeper].map((guest) => m.ran(guest))]
      m.run(SECOND)
      near(m.ran(comes), cores * SECOND / 2, 0.1, `on ${cores} cores, who comes`)
      near(m.ran(long) - before[0]!, cores * SECOND / 2, 0.1, `on ${cores} cores, who was there`)
    }
  })

  test(`${policy}: an idle machine does nothing at all`, () => {
    const m = machine(4)
    const guest = m.guest(4, { runNs: 5 * MS, sleepNs: Infinity })
    const capped = m.guest(1, { runNs: 5 * MS, sleepNs: Infinity }, { cap: 10 })
    m.run(SECOND)
    const before = m.events
    m.run(3600 * SECOND)
    assert.equal(m.events, before)
    assert.equal(m.ran(guest), 20 * MS)
    assert.equal(m.ran(capped), 5 * MS)
  })

  test(`${policy}: a core with one vcpu is not interrupted`, () => {
    const m = machine(2)
    m.guest(2)
    m.run(SECOND)
    const before = m.events
    m.run(2 * SECOND)
    assert.equal(m.events, before)
  })

  test(`${policy}: yielding lets the other run`, () => {
    const m = machine(1)
    const [one, two] = [m.guest(), m.guest()]
    m.run(100 * MS)
    const [before] = [m.cores[0]?.current?.vcpu]
    assert.ok(before)
    m.yield(before)
    // Not the vcpus themselves: a failure would print all that they lead to.
    const other = before.domain.id === one.id ? two.id : one.id
    assert.equal(m.cores[0]?.current?.vcpu.domain.id, other)
  })
}

test('rtds: each vcpu has its budget in each period, and no more without extra time', () => {
  const m = new ModelMachine(1, 'sched=rtds')
  const terms = [{ period: 10, budget: 4 }, { period: 20, budget: 4 }, { period: 50, budget: 10 }]
  const guests = terms.map(({ period, budget }) => {
    const guest = m.guest()
    Object.assign(m.life(guest).vcpu.state.sched.policy.rtds, {
      period: period * MS, budget: budget * MS, deadline: m.now + period * MS, left: budget * MS,
      extra: 0,
    })
    return guest
  })
  m.run(2 * SECOND)
  guests.forEach((guest, i) => {
    const { period, budget } = terms[i]!
    near(m.ran(guest), 2 * SECOND * budget / period, 0.01, `${budget} of ${period} ms`)
  })
})

test('rtds: extra time goes to those who may have it', () => {
  const m = new ModelMachine(1, 'sched=rtds')
  const [one, two] = [m.guest(), m.guest()]
  m.life(two).vcpu.state.sched.policy.rtds.extra = 0
  m.run(2 * SECOND)
  near(m.ran(one), 1.2 * SECOND, 0.02, 'its 40 % and what is left')
  near(m.ran(two), 0.8 * SECOND, 0.02, 'its 40 %')
})

test('null: each vcpu has a core of its own, and whoever finds none waits for one', () => {
  const m = new ModelMachine(2, 'sched=null')
  const guests = [m.guest(), m.guest(), m.guest(1, { runNs: MS, sleepNs: MS })]
  m.run(SECOND)
  assert.deepEqual(guests.map((guest) => m.ran(guest)), [SECOND, SECOND, 0])
  const [first, , third] = guests
  assert.ok(first && third)
  m.destroy(first)
  m.run(SECOND)
  near(m.ran(third), SECOND / 2, 0.01, 'the third')
})

test('hard affinity is obeyed, soft affinity while it costs nothing', () => {
  for (const policy of ['credit2', 'credit', 'rtds', 'null']) {
    const m = new ModelMachine(4, `sched=${policy}`)
    const guest = m.guest()
    m.pin(guest, 0b1100, 0b1000)
    m.run(100 * MS)
    assert.equal(m.life(guest).vcpu.state.running, 4, policy)
    m.pin(guest, 0b0010)
    m.run(100 * MS)
    assert.equal(m.life(guest).vcpu.state.running, 2, policy)
  }
})

for (const policy of ['credit2', 'credit', 'rtds']) {
  test(`${policy}: who has just woken is left to the core that was told of it`, () => {
    const m = new ModelMachine(2, `sched=${policy}`)
    const guest = m.guest(2)
    m.run(50 * MS)
    const [stays, sleeper] = [m.life(guest, 0), m.life(guest, 1)]
    const places = [stays.vcpu.state.running, sleeper.vcpu.state.running]
    m.block(sleeper)
    m.run(50 * MS)
    sleeper.vcpu.clearFlag(VPF_blocked)
    sleeper.vcpu.wake()
    // Its core is on the way; the other, whose vcpu spins, comes first.
    m.yield(stays.vcpu)
    assert.deepEqual([stays.vcpu.state.running, sleeper.vcpu.state.running], places)
  })
}

test('credit2: several run queues share the load', () => {
  for (const kind of ['cpu', 'all']) {
    const m = new ModelMachine(4, `credit2_runqueue=${kind}`)
    const guests = Array.from({ length: 8 }, () => m.guest())
    m.run(2 * SECOND)
    for (const guest of guests) near(m.ran(guest), SECOND, 0.2, `${kind}: a share`)
  }
})

test('credit2: a vcpu stays where it is unless moving it is worth it', () => {
  const m = new ModelMachine(4)
  Array.from({ length: 6 }, () => m.guest())
  m.run(SECOND)
  const before = m.cores.reduce((sum, core) => sum + core.migrations, 0)
  m.run(2 * SECOND)
  const after = m.cores.reduce((sum, core) => sum + core.migrations, 0)
  const runs = m.cores.reduce((sum, core) => sum + core.runs, 0)
  assert.ok(after - before < runs / 2, `${after - before} migrations in ${runs} runs`)
})

const move = fc.oneof(
  fc.record({ kind: fc.constantFrom('wake', 'block', 'yield', 'pause', 'unpause'), who: fc.nat() }),
  fc.record({ kind: fc.constant('pin'), who: fc.nat(), hard: fc.nat(15), soft: fc.nat(15) }),
  fc.record({
    kind: fc.constantFrom('move', 'add core', 'remove core', 'offline', 'online'),
    who: fc.nat(), hard: fc.nat(1),
    soft: fc.nat(3),
  }),
  fc.record({ kind: fc.constant('pass'), ns: fc.nat(30 * MS) }),
  fc.record({ kind: fc.constantFrom('destroy', 'create'), who: fc.nat() }),
)

for (const sched of ['credit2', 'credit2 credit2_runqueue=cpu', 'credit', 'rtds', 'null']) {
  test(`${sched}: whatever happens, no vcpu is lost, waits twice, or runs where it may not`, () => {
    fc.assert(fc.property(fc.array(move, { maxLength: 60 }), (moves) => {
      const m = new ModelMachine(4, `sched=${sched}`)
      assert.equal(createPool(m.scheduler, 1, XEN_SCHEDULER_CREDIT2), 1)
      const guests = [
        m.guest(2), m.guest(1, {}, { cap: 30 }), m.guest(1, { runNs: MS, sleepNs: 2 * MS }),
        m.guest(3, { runNs: 3 * MS, sleepNs: MS }, { weight: 1000 }),
      ]
      for (const step of moves) m.play(guests, step)
      m.run(100 * MS)
      for (const guest of guests.splice(0)) m.destroy(guest)
    }), { numRuns: 20 })
  })
}
