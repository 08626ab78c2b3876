/**
 * Physical CPUs that go offline and come back under guests that run: their threads end and start.
 */
import assert from 'node:assert/strict'
import { syncBuiltinESMExports } from 'node:module'
import { after, test } from 'node:test'
import workerThreads from 'node:worker_threads'
import { EEXIST, EINVAL } from '../../src/abi/xen/errno.ts'
import { deafLoop, ticking } from '../guests/programs.ts'

/** How many threads of cores were started, and how many have ended. */
const threads = { started: 0, ended: 0 }
const Plain = workerThreads.Worker
workerThreads.Worker = class extends Plain {
  constructor(...[file, options]: ConstructorParameters<typeof Plain>) {
    super(file, options)
    if (!String(file).endsWith('core-worker.ts')) return
    threads.started++
    this.once('exit', () => threads.ended++)
  }
}
syncBuiltinESMExports()
const { InnerMachine } = await import('../hostile/inner-machine.ts')

const machine = await InnerMachine.start(256, 3)
after(() => machine.stop())

test('a core that goes offline lets go of guests, and its thread ends', async () => {
  const busy = await machine.guest('busy', deafLoop(), 16)
  const timed = await machine.guest('timed', ticking(), 16)
  await machine.pin(busy.domid, 2)
  await machine.pin(timed.domid, 2)
  await machine.until('both run there', async () =>
    await machine.coreOf(busy.domid) === 2 && await machine.coreOf(timed.domid) === 2)
  const { started, ended } = threads
  assert.equal(await machine.hotplug.setCpuOnline(2, false), 0)
  assert.notEqual(await machine.coreOf(busy.domid), 2)
  assert.notEqual(await machine.coreOf(timed.domid), 2)
  await machine.until('its thread has ended', () => threads.ended === ended + 1)
  const seen = timed.text.length
  await machine.until('the guest with timers goes on', () => timed.text.length > seen + 60)
  assert.equal(await machine.hotplug.setCpuOnline(2, false), EEXIST)
  assert.equal(await machine.hotplug.setCpuOnline(0, false), EINVAL)
  assert.equal(await machine.hotplug.setCpuOnline(2, true), 0)
  await machine.pin(busy.domid, 2)
  await machine.until('a thread runs it again', async () => await machine.coreOf(busy.domid) === 2)
  assert.ok(threads.started > started)
})

test('a core that comes back at once has a thread all the same', async () => {
  const last = await machine.guest('last', ticking(), 16)
  for (let i = 0; i < 3; i++) {
    assert.equal(await machine.hotplug.setCpuOnline(1, false), 0)
    assert.equal(await machine.hotplug.setCpuOnline(1, true), 0)
    await machine.pin(last.domid, 1)
    const seen = last.text.length
    await machine.until('it runs there', () => last.text.length > seen)
  }
  assert.equal((await machine.domain(last.domid))?.shutdown, false)
})
