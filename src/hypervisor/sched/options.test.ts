/**
 * What Xen's command line says of scheduling.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { equalNodes } from '../host/nodes.ts'
import { ModelMachine } from './model-machine.ts'
import { schedOptions } from './options.ts'

test('sched= and its companions are read, and what is no value counts as absent', () => {
  assert.deepEqual(schedOptions('console=com1 sched=rtds credit2_runqueue=cpu'), {
    policy: 'rtds', runqueue: 'cpu', ratelimitUs: undefined, creditSliceMs: undefined,
  })
  assert.deepEqual(schedOptions('sched_ratelimit_us=0 sched_credit_tslice_ms=5'), {
    policy: 'credit2', runqueue: 'socket', ratelimitUs: 0, creditSliceMs: 5,
  })
  assert.deepEqual(schedOptions('credit2_runqueue=x sched_ratelimit_us=x sched_ratelimit_us='), {
    policy: 'credit2', runqueue: 'socket', ratelimitUs: undefined, creditSliceMs: undefined,
  })
})

test('an unknown scheduler is credit2', () => {
  assert.equal(new ModelMachine(1, 'sched=nosuch').scheduler.defaultPolicy.name, 'credit2')
  assert.equal(new ModelMachine(1, 'sched=null').scheduler.defaultPolicy.name, 'null')
})

test('numa=fake= makes no more nodes than there are cores', () => {
  assert.deepEqual(['', 'numa=fake=2', 'x numa=fake=9 y', 'numa=fake=0', 'numa=off']
    .map((line) => equalNodes(line, 4, 1024).length), [1, 2, 4, 1, 1])
})

test('each node has a run queue of its own by default', () => {
  const { queues } = new ModelMachine(4, 'numa=fake=2').scheduler
  assert.deepEqual(queues.queues.map(({ cores }) => cores).filter((cores) => cores !== 0),
    [0b0011, 0b1100])
})
