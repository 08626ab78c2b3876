/**
 * Turns of tasks.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { measureInTurns, type RowTask, RowTimes } from './row-times.ts'

test('tasks are run in turns, and only what they take once they are warm counts', async () => {
  const times = new RowTimes()
  const order: string[] = []
  const task = (system: string, secondsARun: number): RowTask => ({
    times, system,
    run: async () => `${system} said ${order.push(system)}`,
    cpuSeconds: () => secondsARun * order.filter((name) => name === system).length,
  })
  const said = await measureInTurns([task('fast', 1), task('slow', 3)])
  assert.equal(order.slice(0, 5).join(' '), 'fast slow fast slow fast')
  assert.deepEqual(said, [`fast said ${order.length - 1}`, `slow said ${order.length}`])
  assert.deepEqual(times.cpu, { fast: [1, 1, 1], slow: [3, 3, 3] })
  assert.equal(times.first['slow']!.length, 1)
  assert.equal(times.wall['slow']!.length, 3)
})
