/**
 * When what a core's processor knows of a vcpu's memory is kept, and when it is forgotten: cores
 * that run vcpus in turns.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import type { Domain } from '../hypervisor/domain/domain.ts'
import { destroyDomain } from '../hypervisor/domain/lifecycle.ts'
import { WORK_CONTEXT } from '../hypervisor/domain/state.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { Scheduler } from '../hypervisor/sched/scheduler.ts'
import { Core } from './core.ts'
import { ScriptedCpu } from './scripted-cpu.ts'

/** Cores, and guests of which one runs at a time. */
class Bench {
  readonly m: TestMachine
  readonly cpus: readonly ScriptedCpu[]
  readonly cores: readonly Core[]

  constructor(count = 1) {
    this.m = new TestMachine(count)
    const { host, hypervisor } = this.m
    this.cpus = Array.from({ length: count }, () => new ScriptedCpu())
    const platforms = this.cpus.map(() => new PvhPlatform(host))
    host.subsystems.push(platforms[0]!)
    this.cores = this.cpus.map((cpu, index) => new Core({
      index, host, dispatcher: hypervisor.dispatcher, cpu, guests: platforms[index]!,
    }))
  }

  guest(vcpus = 1): Domain {
    const domain = this.m.guest(vcpus)
    for (let i = 0; i < vcpus; i++) {
      contextOf(this.m.vcpu(domain, i)).systemFlags = BigInt(RFLAGS.IF | 2)
    }
    domain.pauseNoSync()
    return domain
  }

  /** Runs a domain on a core for a while; what the processor was told. */
  run(domain: Domain, core = 0): readonly string[] {
    this.m.vcpu(domain).state.hardAffinity.set(0, 1 << core)
    Scheduler.of(this.m.host).affinityChanged(this.m.vcpu(domain))
    domain.unpause()
    const { log } = this.cpus[core]!
    log.length = 0
    this.cores[core]!.step()
    assert.equal(this.cores[core]!.current?.domain, domain)
    domain.pauseNoSync()
    this.cores[core]!.step()
    return log.filter((line) => line !== 'memory')
  }
}

test('vcpus that take turns on a core are met anew once', () => {
  const b = new Bench()
  const [one, two] = [b.guest(), b.guest()]
  assert.deepEqual(b.run(one), ['load anew'])
  assert.deepEqual(b.run(two), ['load anew'])
  assert.deepEqual(b.run(one), ['load'])
  assert.deepEqual(b.run(one), [])
  assert.deepEqual(b.run(two), ['load'])
})

test('what its domain lost while another ran is flushed before the vcpu does', () => {
  const b = new Bench()
  const [one, two] = [b.guest(), b.guest()]
  b.run(one)
  b.run(two)
  const { p2m } = one
  p2m.lock()
  assert.equal(p2m.set(0, 0, 0), 0)
  p2m.unlock()
  assert.deepEqual(b.run(two), [], 'that is nothing to another domain')
  assert.deepEqual(b.run(one), ['load', 'flush'])
  b.run(two)
  assert.deepEqual(b.run(one), ['load'])
})

test('a vcpu that ran on another core meanwhile is met anew where it ran before', () => {
  const b = new Bench(2)
  const [one, two] = [b.guest(), b.guest()]
  b.run(one, 0)
  b.run(two, 0)
  assert.deepEqual(b.run(one, 1), ['load anew'])
  assert.deepEqual(b.run(one, 0), ['load anew'])
  b.run(two, 0)
  assert.deepEqual(b.run(one, 0), ['load'])
  b.run(one, 1)
  b.run(one, 1)
  assert.deepEqual(b.run(one, 0), ['load anew'], 'also if its registers were still there')
})

test('a vcpu whose registers were set from outside is met anew', () => {
  const b = new Bench()
  const [one, two] = [b.guest(), b.guest()]
  b.run(one)
  b.run(two)
  b.m.vcpu(one).requestWork(WORK_CONTEXT)
  assert.equal(b.run(one).includes('load'), false)
})

test('a new vcpu in the place of one that is gone is met anew', () => {
  const b = new Bench()
  const [one, two] = [b.guest(), b.guest()]
  b.run(one)
  b.run(two)
  const { address } = b.m.vcpu(one)
  assert.equal(destroyDomain(one), 0)
  const next = b.guest()
  assert.equal(b.m.vcpu(next).address, address)
  assert.deepEqual(b.run(next), ['load anew'])
})
