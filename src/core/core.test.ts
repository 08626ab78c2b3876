/** The core's loop, driven with a scripted processor on one thread. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { EPERM } from '../abi/xen/errno.ts'
import { HVM_PARAM_CALLBACK_IRQ } from '../abi/xen/hvm/params.ts'
import { SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot } from '../abi/xen/sched.ts'
import { VIRQ_TIMER } from '../abi/xen/xen.ts'
import type { ExitKind } from '../cpu/cpu.ts'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import type { Domain } from '../hypervisor/domain/domain.ts'
import { destroyDomain } from '../hypervisor/domain/lifecycle.ts'
import { VPF_blocked } from '../hypervisor/domain/state.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import { allocUnbound, bindInterdomain, bindVirq } from '../hypervisor/events/bind.ts'
import { Events } from '../hypervisor/events/events.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { upcallPending, vcpuInfoAt } from '../hypervisor/events/upcall.ts'
import { Timekeeper } from '../hypervisor/time/timekeeper.ts'
import { Core } from './core.ts'
import { act, ScriptedCpu } from './scripted-cpu.ts'

const LAPIC = 0xfee0_0000
const SVR = LAPIC + 0xf0
/** The longest that a vcpu runs while another of the same weight waits. */
const TURN_NS = 10e6
const [RAX, RCX, RDX, RBX, RSI, RDI] = [0, 1, 2, 3, 6, 7]

class Bench {
  readonly m = new TestMachine()
  readonly cpu = new ScriptedCpu()
  readonly guests = new PvhPlatform(this.m.host)
  readonly core: Core

  constructor() {
    this.m.host.subsystems.push(this.guests)
    this.core = new Core({
      index: 0, host: this.m.host, dispatcher: this.m.hypervisor.dispatcher, cpu: this.cpu,
      guests: this.guests,
    })
  }

  /** A guest whose vcpu 0 is in 64-bit mode with interrupts on. */
  guest(): { domain: Domain, vcpu: Vcpu } {
    const domain = this.m.guest()
    const vcpu = this.m.vcpu(domain)
    const context = contextOf(vcpu)
    context.systemFlags = BigInt(RFLAGS.IF | 2)
    context.efer = 1n << 10n
    context.segments.item(1).attributes = 1 << 9
    this.cpu.translateTo = (linear) => domain.p2m.translate(linear, true)
    return { domain, vcpu }
  }

  /** Steps until nothing is to be run, at most `limit` times. */
  steps(limit = 20): number {
    let done = 0
    while (done < limit && this.core.step()) done++
    return done
  }

  enableLapic(): void {
    this.cpu.acts.push(act('mmio-write', { address: SVR, size: 4, value: 0x1ffn }))
    this.core.step()
  }
}

test('CPUID shows Xen, the domain, and twice the vcpu\'s number as APIC id', () => {
  const b = new Bench()
  const { domain } = b.guest()
  const seen: number[] = []
  const ask = (leaf: number) => act('cpuid', { address: leaf, value: 0n })
  const note = (register: number) => act('budget', {}, (cpu) => {
    seen.push(Number(cpu.context.gpr.get(register)))
  })
  b.cpu.acts.push(ask(0x4000_0000), note(RBX), ask(0x4000_0001), note(RAX), ask(0x4000_0004),
    note(RCX), ask(1), note(RBX))
  b.steps(4)
  assert.deepEqual(seen.slice(0, 3), [0x566e_6558, 0x4_0011, domain.id])
  assert.equal(seen[3]! >>> 24, 0)
})

test('a hypercall from the kernel runs on the core; from user mode it is -EPERM', () => {
  const b = new Bench()
  b.guest()
  const results: bigint[] = []
  const call = (cpl: number) => act('hypercall', {}, (cpu) => {
    cpu.context.cpl = cpl
    cpu.context.gpr.set(RAX, 17n)
    cpu.context.gpr.set(RDI, 0n)
  })
  const note = act('budget', {}, (cpu) => { results.push(cpu.context.gpr.get(RAX)) })
  b.cpu.acts.push(call(0), note, call(3), note)
  b.steps(4)
  assert.deepEqual(results, [4n << 16n | 17n, BigInt.asUintN(64, -BigInt(EPERM))])
})

test('ports and empty memory read as all ones; the LAPIC answers at its page', () => {
  const b = new Bench()
  b.guest()
  b.cpu.acts.push(
    act('in', { address: 0x64, size: 1 }), act('mmio-read', { address: 0xfed0_0000, size: 8 }),
    act('mmio-read', { address: LAPIC + 0x30, size: 4 }))
  b.steps(3)
  assert.deepEqual(b.cpu.log.filter((line) => line.startsWith('complete')),
    ['complete ff', 'complete ffffffffffffffff', 'complete 50014'])
})

test('an unknown MSR faults, unless the domain is relaxed about them', () => {
  const b = new Bench()
  const { domain } = b.guest()
  b.cpu.acts.push(act('rdmsr', { address: 0x1234 }), act('rdmsr', { address: 0x1b }))
  b.steps(2)
  assert.ok(b.cpu.log.includes('exception 13 0'))
  assert.equal(b.cpu.context.gpr.get(RAX), 0xfee0_0900n)
  domain.state.miscFlags = 1
  b.cpu.acts.push(act('rdmsr', { address: 0x1234 }))
  b.steps(1)
  assert.equal(b.cpu.context.gpr.get(RDX), 0n)
})

test('HLT blocks until an event, which arrives as the upcall vector through the LAPIC', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  b.enableLapic()
  vcpu.state.upcallVector = 0xf3
  const events = Events.of(b.m.host)
  const port = allocUnbound(events, domain, 0)
  const local = bindInterdomain(events, b.m.dom0, domain, port)
  b.cpu.acts.push(act('halt'))
  b.steps()
  assert.equal(b.core.current, undefined)
  assert.equal(vcpu.state.running, 0)
  assert.ok(vcpu.state.flags & VPF_blocked)
  b.cpu.log.length = 0
  events.send(b.m.dom0, local)
  b.core.step()
  // The registers were still in the processor.
  assert.deepEqual(b.cpu.log.filter((line) => line !== 'flush'), ['interrupt f3'])
  b.core.step()
  assert.deepEqual(b.cpu.log.filter((line) => line.startsWith('interrupt')), ['interrupt f3'])
})

test('an event that came while the LAPIC was disabled arrives when it is enabled', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  vcpu.state.upcallVector = 0xf3
  const port = allocUnbound(Events.of(b.m.host), domain, 0)
  const local = bindInterdomain(Events.of(b.m.host), b.m.dom0, domain, port)
  Events.of(b.m.host).send(b.m.dom0, local)
  b.core.step()
  assert.equal(b.cpu.log.includes('interrupt f3'), false)
  b.enableLapic()
  b.core.step()
  assert.ok(b.cpu.log.includes('interrupt f3'))
})

test('a callback vector outside the LAPIC comes again until the pending byte is clear', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  domain.state.hvmParams.set(HVM_PARAM_CALLBACK_IRQ, 2n << 56n | 0xf3n)
  const port = allocUnbound(Events.of(b.m.host), domain, 0)
  const local = bindInterdomain(Events.of(b.m.host), b.m.dom0, domain, port)
  Events.of(b.m.host).send(b.m.dom0, local)
  const iret = act('budget', {}, (cpu) => { cpu.context.systemFlags |= BigInt(RFLAGS.IF) })
  b.cpu.acts.push(iret, iret)
  b.core.step()
  b.core.step()
  b.m.host.machine.bytes.setUint8(vcpuInfoAt(vcpu), 0)
  b.core.step()
  assert.equal(upcallPending(vcpu), false)
  assert.equal(b.cpu.log.filter((line) => line === 'interrupt f3').length, 2)
})

test('the singleshot timer wakes a blocked vcpu through VIRQ_TIMER, at its time', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  b.enableLapic()
  vcpu.state.upcallVector = 0xf3
  bindVirq(Events.of(b.m.host), domain, VIRQ_TIMER, 0)
  const due = b.m.clock.nowNs + 1_000_000
  Timekeeper.of(b.m.host).stateOf(vcpu).singleshot = due
  b.cpu.acts.push(act('halt'))
  b.steps()
  assert.equal(b.core.idleDeadline, due)
  b.m.clock.nowNs = due
  assert.ok(b.core.step())
  assert.ok(b.cpu.log.includes('interrupt f3'))
})

test('the LAPIC timer wakes a halted vcpu', () => {
  const b = new Bench()
  b.guest()
  b.enableLapic()
  b.cpu.acts.push(
    act('mmio-write', { address: LAPIC + 0x320, size: 4, value: 0xecn }),
    act('mmio-write', { address: LAPIC + 0x3e0, size: 4, value: 0xbn }),
    act('mmio-write', { address: LAPIC + 0x380, size: 4, value: 1000n }), act('halt'))
  b.steps()
  b.m.clock.nowNs += 10_000
  b.core.step()
  assert.ok(b.cpu.log.includes('interrupt ec'))
})

test('an interrupt waits for the window when the processor does not take it', () => {
  const b = new Bench()
  const { vcpu } = b.guest()
  b.enableLapic()
  b.guests.vcpuOf(vcpu).lapic.raise(0x55)
  b.cpu.context.systemFlags = 2n
  b.cpu.acts.push(act('budget', {}, (cpu) => { cpu.context.systemFlags = 0x202n }))
  b.core.step()
  assert.equal(b.cpu.log.includes('interrupt 55'), false)
  b.core.step()
  b.core.step()
  assert.ok(b.cpu.log.includes('interrupt 55'))
})

test('two vcpus share the core in turns', () => {
  const b = new Bench()
  const one = b.guest()
  const two = b.guest()
  b.core.step()
  assert.equal(b.core.current, one.vcpu)
  b.m.clock.nowNs += TURN_NS
  b.core.step()
  assert.equal(b.core.current, two.vcpu)
  b.m.clock.nowNs += TURN_NS
  b.core.step()
  assert.equal(b.core.current, one.vcpu)
  assert.equal(one.vcpu.state.cpuTimeNs, TURN_NS)
})

test('a paused domain leaves the core, and goes on after', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  b.core.step()
  domain.pauseNoSync()
  assert.equal(b.steps(), 0)
  assert.equal(vcpu.state.running, 0)
  domain.unpause()
  assert.ok(b.core.step())
  assert.equal(b.core.current, vcpu)
})

test('a triple fault reboots, HLT without interrupts powers off', () => {
  const b = new Bench()
  const first = b.guest().domain
  b.cpu.acts.push(act('shutdown'))
  b.steps()
  assert.ok(first.isShutDown)
  assert.equal(first.state.shutdownCode, SHUTDOWN_reboot)
  const second = b.guest().domain
  b.cpu.acts.push(act('halt', {}, (cpu) => { cpu.context.systemFlags = 2n }))
  b.steps()
  assert.equal(second.state.shutdownCode, SHUTDOWN_poweroff)
})

test('a mistake of ours while a guest runs crashes that guest, and the core goes on', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  Timekeeper.of(b.m.host).stateOf(vcpu).runstateArea = 0x3000
  b.cpu.acts.push(() => { throw new Error('handler missing') })
  b.steps()
  assert.deepEqual([domain.state.shutdownCode, vcpu.state.running], [SHUTDOWN_crash, 0])
  assert.equal(destroyDomain(domain), 0)
  const next = b.guest()
  b.core.step()
  assert.equal(b.core.current, next.vcpu)
})

test('a changed p2m flushes the TLB before the guest goes on', () => {
  const b = new Bench()
  const { domain } = b.guest()
  b.steps(2)
  b.cpu.log.length = 0
  b.core.step()
  assert.deepEqual(b.cpu.log, [])
  domain.state.p2mGeneration++
  b.core.step()
  assert.deepEqual(b.cpu.log, ['flush'])
})

test('INIT and STARTUP bring a second processor up in real mode', () => {
  const b = new Bench()
  const domain = b.m.guest(2)
  const boot = b.m.vcpu(domain)
  contextOf(boot).systemFlags = 0x202n
  const icr = (value: number) => [
    act('mmio-write', { address: LAPIC + 0x310, size: 4, value: 2n << 24n }),
    act('mmio-write', { address: LAPIC + 0x300, size: 4, value: BigInt(value) }),
  ]
  b.cpu.acts.push(...icr(0xc500), ...icr(0x0699), act('halt'))
  b.steps(6)
  assert.equal(b.core.current, b.m.vcpu(domain, 1))
  assert.equal(b.cpu.context.segments.item(1).base, 0x99000n)
  assert.equal(b.cpu.context.segments.item(1).selector, 0x9900)
  assert.equal(b.cpu.context.rip, 0n)
})

test('the hypercall page holds VMMCALL stubs', () => {
  const b = new Bench()
  const { domain } = b.guest()
  b.cpu.acts.push(act('wrmsr', { address: 0x4000_0000, value: 0x9000n }))
  b.steps(1)
  const at = b.m.at(domain, 0x9000)
  const stub = [...b.m.host.machine.octets.subarray(at + 17 * 32, at + 17 * 32 + 9)]
  assert.deepEqual(stub, [0xb8, 17, 0, 0, 0, 0x0f, 0x01, 0xd9, 0xc3])
  b.cpu.acts.push(act('wrmsr', { address: 0x4000_0000, value: 0x9001n }))
  b.steps(1)
  assert.ok(b.cpu.log.includes('exception 13 0'))
})

test('SCHEDOP_poll waits for a port, masked or not, or for its time', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  const events = Events.of(b.m.host)
  const port = allocUnbound(events, domain, 0)
  const local = bindInterdomain(events, b.m.dom0, domain, port)
  const { bytes } = b.m.host.machine
  const at = b.m.at(domain, 0x800)
  const timeout = b.m.clock.nowNs - domain.state.bornNs + 1000
  bytes.setBigUint64(at, 0x900n, true)
  bytes.setUint32(at + 8, 1, true)
  bytes.setBigUint64(at + 16, BigInt(timeout), true)
  bytes.setUint32(b.m.at(domain, 0x900), port, true)
  const poll = act('hypercall', {}, (cpu) => {
    cpu.context.cpl = 0
    cpu.context.gpr.set(RAX, 29n)
    cpu.context.gpr.set(RDI, 3n)
    cpu.context.gpr.set(RSI, 0x800n)
  })
  b.cpu.acts.push(poll)
  b.steps()
  assert.equal(b.core.current, undefined)
  events.send(b.m.dom0, local)
  assert.ok(b.core.step())
  b.m.host.machine.octets.fill(0, domain.state.sharedInfoMfn * 4096 + 2048,
    domain.state.sharedInfoMfn * 4096 + 2560)
  b.cpu.acts.push(poll)
  b.steps()
  assert.equal(b.core.current, undefined)
  b.m.clock.nowNs += 1000
  assert.ok(b.core.step())
  assert.equal(vcpu.state.flags, 0)
})

test('time records tie the TSC to system time, with an even version', () => {
  const b = new Bench()
  const { domain, vcpu } = b.guest()
  b.m.clock.nowNs += 777
  Timekeeper.of(b.m.host).updateVcpuTime(vcpu)
  const { bytes } = b.m.host.machine
  const at = vcpuInfoAt(vcpu) + 32
  assert.equal(bytes.getUint32(at, true) % 2, 0)
  const system = b.m.clock.nowNs - domain.state.bornNs
  assert.equal(bytes.getBigUint64(at + 8, true), BigInt(system))
  assert.equal(bytes.getBigUint64(at + 16, true), BigInt(system))
  assert.equal(bytes.getUint32(at + 24, true), 0x8000_0000)
  assert.equal(bytes.getInt8(at + 28), 1)
  b.core.step()
  assert.equal(BigInt.asIntN(64, b.cpu.context.tscOffset), -BigInt(domain.state.bornNs))
})

test('no sequence of exits makes the core throw, or leaves a domain that cannot go', () => {
  const kinds: readonly ExitKind[] = [
    'in', 'out', 'rdmsr', 'wrmsr', 'cpuid', 'halt', 'hypercall', 'pause', 'budget', 'mmio-read',
    'mmio-write', 'window', 'kick', 'shutdown',
  ]
  const address = fc.oneof(
    fc.constantFrom(0x1b, 0x6e0, 0x4000_0000, LAPIC + 0x300, LAPIC + 0x380, LAPIC + 0x320, SVR),
    fc.integer({ min: 0x800, max: 0x840 }), fc.integer({ min: LAPIC, max: LAPIC + 0x1000 }),
    fc.nat())
  const word = fc.bigInt({ min: 0n, max: (1n << 64n) - 1n })
  const exit = fc.record({
    kind: fc.constantFrom(...kinds), address, value: fc.oneof(word, fc.bigInt(0n, 0x1ffn)),
    size: fc.constantFrom(1, 2, 4, 8), gpr: fc.array(fc.oneof(word, fc.bigInt(0n, 0x900n)), {
      minLength: 16, maxLength: 16,
    }), later: fc.nat(1_000_000),
  })
  fc.assert(fc.property(fc.array(exit, { maxLength: 40 }), (exits) => {
    const b = new Bench()
    const { domain } = b.guest()
    for (const { kind, gpr, later, ...particulars } of exits) {
      b.cpu.acts.push(act(kind, particulars, (cpu) => {
        gpr.forEach((value, i) => cpu.context.gpr.set(i, value))
        cpu.context.systemFlags = later & 1 ? 0x202n : 2n
      }))
      b.m.clock.nowNs += later
      b.core.step()
    }
    assert.notEqual(domain.state.shutdownCode, SHUTDOWN_crash)
    domain.pauseNoSync()
    b.core.step()
    assert.equal(destroyDomain(domain), 0)
  }), { numRuns: 80 })
})
