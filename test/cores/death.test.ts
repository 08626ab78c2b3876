/**
 * A core whose thread dies takes the domain with it that it ran, and no other; also when the
 * control thread waits for it, and gets no events.
 */
import assert from 'node:assert/strict'
import { existsSync, readdirSync } from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'
import { after, test } from 'node:test'
import workerThreads, { type Worker } from 'node:worker_threads'
import { SHUTDOWN_crash } from '../../src/abi/xen/sched.ts'
import { deafLoop, ticking } from '../guests/programs.ts'

/** The threads of cores, in the order of their start. */
const cores: Worker[] = []
const Plain = workerThreads.Worker
workerThreads.Worker = class extends Plain {
  constructor(...[file, options]: ConstructorParameters<typeof Plain>) {
    super(file, options)
    if (String(file).endsWith('core-worker.ts')) cores.push(this)
  }
}
syncBuiltinESMExports()
const { InnerMachine } = await import('../hostile/inner-machine.ts')

/** Ends a core's thread, and returns when it has ended, without a turn of the event loop. */
function killCore(worker: Worker): void {
  const before = readdirSync('/proc/self/task')
  void worker.terminate()
  const cells = new Int32Array(new SharedArrayBuffer(4))
  while (before.every((thread) => existsSync(`/proc/self/task/${thread}`))) {
    Atomics.wait(cells, 0, 0, 5)
  }
}

const machine = await InnerMachine.start(256, 2)
after(() => machine.stop())

test('a core that nobody wants has no thread', () => {
  assert.equal(cores.length, 1)
})

test('a core that dies crashes the domain that it ran, others go on, new ones run', async () => {
  const well = await machine.guest('well', ticking(), 16)
  const lost = await machine.guest('lost', deafLoop(), 16)
  await machine.pin(well.domid, 0)
  await machine.pin(lost.domid, 1)
  await machine.until('the second core starts', () => cores.length === 2)
  await machine.until('both guests run', () =>
    well.text.includes('tick 00000002') && lost.text.includes('looping'))
  await machine.until('each is on its core', async () =>
    await machine.coreOf(well.domid) === 0 && await machine.coreOf(lost.domid) === 1)
  await cores[1]!.terminate()
  await machine.until('the domain has crashed',
    async () => (await machine.domain(lost.domid))?.shutdownReason === SHUTDOWN_crash)
  const seen = well.text.length
  await machine.until('the other goes on', () => well.text.length > seen + 60)
  assert.equal((await machine.domain(well.domid))?.shutdown, false)
  await machine.destroy(lost.domid)
  const next = await machine.guest('next', ticking(), 16)
  const last = await machine.guest('last', ticking(), 16)
  await machine.until('new guests run',
    () => next.text.includes('tick 00000003') && last.text.includes('tick 00000003'))
  assert.equal(cores.length, 3)
  for (const { domid } of [well, next, last]) await machine.destroy(domid)
})

for (const [what, wait] of [
  ['pauses its domain', (domid: number) => machine.pause(domid)],
  ['destroys its domain', (domid: number) => machine.destroy(domid)],
  ['takes it offline', () => machine.hotplug.setCpuOnline(1, false)],
] as const) {
  test(`a core that dies while the control thread ${what} is not waited for`, async () => {
    const lost = await machine.guest('left', deafLoop(), 16)
    await machine.pin(lost.domid, 1)
    await machine.until('it runs', async () =>
      lost.text.includes('looping') && await machine.coreOf(lost.domid) === 1)
    const started = cores.length
    killCore(cores.at(-1)!)
    await wait(lost.domid)
    await machine.until('its domain has crashed', async () => {
      const domain = await machine.domain(lost.domid)
      return !domain || domain.shutdownReason === SHUTDOWN_crash
    })
    await machine.destroy(lost.domid).catch(() => {})
    await machine.hotplug.setCpuOnline(1, true)
    const next = await machine.guest('after', ticking(), 16)
    await machine.pin(next.domid, 1)
    await machine.until('a new guest runs there', () => next.text.includes('tick 00000003'))
    await machine.destroy(next.domid)
    assert.equal(cores.length, started + 1)
  })
}
