/**
 * xen-hptool's command lines over a hypervisor without processors, in the words that Xen 4.17's had
 * for the same lines on a machine of four CPUs; and what xl shows then.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asDomid, asGfn } from '../../src/abi/numbers.ts'
import { EACCES, EINVAL, ENOSYS, EOPNOTSUPP } from '../../src/abi/xen/errno.ts'
import * as P from '../../src/abi/xen/platform.ts'
import { __HYPERVISOR_platform_op } from '../../src/abi/xen/xen.ts'
import { newDomain } from './machine.ts'
import { session } from './session.ts'

const HELP = [
  'xen-hptool: Xen CPU/memory hotplug tool', 'Usage: xen-hptool <command> [args]', 'Commands:',
  '  help                     display this help',
  '  cpu-online    <cpuid>    online CPU <cpuid>',
  '  cpu-offline   <cpuid>    offline CPU <cpuid>',
  '  mem-online    <mfn>      online MEMORY <mfn>',
  '  mem-offline   <mfn>      offline MEMORY <mfn>',
  '  mem-status    <mfn>      query Memory status<mfn>',
  '  mem-hotadd    <mfn> <mfn> [<node>]  add MEMORY from the first to before the second',
  '  smt-enable               onlines all SMT threads',
  '  smt-disable              offlines all SMT threads',
]

test('the help is shown when asked for, and when a command is called wrongly', async () => {
  const { hptool } = session()
  assert.deepEqual(await hptool(''), HELP)
  assert.deepEqual(await hptool('help'), HELP)
  assert.deepEqual(await hptool('cpu-offline'), [...HELP, 'rc=1'])
  assert.deepEqual(await hptool('cpu-offline 1 2'), [...HELP, 'rc=1'])
  assert.deepEqual(await hptool('smt-disable 1'), [...HELP, 'rc=1'])
  assert.deepEqual(await hptool('frob'),
    ["Unrecognised command 'frob' -- try 'xen-hptool help'", 'rc=1'])
})

test('CPUs go offline and come online, and xl shows it', async () => {
  const { xl, hptool } = session()
  const offline = (cpu: number | string, ...said: string[]): string[] =>
    [`Prepare to offline CPU ${cpu}`, ...said]
  assert.deepEqual(await hptool('cpu-offline 3'), offline(3, 'CPU 3 offlined successfully'))
  const info = await xl('info -n')
  assert.deepEqual(info.filter((line) => /^(nr_cpus|max_cpu_id|cores_per|free_cpus)/.test(line)), [
    'nr_cpus                : 3', 'max_cpu_id             : 3',
    'cores_per_socket       : 3', 'free_cpus              : 0',
  ])
  const at = info.indexOf('cpu:    core    socket     node')
  assert.deepEqual(info.slice(at + 1, at + 5), [
    '  0:       0        0        0', '  1:       1        0        0',
    '  2:       2        0        0', 'device topology        :',
  ])
  assert.deepEqual((await xl('cpupool-list -c')).slice(1), ['Pool-0             0,1,2'])
  assert.deepEqual(await hptool('cpu-offline 3'),
    offline(3, 'CPU 3 offline failed (error 17: File exists)', 'rc=1'))
  assert.deepEqual(await xl('vcpu-pin pv 0 node:0'), [])
  assert.equal((await xl('vcpu-pin pv 0 3')).at(-1), 'rc=1')
  assert.deepEqual(await hptool('cpu-online 3'),
    ['Prepare to online CPU 3', 'CPU 3 onlined successfully'])
  assert.deepEqual(await hptool('cpu-online 3'),
    ['Prepare to online CPU 3', 'CPU 3 online failed (error 17: File exists)', 'rc=1'])
  for (const [word, number] of [['0', 0], ['99', 99], ['-1', -1], ['abc', 0]] as const) {
    assert.deepEqual(await hptool(`cpu-offline ${word}`), offline(number,
      `CPU ${number} offline failed (error 22: Invalid argument)`, 'rc=1'))
  }
  assert.deepEqual(await hptool('smt-enable'),
    ['Unable to enable SMT: errno 95, Operation not supported', 'rc=1'])
  assert.deepEqual(await hptool('smt-disable'),
    ['Unable to disable SMT: errno 95, Operation not supported', 'rc=1'])
})

test('CPUs of other pools stay, and affinities to those that went are broken', async () => {
  const { xl, hptool } = session()
  await xl('cpupool-cpu-remove Pool-0 2')
  await xl('cpupool-create name="p1" cpus=["2"]')
  assert.deepEqual(await hptool('cpu-offline 2'),
    ['Prepare to offline CPU 2', 'CPU 2 offline failed (error 19: No such device)', 'rc=1'])
  await xl('vcpu-pin pv 0 1 1')
  assert.equal((await hptool('cpu-offline 1')).at(-1), 'CPU 1 offlined successfully')
  assert.deepEqual((await xl('vcpu-list pv')).slice(1)
    .map((row) => / {2}(\S+ \/ \S+)$/.exec(row)?.[1]), ['all / 1', 'all / all'])
  assert.deepEqual((await xl('cpupool-list -c')).slice(1),
    ['Pool-0             0,3', 'p1                 2'])
})

test('a free frame goes offline at once, and is free again afterwards', async () => {
  const { hptool, machine } = session()
  const { free, total } = machine.host.frames
  assert.deepEqual(await hptool('mem-offline 0x2000'), ['Prepare to offline MEMORY mfn 2000',
    'Memory mfn 2000 offlined successfully, current state is [PG_OFFLINE_OFFLINED]'])
  assert.deepEqual(await hptool('mem-status 2000'),
    ['Querying MEMORY mfn 2000 status', 'Memory Status 2: [ PAGE_OFFLINED ]'])
  assert.equal((await hptool('mem-offline 2000')).length, 2)
  assert.deepEqual([machine.host.frames.free, machine.host.frames.total], [free - 1, total])
  assert.deepEqual(await hptool('mem-online 0x2000'),
    ['Prepare to online MEMORY mfn 2000', 'Memory mfn 2000 onlined successfully'])
  assert.deepEqual(await hptool('mem-online 0x2000'),
    ['Prepare to online MEMORY mfn 2000', 'Memory is already onlined!'])
  assert.deepEqual(await hptool('mem-status 2000'),
    ['Querying MEMORY mfn 2000 status', 'Memory Status 0: [ PAGE_ONLINED ]'])
  assert.equal(machine.host.frames.free, free)
})

test('frames that are not there, and those of Xen itself, are refused', async () => {
  const { hptool } = session()
  assert.deepEqual(await hptool('mem-offline 0x80000'), ['Prepare to offline MEMORY mfn 80000',
    'Offlining page mfn 80000 failed, error 16', 'XEN_PAGE is not permitted be offlined', 'rc=1'])
  assert.deepEqual(await hptool('mem-online 0x80000'), ['Prepare to online MEMORY mfn 80000',
    'Onlining page mfn 80000 failed, error 16', 'rc=1'])
  assert.deepEqual(await hptool('mem-status 0x80000'), ['Querying MEMORY mfn 80000 status',
    'Querying page mfn 80000 failed, error 16', 'rc=1'])
  assert.deepEqual(await hptool('mem-offline zzz'), ['Prepare to offline MEMORY mfn 0',
    'Offlining page mfn 0 failed, error 1', 'XEN_PAGE is not permitted be offlined', 'rc=1'])
})

test('a guest\'s frame is pending, and goes offline when the guest gives it up', async () => {
  const { hptool, machine, domid } = session()
  const { frames } = machine.host
  const mfn = [...new Array(frames.total).keys()].findLast((frame) =>
    frames.isReserved(frame, domid))!
  const name = mfn.toString(16)
  assert.deepEqual(await hptool(`mem-offline ${name}`), [`Prepare to offline MEMORY mfn ${name}`,
    `DOM${domid}: No suspend port, try live migration`,
    `Failed to suspend guest ${domid} for mfn ${name}`, 'rc=1'])
  const status = async (): Promise<string | undefined> =>
    (await hptool(`mem-status ${name}`)).at(-1)
  assert.equal(await status(), 'Memory Status 8: [ PAGE_OFFLINE_PENDING  PAGE_ONLINED ]')
  const { free } = frames
  const gfn = asGfn(frames.gfnOf(mfn))
  machine.control.xenctrl.decreaseReservation(asDomid(domid), [gfn], 0)
  assert.equal(await status(), 'Memory Status 2: [ PAGE_OFFLINED ]')
  assert.equal(frames.free, free)
  await hptool(`mem-online ${name}`)
  assert.equal(frames.free, free + 1)
})

test('memory is added behind what a node has, and a domain fits that did not', async () => {
  const { hptool, xl, machine } = session('test', { presentFrames: 4096 })
  const { xenctrl } = machine.control
  const populate = (): number => xenctrl.populateRange(asDomid(2), asGfn(0), 4000, 0)
  newDomain(machine, 0)
  xenctrl.setMaxMem(asDomid(2), 64 * 1024)
  assert.ok(populate() < 4000)
  xenctrl.decreaseReservation(asDomid(2),
    Array.from({ length: 4000 }, (_, gfn) => asGfn(gfn)), 0)
  const refused = 'failed (error 22: Invalid argument)'
  for (const [range, node] of [['1200 1400', ''], ['1000 1100', ''], ['1000 1000', ''],
    ['1000 4200', ''], ['1000 1200', ' 1']]) {
    assert.match((await hptool(`mem-hotadd ${range}${node}`)).join('\n'),
      /error 22: Invalid argument/, refused)
  }
  assert.deepEqual(await hptool('mem-hotadd 0x1000 0x2000'), [
    'Prepare to add MEMORY mfn 1000-2000', 'Memory mfn 1000-2000 added successfully'])
  assert.ok((await xl('info')).includes('total_memory           : 32'))
  assert.equal(populate(), 4000)
  assert.deepEqual(await hptool('mem-hotadd 2000 4000 0'), [
    'Prepare to add MEMORY mfn 2000-4000', 'Memory mfn 2000-4000 added successfully'])
  assert.match((await xl('info -n')).join('\n'), /^   0: {8}64 {9}\d\d {6}10$/m)
})

test('platform_op takes CPUs offline and back, and tells of them', async () => {
  const { machine, xl } = session()
  const { buffer } = machine.gate
  const op = P.XenPlatformOp.on(buffer)
  const ask = (cmd: number, cpu: number): number => {
    op.cmd = cmd
    op.interface_version = P.XENPF_INTERFACE_VERSION
    op.u.cpu_ol.cpuid = cpu
    return machine.gate.call(__HYPERVISOR_platform_op, 0)
  }
  const flags = (cpu: number): number => {
    assert.equal(ask(P.XENPF_get_cpuinfo, cpu), 0)
    assert.equal(op.u.pcpu_info.max_present, 3)
    return op.u.pcpu_info.flags
  }
  assert.deepEqual([ask(P.XENPF_cpu_offline, 2), ask(P.XENPF_cpu_offline, 2)], [0, 0])
  assert.deepEqual([flags(1), flags(2), flags(4)],
    [P.XEN_PCPU_FLAGS_ONLINE, 0, P.XEN_PCPU_FLAGS_INVALID])
  assert.deepEqual((await xl('cpupool-list -c')).slice(1), ['Pool-0             0,1,3'])
  assert.deepEqual([ask(P.XENPF_cpu_online, 2), ask(P.XENPF_cpu_online, 2)], [0, 0])
  assert.deepEqual([ask(P.XENPF_cpu_offline, 0), ask(P.XENPF_cpu_offline, 4),
    ask(P.XENPF_cpu_online, 4), ask(P.XENPF_enter_acpi_sleep, 0)],
  [-EOPNOTSUPP, -EINVAL, -EINVAL, -ENOSYS])
  op.interface_version = 1
  assert.equal(machine.gate.call(__HYPERVISOR_platform_op, 0), -EACCES)
})
