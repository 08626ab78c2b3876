/**
 * What a guest reaches for that is populated on demand is there when it looks again.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { RAX, RDI, RSI } from '../abi/x86/registers.ts'
import { SHUTDOWN_crash } from '../abi/xen/sched.ts'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { claimForDemand, populateLater } from '../hypervisor/memory/demand.ts'
import { Core } from './core.ts'
import { act, ScriptedCpu } from './scripted-cpu.ts'

const GFN = 0x200
const XEN_VERSION = 17n
const GET_FEATURES = 6n

/** A frame with something in it is no page of zeros. */
function fill(m: TestMachine, mfn: number): void {
  if (mfn !== 0) m.host.machine.words[mfn * 1024 + 1023] = 1
}

/** A core with a guest that has 16 pages from GFN on to come, and may have `more` of them. */
function bench(more: number) {
  const m = new TestMachine()
  const cpu = new ScriptedCpu()
  const guests = new PvhPlatform(m.host)
  m.host.subsystems.push(guests)
  const core = new Core({
    index: 0, host: m.host, dispatcher: m.hypervisor.dispatcher, cpu, guests,
  })
  const domain = m.guest()
  const context = contextOf(m.vcpu(domain))
  context.systemFlags = BigInt(RFLAGS.IF | 2)
  context.efer = 1n << 10n
  context.segments.item(1).attributes = 1 << 9
  for (let gfn = 0; gfn < GFN; gfn++) fill(m, domain.p2m.frame(gfn, true))
  assert.equal(populateLater(domain, GFN, 4), 0)
  domain.state.maxPages = domain.state.podTarget = domain.state.totPages + more
  assert.ok(claimForDemand(domain))
  return { m, cpu, core, domain }
}

test('an access is made again, and finds memory; one where there is none does not', () => {
  const { cpu, core, domain } = bench(16)
  cpu.acts.push(act('mmio-write', { address: GFN * 4096 + 8, size: 8, value: 1n }))
  assert.ok(core.step())
  assert.equal(cpu.log.at(-1), 'retry')
  assert.notEqual(domain.p2m.frame(GFN, true), 0)
  // Meanwhile another vcpu has got the page.
  cpu.acts.push(act('mmio-read', { address: GFN * 4096, size: 4 }))
  core.step()
  assert.equal(cpu.log.at(-1), 'retry')
  cpu.acts.push(act('mmio-read', { address: (GFN + 16) * 4096, size: 4 }))
  core.step()
  assert.match(cpu.log.at(-1) ?? '', /^complete/)
  assert.equal(domain.state.podEntries, 15)
})

test('an argument of a hypercall is reached there too', () => {
  const { cpu, core, domain } = bench(16)
  cpu.translateTo = (linear) => {
    cpu.memory.nowhere = linear
    return domain.p2m.get(linear >>> 12) >>> 8 === 0 ? -1 : domain.p2m.translate(linear, true)
  }
  cpu.acts.push(act('hypercall', {}, ({ context }) => {
    context.cpl = 0
    context.gpr.set(RAX, XEN_VERSION)
    context.gpr.set(RDI, GET_FEATURES)
    context.gpr.set(RSI, BigInt(GFN * 4096))
  }))
  core.step()
  assert.equal(cpu.context.gpr.get(RAX), 0n)
  assert.equal(domain.state.podEntries, 15)
})

test('so does what an event pushes; where there is no memory, the guest is at its end', () => {
  for (const [gfn, isShutDown] of [[GFN, false], [GFN + 16, true]] as const) {
    const { cpu, core, domain } = bench(16)
    cpu.acts.push(act('delivery', { address: gfn * 4096 }))
    core.step()
    assert.equal(domain.isShutDown, isShutDown)
    assert.equal(domain.state.podEntries, isShutDown ? 16 : 15)
  }
})

test('a guest that has wiped more than it was promised goes on; one that uses it has not', () => {
  const { cpu, core, domain, m } = bench(2)
  const reach = (page: number): void => {
    cpu.acts.push(act('mmio-write', { address: (GFN + page) * 4096, size: 8, value: 1n }))
    core.step()
  }
  for (let page = 0; page < 16; page++) reach(page)
  for (const page of [3, 4]) {
    reach(page)
    fill(m, domain.p2m.frame(GFN + page, true))
  }
  assert.equal(domain.isShutDown, false)
  reach(5)
  assert.equal(domain.isShutDown, true)
  assert.equal(domain.state.shutdownCode, SHUTDOWN_crash)
})

test('a guest that wants more than it was promised has crashed', () => {
  const { cpu, core, domain, m } = bench(1)
  for (const page of [0, 1]) {
    cpu.acts.push(act('mmio-read', { address: (GFN + page) * 4096, size: 4 }))
    core.step()
    if (page === 0) fill(m, domain.p2m.frame(GFN, true))
  }
  assert.equal(domain.isShutDown, true)
  assert.equal(domain.state.shutdownCode, SHUTDOWN_crash)
})
