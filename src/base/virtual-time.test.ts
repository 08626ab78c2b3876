/** Virtual time as devices and the toolstack see it. */
import assert from 'node:assert/strict'
import test from 'node:test'
import { VirtualTime } from './virtual-time.ts'

test('a nanosecond passes with each instruction, and the time of day with them', () => {
  const time = new VirtualTime(5000)
  let executed = 100
  time.follow(() => executed)
  assert.equal(time.now(), 0)
  executed += 2_500_000
  assert.equal(time.now(), 2_500_000)
  assert.equal(time.wallClockMs(), 5002)
})

test('time that is skipped has passed, and is never given back', () => {
  const time = new VirtualTime(0)
  time.skipTo(70.5)
  assert.equal(time.now(), 71)
  time.skipTo(10)
  assert.equal(time.now(), 71)
})

test('what is due is done in the order of its times, then of asking', () => {
  const time = new VirtualTime(0)
  const done: string[] = []
  time.after(2, () => done.push('c'))
  time.after(1, () => done.push('a'))
  time.after(1, () => done.push('b'))
  assert.equal(time.next, 1e6)
  assert.equal(time.runDue(), false)
  time.skipTo(3e6)
  assert.equal(time.runDue(), true)
  assert.deepEqual(done, ['a', 'b', 'c'])
  assert.equal(time.next, Infinity)
})

test('what is asked for or cancelled meanwhile waits or is not done', () => {
  const time = new VirtualTime(0)
  const done: string[] = []
  let cancel = (): void => {}
  time.after(0, () => {
    done.push('first')
    cancel()
    time.after(0, () => done.push('later'))
  })
  cancel = time.after(0, () => done.push('never'))
  time.runDue()
  assert.deepEqual(done, ['first'])
  time.runDue()
  assert.deepEqual(done, ['first', 'later'])
})

test('who asked to be told is told of what is to be done', () => {
  const time = new VirtualTime(0)
  let told = 0
  time.changed = () => told++
  time.after(1, () => {})
  assert.equal(told, 1)
})
