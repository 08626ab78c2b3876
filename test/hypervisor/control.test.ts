/**
 * The control domain's programs against the hypervisor, through hypercalls only.
 */
import assert from 'node:assert/strict'
import test from 'node:test'
import { asDomid, asGfn, asGrantRef, type Domid } from '../../src/abi/numbers.ts'
import { HVM_SAVE_CODE_TSC_ADJUST, HvmHwCpu, HvmSaveDescriptor, HvmTscAdjust } from
  '../../src/abi/save/hvm.ts'
import { EEXIST, EINVAL, ENOMEM, ENOSYS, EPERM, ESRCH } from '../../src/abi/xen/errno.ts'
import {
  XEN_DOMCTL_SENDTRIGGER_POWER, XEN_DOMCTL_SENDTRIGGER_RESET, XEN_DOMCTL_SENDTRIGGER_SLEEP,
} from '../../src/abi/xen/domctl.ts'
import { SHUTDOWN_crash } from '../../src/abi/xen/sched.ts'
import { VIRQ_DOM_EXC } from '../../src/abi/xen/xen.ts'
import { HVM_PARAM_ALTP2M, HVM_PARAM_STORE_PFN } from '../../src/abi/xen/hvm/params.ts'
import { featureBits, type FeatureWord, placeOf } from '../../src/abi/x86/cpuid.ts'
import { XenError } from '../../src/dom0/interfaces.ts'
import { PvhPlatform } from '../../src/guest/pvh/platform.ts'
import { contextOf } from '../../src/hypervisor/domain/context.ts'
import { VPF_blocked, VPF_down } from '../../src/hypervisor/domain/state.ts'
import { HypercallArgs } from '../../src/hypervisor/hypercall/args.ts'
import { newDomain, newMachine } from './machine.ts'

const isError = (errno: number) => (error: unknown) =>
  error instanceof XenError && error.errno === errno

const turn = () => new Promise((resolve) => setTimeout(resolve, 5))

test('a domain is created, listed and destroyed, and everything comes back', () => {
  const machine = newMachine()
  const { host, control } = machine
  const { xenctrl } = control
  // The first domain leaves blocks on free lists: count from the second on.
  xenctrl.destroyDomain(newDomain(machine, 16, 2))
  const before = { frames: host.frames.free, heap: host.heap.used }
  const domid = newDomain(machine, 512, 2)
  const info = xenctrl.getDomainInfo(domid)
  assert.equal(info?.totalPages, 512)
  assert.equal(info.paused, true)
  assert.equal(info.hvm, true)
  assert.equal(info.maxVcpuId, 1)
  assert.equal(info.onlineVcpus, 0)
  assert.equal(info.handle[3], 0xab)
  assert.deepEqual(xenctrl.getDomainInfoList(asDomid(0), 100).map((d) => d.domid), [0, domid])
  xenctrl.destroyDomain(domid)
  assert.equal(xenctrl.getDomainInfo(domid), undefined)
  assert.deepEqual({ frames: host.frames.free, heap: host.heap.used }, before)
  control.close()
})

test('memory is claimed for a domain, as much as it may have and the machine has', () => {
  const machine = newMachine(16)
  const { host, control } = machine
  const { xenctrl } = control
  const domid = newDomain(machine, 16)
  xenctrl.setMaxMem(domid, 1024 * 1024)
  const outstanding = (): number[] =>
    [xenctrl.getDomainInfo(domid)!.outstandingPages, xenctrl.physinfo().outstandingPages]
  for (const pages of [16, 1024 * 256 + 1]) {
    assert.throws(() => xenctrl.claimPages(domid, pages), isError(EINVAL))
  }
  assert.throws(() => xenctrl.claimPages(domid, 16 + host.frames.free + 1), isError(ENOMEM))
  xenctrl.claimPages(domid, 116)
  assert.deepEqual(outstanding(), [100, 100])
  assert.throws(() => xenctrl.claimPages(domid, 117), isError(EINVAL))
  xenctrl.populateRange(domid, asGfn(100), 40, 0)
  assert.deepEqual(outstanding(), [60, 60])
  xenctrl.claimPages(domid, 0)
  assert.deepEqual(outstanding(), [0, 0])
  assert.throws(() => xenctrl.claimPages(asDomid(77), 1), isError(EINVAL))
  control.close()
})

test('CPUID shows what there is, and of that what the toolstack lets it', () => {
  const machine = newMachine()
  const { host, control: { xenctrl } } = machine
  const domid = newDomain(machine)
  const vcpu = new PvhPlatform(host).vcpuOf(host.domain(domid)!.vcpu(0)!)
  const shows = (word: FeatureWord, bit: number): boolean => {
    const { leaf, subleaf, register } = placeOf(word)
    const { eax, ebx, ecx, edx } = vcpu.cpuid(leaf, subleaf)
    return (([eax, ebx, ecx, edx][register] ?? 0) >>> bit & 1) === 1
  }
  const { constant_tsc } = featureBits['80000007.edx']
  const { avx2, bmi2 } = featureBits['7.ebx']
  const all = () => [shows('80000007.edx', constant_tsc), shows('7.ebx', avx2),
    shows('7.ebx', bmi2), shows('d1.eax', featureBits['d1.eax'].xsavec)]
  assert.deepEqual(all(), [true, true, true, true])
  xenctrl.setFeatures(domid, new Map([['80000007.edx', 0], ['7.ebx', 1 << bmi2]]))
  assert.deepEqual(all(), [false, false, true, true])
  // What there is not cannot be shown.
  xenctrl.setFeatures(domid, new Map([['80000007.edx', 0xffff_ffff]]))
  assert.equal(vcpu.cpuid(0x8000_0007, 0).edx, 1 << constant_tsc)
  xenctrl.setFeatures(domid, new Map([['d1.eax', 0]]))
  assert.deepEqual(all(), [true, false, true, false])
  host.domain(domid)!.vcpu(0)!.state.cpuTimeNs = 1
  assert.throws(() => xenctrl.setFeatures(domid, new Map([['7.ebx', 0]])), isError(EEXIST))
  assert.throws(() => xenctrl.setFeatures(asDomid(77), new Map([['7.ebx', 0]])), isError(ESRCH))
  machine.control.close()
})

test('domids are not used again at once', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const first = newDomain(machine, 0)
  xenctrl.destroyDomain(first)
  assert.equal(newDomain(machine, 0), first + 1)
  machine.control.close()
})

test('a domain gets no more memory than max_mem, and none that the machine lacks', () => {
  const machine = newMachine(16)
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 0)
  xenctrl.setMaxMem(domid, 64)
  const gfns = Array.from({ length: 20 }, (_, i) => asGfn(i))
  assert.equal(xenctrl.populatePhysmap(domid, gfns, 0), 16)
  xenctrl.setMaxMem(domid, 1024 * 1024)
  const free = machine.host.frames.free
  const done = xenctrl.populateRange(domid, asGfn(0x1000), 64, 9)
  assert.ok(done > 0 && done < 8, `${done}`)
  assert.ok(machine.host.frames.free <= free - done * 512)
  xenctrl.destroyDomain(domid)
  machine.control.close()
})

test('a freed frame is zero when it is given to another', () => {
  const machine = newMachine(16)
  const { xenctrl, memory } = machine.control
  const first = newDomain(machine, 1024)
  memory.write(first, 0x1ff0, new Uint8Array(0x3000).fill(0xee))
  xenctrl.destroyDomain(first)
  const second = newDomain(machine, 2048)
  assert.ok(memory.read(second, 0, 2048 * 4096).every((byte) => byte === 0))
  machine.control.close()
})

test('foreign writes arrive at the physical address, across pages', () => {
  const machine = newMachine()
  const { memory } = machine.control
  const domid = newDomain(machine, 64)
  const bytes = Uint8Array.from({ length: 10000 }, (_, i) => i * 7 & 0xff)
  memory.write(domid, 0x2ffd, bytes)
  assert.deepEqual(memory.read(domid, 0x2ffd, 10000), bytes)
  const mapping = memory.map(domid, [asGfn(3)])
  assert.equal(mapping.page(0)[0], bytes[3])
  mapping.unmap()
  assert.throws(() => memory.map(domid, [asGfn(3), asGfn(64)]), XenError)
  machine.control.close()
})

test('a page that Dom0 maps outlives its domain, and is freed when unmapped', () => {
  const machine = newMachine()
  const { xenctrl, memory } = machine.control
  const former = newDomain(machine, 16)
  memory.map(former, [asGfn(0)]).unmap()
  xenctrl.destroyDomain(former)
  const free = machine.host.frames.free
  const domid = newDomain(machine, 16)
  const mapping = memory.map(domid, [asGfn(5)])
  mapping.page(0)[0] = 9
  xenctrl.destroyDomain(domid)
  assert.equal(mapping.page(0)[0], 9)
  assert.equal(machine.host.frames.free, free - 1)
  mapping.unmap()
  assert.equal(machine.host.frames.free, free)
  machine.control.close()
})

test('domctl on a domain that is not there is ESRCH', () => {
  const machine = newMachine()
  assert.throws(() => machine.control.xenctrl.pauseDomain(asDomid(77)), isError(ESRCH))
  machine.control.close()
})

test('the CPU record brings a vcpu up with its registers', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 16)
  const stream = new Uint8Array(8 + HvmHwCpu.size + 8)
  const head = HvmSaveDescriptor.on(stream)
  head.typecode = 2
  head.length = HvmHwCpu.size
  const cpu = HvmHwCpu.on(stream, 8)
  cpu.rip = 0x100_0850n
  cpu.rbx = 0x1234n
  cpu.cr0 = 0x11n
  cpu.rflags = 2n
  cpu.cs_arbytes = 0xc9b
  cpu.cs_limit = 0xffff_ffff
  cpu.cr0 = 0x11n
  xenctrl.setHvmContext(domid, stream)
  const vcpu = machine.host.domain(domid)!.vcpu(0)!
  assert.equal(contextOf(vcpu).rip, 0x100_0850n)
  assert.equal(contextOf(vcpu).segments.item(1).attributes, 0xc9b)
  assert.equal(xenctrl.getVcpuInfo(domid, 0).online, true)
  const saved = xenctrl.getHvmContext(domid)
  const found = HvmSaveDescriptor.on(saved, 8 + 24)
  assert.equal(found.typecode, 2)
  const again = HvmHwCpu.on(saved, 8 + 24 + 8)
  assert.equal(again.rip, 0x100_0850n)
  assert.equal(again.rbx, 0x1234n)
  assert.equal(again.cs_arbytes, 0xc9b)
  assert.equal(vcpu.isRunnable, false)
  xenctrl.unpauseDomain(domid)
  assert.equal(vcpu.isRunnable, true)
  machine.control.close()
})

test('TSC_ADJUST travels as a record of its own', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 16)
  const adjust = contextOf(machine.host.domain(domid)!.vcpu(0)!)
  adjust.tscAdjust = 0xffff_ffff_ffff_fffbn
  const record = (bytes: number): Uint8Array => {
    const stream = new Uint8Array(8 + bytes + 8)
    const head = HvmSaveDescriptor.on(stream)
    head.typecode = HVM_SAVE_CODE_TSC_ADJUST
    head.length = bytes
    return stream
  }
  const size = HvmTscAdjust.size
  const saved = xenctrl.getHvmContext(domid)
  let at = 0
  for (let head = HvmSaveDescriptor.on(saved); head.typecode !== HVM_SAVE_CODE_TSC_ADJUST;) {
    at += 8 + head.length
    head = HvmSaveDescriptor.on(saved, at)
  }
  assert.equal(HvmTscAdjust.on(saved, at + 8).tsc_adjust, adjust.tscAdjust)
  const stream = record(size)
  HvmTscAdjust.on(stream, 8).tsc_adjust = 7n
  xenctrl.setHvmContext(domid, stream)
  assert.equal(adjust.tscAdjust, 7n)
  assert.throws(() => xenctrl.setHvmContext(domid, record(4)), isError(EINVAL))
  machine.control.close()
})

test('an event from a guest port reaches the handler in Dom0', async () => {
  const machine = newMachine()
  const { events } = machine.control
  const domid = newDomain(machine, 16)
  const guestPort = events.allocUnbound(domid, asDomid(0))
  const port = events.bindInterdomain(domid, guestPort)
  let count = 0
  events.onEvent(port, () => { count++ })
  await turn()
  const before = count
  events.notify(port)
  send(machine, domid, guestPort)
  await turn()
  assert.equal(count, before + 1)
  events.unbind(port)
  machine.control.close()
})

function send(machine: ReturnType<typeof newMachine>, domid: Domid, port: number): void {
  const vcpu = machine.host.domain(domid)!.vcpu(0)!
  const domain = vcpu.domain
  vcpu.setTranslate((linear, write) => domain.p2m.translate(linear, write))
  vcpu.memory.writeU32(0x100, port)
  const registers = new HypercallArgs()
  registers.set(0, 4)
  registers.set(1, 0x100)
  assert.equal(machine.dispatcher.call(vcpu, 32, registers), 0)
}

test('a crash of a domain raises VIRQ_DOM_EXC and shows in its info', async () => {
  const machine = newMachine()
  const { events, xenctrl } = machine.control
  const port = events.bindVirq(VIRQ_DOM_EXC)
  let told = 0
  events.onEvent(port, () => { told++ })
  const domid = newDomain(machine, 16)
  machine.host.domain(domid)!.crash('test')
  await turn()
  assert.ok(told > 0)
  const info = xenctrl.getDomainInfo(domid)
  assert.equal(info?.shutdown, true)
  assert.equal(info.shutdownReason, SHUTDOWN_crash)
  const log = new TextDecoder().decode(xenctrl.readConsole(true))
  assert.match(log, /Domain 1 crashed: test/)
  assert.equal(xenctrl.readConsole(false).length, 0)
  machine.control.close()
})

test('seeded grants can be mapped by Dom0', () => {
  const machine = newMachine()
  const { grants, memory } = machine.control
  const domid = newDomain(machine, 16)
  grants.seed(domid, asGrantRef(1), asDomid(0), asGfn(7))
  memory.write(domid, 7 * 4096, Uint8Array.of(42))
  const mapping = grants.map(domid, [asGrantRef(1)], true)
  assert.equal(mapping.page(0)[0], 42)
  mapping.page(0)[1] = 43
  mapping.unmap()
  assert.equal(memory.read(domid, 7 * 4096 + 1, 1)[0], 43)
  assert.throws(() => grants.map(domid, [asGrantRef(2)], true), XenError)
  machine.control.close()
})

test('parameters keep their value; some can be given only once', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 0)
  xenctrl.setHvmParam(domid, HVM_PARAM_STORE_PFN, 0xfeffc)
  assert.equal(xenctrl.getHvmParam(domid, HVM_PARAM_STORE_PFN), 0xfeffcn)
  assert.throws(() => xenctrl.setHvmParam(domid, HVM_PARAM_ALTP2M, 1), XenError)
  machine.control.close()
})

test('versions, host facts and the cpupool are there for xl info', () => {
  const machine = newMachine(32, 2)
  const { xenctrl } = machine.control
  const version = xenctrl.version()
  assert.equal(`${version.major}.${version.minor}${version.extra}`, '4.17.7')
  assert.equal(version.virtStart, 0xffff_8000_0000_0000n)
  assert.equal(version.commandLine, 'test')
  const host = xenctrl.physinfo()
  assert.equal(host.nrCpus, 2)
  assert.equal(host.totalPages, 8192)
  assert.equal(xenctrl.schedId(), 6)
  assert.equal(xenctrl.cpupoolInfo(0)?.domainCount, 1)
  assert.equal(xenctrl.cpupoolInfo(1), undefined)
  assert.equal(xenctrl.cpupoolInfo(0)?.cpuMap[0], 3)
  machine.control.close()
})

test('a VCPU that waits is blocked, unless its domain is paused', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 16)
  const vcpu = machine.host.domain(domid)!.vcpu(0)!
  vcpu.setFlag(VPF_blocked)
  const seen = () => [xenctrl.getDomainInfo(domid)!.blocked, xenctrl.getVcpuInfo(domid, 0).blocked]
  assert.deepEqual(seen(), [false, false])
  xenctrl.unpauseDomain(domid)
  // It is offline until somebody has it up.
  assert.deepEqual(seen(), [false, true])
  vcpu.clearFlag(VPF_down)
  assert.deepEqual(seen(), [true, true])
  xenctrl.pauseDomain(domid)
  assert.deepEqual(seen(), [false, false])
  machine.control.close()
})

test('affinities are remembered, and answered as set', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 0)
  assert.equal(xenctrl.getVcpuAffinity(domid, 0).hard[15], 0xff)
  xenctrl.setVcpuAffinity(domid, 0, { hard: Uint8Array.of(2) })
  assert.equal(xenctrl.getVcpuAffinity(domid, 0).hard[0], 2)
  assert.throws(() => xenctrl.setVcpuAffinity(domid, 0, { hard: Uint8Array.of(4) }), XenError)
  machine.control.close()
})

test('a trigger needs a VCPU; the buttons of a domain without ACPI\'s do nothing', () => {
  const machine = newMachine()
  const { xenctrl } = machine.control
  const domid = newDomain(machine, 0)
  const press = (to: Domid, trigger: number, vcpu = 0) => () =>
    xenctrl.sendTrigger(to, trigger, vcpu)
  for (const button of [XEN_DOMCTL_SENDTRIGGER_POWER, XEN_DOMCTL_SENDTRIGGER_SLEEP]) {
    press(domid, button)()
    assert.throws(press(domid, button, 9), isError(ESRCH))
    assert.throws(press(asDomid(0), button), isError(EINVAL))
  }
  assert.throws(press(domid, XEN_DOMCTL_SENDTRIGGER_RESET), isError(ENOSYS))
  machine.control.close()
})

test('an unprivileged domain may not use domctl', () => {
  const machine = newMachine()
  const domid = newDomain(machine, 16)
  const vcpu = machine.host.domain(domid)!.vcpu(0)!
  vcpu.setTranslate((linear, write) => vcpu.domain.p2m.translate(linear, write))
  const bytes = new DataView(new ArrayBuffer(152))
  bytes.setUint32(0, 5, true)
  bytes.setUint32(4, 0x15, true)
  vcpu.memory.copyOut(bytes, 0x100, 152)
  const args = new HypercallArgs()
  args.set(0, 0x100)
  assert.equal(machine.dispatcher.call(vcpu, 36, args), -EPERM)
  machine.control.close()
})
