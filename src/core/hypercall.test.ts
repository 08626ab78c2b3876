/**
 * What a hypercall costs beside its work.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { getHeapStatistics } from 'node:v8'
import { CS, RAX, RDI, RSI } from '../abi/x86/registers.ts'
import { EVTCHNOP_send } from '../abi/xen/event_channel.ts'
import { SCHEDOP_yield } from '../abi/xen/sched.ts'
import {
  __HYPERVISOR_event_channel_op, __HYPERVISOR_sched_op, __HYPERVISOR_set_timer_op,
} from '../abi/xen/xen.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { HypercallDoor } from './hypercall.ts'

const ROUNDS = 30_000
/** It takes V8 some time to optimise them. */
const MOST_RUNS = 40
/** An object takes more; a number that V8 boxes less. */
const MOST_BYTES = 24

const calls = {
  'set_timer_op': [__HYPERVISOR_set_timer_op, 0],
  'sched_op yield': [__HYPERVISOR_sched_op, SCHEDOP_yield],
  'event_channel_op send, of nowhere': [__HYPERVISOR_event_channel_op, EVTCHNOP_send],
} as const

for (const [name, numbers] of Object.entries(calls)) {
  test(`${name} makes no objects`, () => {
    const m = new TestMachine()
    const vcpu = m.vcpu(m.guest())
    const context = contextOf(vcpu)
    context.efer = 1n << 10n
    context.segments.item(CS).attributes = 1 << 9
    const door = new HypercallDoor(m.hypervisor.dispatcher)
    const [number, first] = numbers.map(BigInt) as [bigint, bigint]
    const run = (): number => {
      const before = allocatedBytes()
      for (let round = 0; round < ROUNDS; round++) {
        context.gpr.set(RAX, number)
        context.gpr.set(RDI, first)
        context.gpr.set(RSI, 0x1000n)
        door.enter(vcpu, context)
      }
      return (allocatedBytes() - before) / ROUNDS
    }
    let bytes = run()
    for (let runs = 1; runs < MOST_RUNS && bytes >= MOST_BYTES; runs++) bytes = run()
    assert.ok(bytes < MOST_BYTES, `${bytes} bytes a hypercall`)
  })
}

/** By this thread, ever. The types of Node do not know it yet. */
function allocatedBytes(): number {
  const { total_allocated_bytes: bytes } =
    getHeapStatistics() as { total_allocated_bytes?: number }
  assert.ok(bytes !== undefined)
  return bytes
}
