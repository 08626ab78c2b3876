/**
 * Wake-ups between cores: at each access of a core to what is shared, all that another has to do
 * comes between, and afterwards nobody waits for what has happened already.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { interrupted } from '../base/shared/interleaving.ts'
import { RFLAGS } from '../cpu/state.ts'
import { PvhPlatform } from '../guest/pvh/platform.ts'
import { SCHEDOP_block, SCHEDOP_poll } from '../abi/xen/sched.ts'
import { __HYPERVISOR_sched_op } from '../abi/xen/xen.ts'
import { contextOf } from '../hypervisor/domain/context.ts'
import type { Vcpu } from '../hypervisor/domain/vcpu.ts'
import { VPF_blocked } from '../hypervisor/domain/state.ts'
import { allocUnbound, bindIpi } from '../hypervisor/events/bind.ts'
import { Events } from '../hypervisor/events/events.ts'
import { TestMachine } from '../hypervisor/events/test-machine.ts'
import { Timekeeper } from '../hypervisor/time/timekeeper.ts'
import { Core } from './core.ts'
import { type Act, act, ScriptedCpu } from './scripted-cpu.ts'

const [RAX, RSI, RDI] = [0, 6, 7]
const UPCALL = 0xf3
/** Interrupt commands to the processor with id 0. */
const [INIT, STARTUP] = [0x4500, 0x4608]
const PORTS_AT = 0x400
const POLL_AT = 0x500
/** More accesses than a step makes. */
const ENDLESS = 2000

/** Two cores, and a guest on the first whose vcpu 0 is told of events by a vector of its LAPIC. */
class Bench {
  readonly m = new TestMachine(2)
  readonly cpus = [new ScriptedCpu(), new ScriptedCpu()]
  readonly guests: readonly PvhPlatform[]
  readonly cores: readonly Core[]
  readonly vcpu: Vcpu
  readonly ipi: number

  constructor() {
    const { host, hypervisor } = this.m
    this.guests = this.cpus.map(() => new PvhPlatform(host))
    host.subsystems.push(this.guests[0]!)
    this.cores = this.cpus.map((cpu, index) => new Core({
      index, host, dispatcher: hypervisor.dispatcher, cpu, guests: this.guests[index]!,
    }))
    const domain = this.m.guest()
    this.vcpu = this.m.vcpu(domain)
    const context = contextOf(this.vcpu)
    context.systemFlags = BigInt(RFLAGS.IF | 2)
    context.efer = 1n << 10n
    context.segments.item(1).attributes = 1 << 9
    for (const cpu of this.cpus) {
      cpu.translateTo = (linear) => domain.p2m.translate(linear, true)
    }
    this.ipi = bindIpi(Events.of(host), domain, 0)
    this.vcpu.state.upcallVector = UPCALL
    this.first(act('mmio-write', { address: 0xfee0_00f0, size: 4, value: 0x1ffn }))
  }

  /** Has the first core run the vcpu for some acts. */
  first(...acts: Act[]): void {
    this.cpus[0]!.acts.push(...acts)
    for (const { length } of acts) assert.ok(this.cores[0]!.step(), `${length}`)
  }

  /** The vcpu's event comes, and the other core has the time to run it if it can. */
  readonly event = (): void => {
    Events.of(this.m.host).send(this.vcpu.domain, this.ipi)
    for (let i = 0; i < 3; i++) this.cores[1]!.step()
  }

  /** Both cores go on. */
  settle(): void {
    for (let i = 0; i < 3; i++) for (const core of this.cores) core.step()
  }

  /** The vcpu was told of its event, once. */
  assertTold(at: number): void {
    this.settle()
    assert.deepEqual(this.cpus.flatMap(({ log }) => log).filter((line) => /^int/.test(line)),
      [`interrupt ${UPCALL.toString(16)}`], `interrupted at access ${at}`)
  }
}

/** Runs a scenario with the event at each access of the first core's next steps. */
function atEachAccess(
  begin: (bench: Bench) => void, atEnd: (bench: Bench, at: number) => void = () => {},
): void {
  for (let at = 0; ; at++) {
    assert.ok(at < ENDLESS, 'the work ends')
    const bench = new Bench()
    begin(bench)
    const steps = (): void => {
      for (let i = 0; i < 3; i++) bench.cores[0]!.step()
    }
    if (!interrupted(at, steps, bench.event)) {
      assert.ok(at > 10, 'the accesses are seen')
      return
    }
    bench.assertTold(at)
    atEnd(bench, at)
  }
}

function schedOp(command: number): Act {
  return act('hypercall', {}, ({ context }) => {
    context.cpl = 0
    context.gpr.set(RAX, BigInt(__HYPERVISOR_sched_op))
    context.gpr.set(RDI, BigInt(command))
    context.gpr.set(RSI, BigInt(POLL_AT))
  })
}

test('an event that comes while a core looks at a blocked vcpu\'s timer', () => {
  atEachAccess((bench) => {
    bench.first(act('halt'))
    assert.equal(bench.cores[0]!.step(), false)
    assert.equal(bench.vcpu.state.flags, VPF_blocked)
    const { clock, host } = bench.m
    Timekeeper.of(host).stateOf(bench.vcpu).singleshot = clock.nowNs + 1000
    host.kickCore(0)
    bench.cores[0]!.step()
    clock.nowNs += 1000
  }, ({ vcpu }, at) => {
    assert.equal(vcpu.state.flags, 0, `it waits again, interrupted at access ${at}`)
  })
})

for (const [name, wait] of [['HLT', act('halt')], ['SCHEDOP_block', schedOp(SCHEDOP_block)]] as
  const) {
  test(`an event that comes while a vcpu begins to wait by ${name}`, () => {
    atEachAccess(({ cpus }) => {
      cpus[0]!.acts.push(wait)
    })
  })
}

test('an event of another port that comes while a vcpu begins to poll', () => {
  atEachAccess((bench) => {
    const { domain } = bench.vcpu
    const other = allocUnbound(Events.of(bench.m.host), domain, 0)
    const { bytes } = bench.m.host.machine
    bytes.setUint32(bench.m.at(domain, PORTS_AT), other, true)
    const poll = [PORTS_AT, 0, 1, 0, 0, 0]
    poll.forEach((word, i) => bytes.setUint32(bench.m.at(domain, POLL_AT) + i * 4, word, true))
    bench.cpus[0]!.acts.push(schedOp(SCHEDOP_poll))
  })
})

test('a processor that waits begins anew when it is told to', () => {
  const bench = new Bench()
  bench.first(act('halt'))
  assert.equal(bench.cores[0]!.step(), false)
  const { lapic } = bench.guests[1]!.vcpuOf(bench.vcpu)
  for (const command of [INIT, STARTUP]) lapic.mmioWrite(0x300, 4, command)
  bench.settle()
  assert.equal(bench.vcpu.state.flags, 0)
  assert.equal(contextOf(bench.vcpu).efer, 0n)
})
