/**
 * Cores that go offline and come back, under the model machine's clock.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { EEXIST, EINVAL, ENODEV } from '../../abi/xen/errno.ts'
import { createPool, freeCores, removeCore, addCore } from './cpupools.ts'
import { offlineCore, onlineCore, withdrawCore } from './hotplug.ts'
import { ModelMachine } from './model-machine.ts'

const MS = 1e6

for (const policy of ['credit2', 'credit', 'rtds', 'null']) {
  test(`${policy}: vcpus move away from a core that goes offline, and come back to it`, () => {
    const m = new ModelMachine(2, `sched=${policy}`)
    const [one, two] = [m.guest(), m.guest()]
    m.run(100 * MS)
    assert.equal(withdrawCore(m.scheduler, 1), 0)
    m.settle()
    assert.equal(m.cores[1]!.current, undefined)
    const before = m.cores[1]!.runs
    const ran = m.ran(one) + m.ran(two)
    m.run(100 * MS)
    assert.equal(m.cores[1]!.runs, before)
    // One budget of rtds is 4 of 10 ms, and the null policy's core is one vcpu's.
    assert.ok(m.ran(one) + m.ran(two) - ran > 75 * MS)
    assert.equal(onlineCore(m.scheduler, 1), 0)
    m.run(100 * MS)
    assert.ok(m.cores[1]!.runs > before)
  })
}

test('a vcpu pinned to a core that goes offline may run on all', async () => {
  const m = new ModelMachine(3)
  const guest = m.guest()
  m.pin(guest, 0b100, 0b110)
  withdrawCore(m.scheduler, 2)
  m.settle()
  const { vcpu } = m.life(guest)
  assert.equal(vcpu.state.hardAffinity.get(0), 0xffff_ffff)
  assert.equal(vcpu.state.softAffinity.get(0), 0b110)
  assert.equal(vcpu.state.running, 2)
  const log = new Uint8Array(4096)
  m.machine.host.console.read(0, log)
  assert.match(new TextDecoder().decode(log), /Breaking affinity for d1v0/)
})

test('who sleeps on a core that goes offline wakes on another', () => {
  const m = new ModelMachine(2)
  const guest = m.guest(1, { runNs: MS, sleepNs: 5 * MS })
  m.pin(guest, 0b10)
  m.run(3 * MS)
  withdrawCore(m.scheduler, 1)
  m.run(50 * MS)
  assert.ok(m.ran(guest) > 8 * MS)
})

test('what cannot go offline or come online is refused as Xen does', () => {
  const m = new ModelMachine(4)
  const { scheduler } = m
  const off = (core: number): number => offlineCore(scheduler, core, m.machine.dom0.vcpu(0)!)
  assert.deepEqual([off(0), off(4), off(-1 >>> 0), onlineCore(scheduler, 4)],
    [-EINVAL, -EINVAL, -EINVAL, -EINVAL])
  assert.deepEqual([off(3), off(3)], [0, -EEXIST])
  assert.deepEqual([onlineCore(scheduler, 3), onlineCore(scheduler, 3)], [0, -EEXIST])
  const id = createPool(scheduler, 1, 6)
  assert.equal(removeCore(scheduler, 0, 2), 0)
  assert.equal(addCore(scheduler, id, 2), 0)
  assert.equal(off(2), -ENODEV)
})

test('a core in no pool goes offline, is not free then, and comes back into Pool-0', () => {
  const m = new ModelMachine(4)
  const { scheduler } = m
  assert.equal(removeCore(scheduler, 0, 3), 0)
  assert.equal(freeCores(scheduler), 0b1000)
  assert.equal(withdrawCore(scheduler, 3), 0)
  assert.equal(freeCores(scheduler), 0)
  assert.equal(addCore(scheduler, 0, 3), -ENODEV)
  assert.equal(onlineCore(scheduler, 3), 0)
  assert.equal(scheduler.queues.pools[0]!.cores, 0b1111)
})

test('maxcpus= leaves cores offline from the start', () => {
  const m = new ModelMachine(4, 'maxcpus=2')
  assert.equal(m.scheduler.queues.pools[0]!.cores, 0b0011)
  assert.equal(onlineCore(m.scheduler, 3), 0)
  assert.equal(m.scheduler.queues.pools[0]!.cores, 0b1011)
})
