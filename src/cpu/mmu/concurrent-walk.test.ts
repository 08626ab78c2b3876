/**
 * Accessed and dirty bits while another processor changes the same entry.
 */
import { test } from 'node:test'
import assert from 'node:assert/strict'
import { Worker } from 'node:worker_threads'
import { TestMachine } from './test-machine.ts'

const SOFTWARE = 1 << 9
const ROUNDS = 200_000

const changer = `
  const { workerData, parentPort } = require('node:worker_threads')
  const { words, index, bit, rounds } = workerData
  let lost = 0
  Atomics.wait(words, 1, 0)
  for (let i = 0; i < rounds; i++) {
    Atomics.or(words, index, bit)
    if (!(Atomics.load(words, index) & bit)) lost++
    Atomics.and(words, index, ~bit)
    if (Atomics.load(words, index) & bit) lost++
  }
  Atomics.store(words, 0, 1)
  parentPort.postMessage(lost)
`

test('a walk that sets accessed bits loses no change of another processor', async () => {
  const machine = new TestMachine().longMode()
  const leaf = machine.map(0x5000n, BigInt(machine.frame() << 12) | 3n)
  const words = new Int32Array(machine.machine.buffer)
  const index = machine.at(leaf) >>> 2
  const worker = new Worker(changer, {
    eval: true, workerData: { words, index, bit: SOFTWARE, rounds: ROUNDS },
  })
  const lost = new Promise((resolve) => worker.once('message', resolve))
  await new Promise((resolve) => worker.once('online', resolve))
  let walks = 0
  Atomics.store(words, 1, 1)
  Atomics.notify(words, 1)
  while (Atomics.load(words, 0) === 0) {
    Atomics.and(words, index, ~0x60)
    assert.notEqual(machine.mmu.walk(0x5008n, walks++ & 1), -1n)
    assert.ok(Atomics.load(words, index) & 0x20)
  }
  assert.equal(await lost, 0)
  await worker.terminate()
  assert.ok(walks > 0)
})
