/**
 * Schedulers and cpupools through xl's command lines, over a hypervisor without processors, in the
 * words that real xl 4.17 on real Xen had for the same lines on a machine of four CPUs.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { asDomid, asGfn } from '../../src/abi/numbers.ts'
import { Scheduler } from '../../src/hypervisor/sched/scheduler.ts'
import { newDomain } from './machine.ts'
import { session } from './session.ts'

const busy = (action: string, cpu: number, why: string): string =>
  `libxl: error: Error ${action === 'add' ? 'moving' : 'removing'} cpu ${cpu} ` +
  `${action === 'add' ? 'to' : 'from'} cpupool: ${why}`
const notRemoved = (pool: string): string[] => [
  `Some cpus may have not or only partially been removed from '${pool}'.`,
  `If a cpu can't be added to another cpupool, add it to '${pool}' again and retry.`,
]

test('pools are made of free CPUs, listed, renamed and destroyed', async () => {
  const { xl } = session()
  assert.deepEqual(await xl('cpupool-create name="p1" sched="credit" cpus=["2"]'),
    ['cpu 2 illegal or not free', 'rc=6'])
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 3'), [])
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 2'), [])
  assert.deepEqual(await xl('cpupool-create name="p1" sched="credit" cpus=["2"]'), [
    'Using config file "command line"', 'cpupool name:   p1', 'scheduler:      credit',
    'number of cpus: 1',
  ])
  assert.deepEqual(await xl('cpupool-create name="p1" cpus=["3"]'),
    ['Pool name "p1" already exists', 'rc=1'])
  assert.deepEqual(await xl('cpupool-create name="p2" sched="nosuch"'),
    ['Unknown scheduler', 'rc=1'])
  assert.deepEqual(await xl('cpupool-create sched="credit"'), ['Missing cpupool name!', 'rc=1'])
  assert.deepEqual(await xl('cpupool-create name="p4" cpus=["9"]'),
    ['cpu 9 illegal or not free', 'rc=6'])
  assert.equal((await xl('cpupool-create name="p3"')).at(-1), 'number of cpus: 0')
  assert.deepEqual(await xl('cpupool-list'), [
    'Name               CPUs   Sched     Active   Domain count',
    'Pool-0               2   credit2       y          2',
    'p1                   1    credit       y          0',
    'p3                   0   credit2       y          0',
  ])
  assert.deepEqual((await xl('cpupool-list -c')).slice(1),
    ['Pool-0             0,1', 'p1                 2', 'p3                 '])
  assert.deepEqual(await xl('cpupool-rename nosuch p7'), ['unknown cpupool \'nosuch\'', 'rc=1'])
  assert.deepEqual(await xl('cpupool-rename p1 p7'), [])
  assert.deepEqual(await xl('cpupool-destroy Pool-0'),
    ['Can\'t destroy cpupool \'Pool-0\'', 'rc=1'])
  assert.deepEqual(await xl('cpupool-destroy p7'), [])
  assert.deepEqual(await xl('cpupool-cpu-add Pool-0 2-3'), [])
})

test('CPUs that cannot be moved are named, and the exit code is 0', async () => {
  const { xl } = session()
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 0'),
    [busy('remove', 0, 'Invalid argument'), ...notRemoved('Pool-0')])
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 77'), [])
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 2-3'), [])
  assert.equal((await xl('cpupool-create name="p1" cpus="2"')).length, 4)
  assert.deepEqual(await xl('cpupool-migrate pv p1'), [])
  assert.deepEqual(await xl('cpupool-cpu-remove p1 2'),
    [busy('remove', 2, 'Device or resource busy'), ...notRemoved('p1')])
  assert.deepEqual(await xl('cpupool-cpu-remove p1 1'),
    [busy('remove', 1, 'Cannot assign requested address'), ...notRemoved('p1')])
  assert.deepEqual(await xl('cpupool-cpu-add p1 all'), [
    ...[0, 1, 2].map((cpu) => busy('add', cpu, 'No such device')),
    ...[4, 5, 6, 7].map((cpu) => busy('add', cpu, 'Invalid argument')),
    'some cpus may not have been added to p1',
  ])
  assert.deepEqual(await xl('cpupool-destroy p1'), ['Can\'t destroy cpupool \'p1\'', 'rc=1'])
  assert.deepEqual(await xl('cpupool-cpu-add p1 abc'), ['Invalid pcpu range: abc.', 'rc=1'])
})

test('a domain that moves has the other scheduler\'s defaults, and no affinity', async () => {
  const { xl } = session()
  await xl('cpupool-cpu-remove Pool-0 2-3')
  await xl('cpupool-create name="p1" sched="credit" cpus=["2"]')
  await xl('cpupool-create name="p3"')
  assert.deepEqual(await xl('sched-credit2 -d pv -w 512 -c 50'), [])
  assert.deepEqual(await xl('vcpu-pin pv 0 1'), [])
  assert.deepEqual(await xl('cpupool-migrate pv p1'), [])
  assert.deepEqual(await xl('cpupool-migrate pv p3'),
    ['libxl: error: Domain 1:Error moving domain to cpupool', 'rc=1'])
  assert.deepEqual(await xl('cpupool-migrate 0 p1'),
    ['libxl: error: Error moving domain to cpupool', 'rc=1'])
  assert.deepEqual(await xl('cpupool-migrate 99 p1'), ['unknown domain \'99\'', 'rc=1'])
  assert.deepEqual(await xl('sched-credit'), [
    'Cpupool p1: tslice=30ms ratelimit=1000us migration-delay=0us',
    'Name                                ID Weight  Cap',
    'pv                                   1    256    0',
  ])
  assert.match((await xl('vcpu-list pv'))[1] ?? '', /all \/ all$/)
  assert.deepEqual(await xl('vcpu-pin pv 0 0'), [
    'libxl: error: Domain 1:Setting vcpu affinity: Invalid argument',
    'Could not set affinity for vcpu `0\'.', 'rc=1',
  ])
  assert.deepEqual(await xl('sched-credit2 -d pv -w 10'), [
    'libxl: error: Domain 1:Getting domain sched credit2: Invalid argument',
    'libxl_domain_sched_params_set failed.', 'rc=1',
  ])
})

test('a CPU that leaves a pool takes hard affinities along that name no other', async () => {
  const { xl } = session()
  await xl('vcpu-pin pv 0 3')
  await xl('vcpu-pin pv 1 2-3')
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 3'), [])
  const rows = (await xl('vcpu-list pv')).slice(1)
  assert.deepEqual(rows.map((row) => / {2}(\S+ \/ \S+)$/.exec(row)?.[1]),
    ['all / all', '2-3 / all'])
})

test('parameters of credit and credit2 are checked', async () => {
  const { xl } = session()
  const range = 'libxl: error: Domain 1:Cpu cap out of range, valid range is from 0 to 200 for ' +
    'specified number of vcpus'
  const rate = 'libxl: error: Ratelimit out of range, valid range is from 100 to 500000'
  const unset = ['libxl_domain_sched_params_set failed.', 'rc=1']
  assert.deepEqual(await xl('sched-credit2 -d pv -c 300'), [range, ...unset])
  assert.deepEqual(await xl('sched-credit2 -d pv -c -1'), [])
  assert.deepEqual(await xl('sched-credit2 -s'), ['Cpupool Pool-0: ratelimit=1000us'])
  assert.deepEqual(await xl('sched-credit2 -s -r 500'), [])
  assert.deepEqual(await xl('sched-credit2 -s -r 50'),
    [rate, 'libxl_sched_credit2_params_set failed.', 'rc=1'])
  assert.deepEqual(await xl('sched-credit2 -s -p Pool-0'), ['Cpupool Pool-0: ratelimit=500us'])
  assert.deepEqual(await xl('sched-credit2 -d pv -p Pool-0'),
    ['Specifying a cpupool is not allowed with other options.', 'rc=1'])
  assert.deepEqual(await xl('sched-credit -s'), [
    'libxl: error: getting Credit scheduler parameters: Invalid argument',
    'libxl_sched_credit_params_get failed.', 'Cpupool Pool-0: [sched params unavailable]',
  ])
  assert.deepEqual(await xl('sched-credit -s -t 5'), [
    'libxl: error: getting Credit scheduler parameters: Invalid argument',
    'libxl_sched_credit_params_get failed.', 'rc=1',
  ])
  assert.deepEqual(await xl('sched-credit'), [])
  assert.deepEqual(await xl('sched-credit -t 5'),
    ['Must specify schedparam to set schedule parameter values.', 'rc=1'])
  await xl('cpupool-cpu-remove Pool-0 3')
  await xl('cpupool-create name="p1" sched="credit" cpus=["3"]')
  const slice = 'libxl: error: Time slice out of range, valid range is from 1 to 1000'
  const failed = ['libxl_sched_credit_params_set failed.', 'rc=1']
  assert.deepEqual(await xl('sched-credit -s -p p1 -t 10 -r 5000'), [])
  assert.deepEqual(await xl('sched-credit -s -p p1 -t 2000'), [slice, ...failed])
  assert.deepEqual(await xl('sched-credit -s -p p1 -r 50000'),
    ['libxl: error: Ratelimit cannot be greater than timeslice', ...failed])
  assert.deepEqual(await xl('sched-credit -s -p p1'),
    ['Cpupool p1: tslice=10ms ratelimit=5000us migration-delay=0us'])
  assert.deepEqual(await xl('sched-credit2 -d 99'), [
    'Name                                ID Weight  Cap',
    'libxl: error: getinfolist failed 0: No such file or directory',
    'libxl: error: Domain 99:Unknown scheduler',
    'libxl_domain_sched_params_get failed.', 'rc=1',
  ])
})

test('sched-rtds sets periods and budgets of VCPUs', async () => {
  const { xl } = session()
  await xl('cpupool-cpu-remove Pool-0 3')
  await xl('cpupool-create name="rt" sched="rtds" cpus=["3"]')
  assert.deepEqual(await xl('sched-rtds -d pv -p 5000 -b 1000'), ['Must specify VCPU.', 'rc=1'])
  assert.deepEqual(await xl('sched-rtds -d pv'), [
    'Name                                ID    Period    Budget  Extratime',
    'libxl_domain_sched_params_get returned credit2 not rtds.', 'rc=1',
  ])
  await xl('cpupool-migrate pv rt')
  assert.deepEqual(await xl('sched-rtds -d pv -v 1 -p 20000 -b 5000 -e 0'), [])
  assert.deepEqual(await xl('sched-rtds -d pv -v all'), [
    'Name                                ID VCPU    Period    Budget  Extratime',
    'pv                                   1    0     10000      4000        yes',
    'pv                                   1    1     20000      5000         no',
  ])
})

test('a pool is empty, or refuses to lose its last CPU', () => {
  const { machine, domid } = session()
  const { xenctrl } = machine.control
  const { pools } = Scheduler.of(machine.host).queues
  assert.equal(pools[0]?.domainCount, 2)
  xenctrl.destroyDomain(asDomid(domid))
  assert.equal(pools[0]?.domainCount, 1)
  const empty = xenctrl.createCpupool(6)
  assert.equal(empty, 1)
  assert.throws(() => xenctrl.addCpuToPool(7, 1), /ENOENT/)
  assert.throws(() => xenctrl.createDomain({
    handle: new Uint8Array(16), flags: 3, maxVcpus: 1, emulationFlags: 1, cpupool: empty,
  }), /ENODEV/)
})

test('with two NUMA nodes, memory is of the node that a domain has affinity to', async () => {
  const { machine, xl } = session('numa=fake=2')
  const { xenctrl } = machine.control
  const free = (): number[] => xenctrl.numaNodes().map(({ freeBytes }) => freeBytes >> 20)
  const before = free()
  for (const [domid, node] of [[1, 1], [2, 0]] as const) {
    if (domid === 2) newDomain(machine, 0)
    xenctrl.setMaxMem(asDomid(domid), 64 * 1024)
    xenctrl.setNodeAffinity(asDomid(domid), Uint8Array.of(1 << node))
    xenctrl.populateRange(asDomid(domid), asGfn(0x1000), 2048, 0)
    const now = free()
    assert.ok(Math.abs(before[node]! - now[node]! - 8) <= 1, `${before} ${now}`)
  }
  assert.deepEqual((await xl('list -n')).slice(1).map((row) => row.split(' ').at(-1)),
    ['all', '1', '0'])
  // More than the node has is taken from the other.
  xenctrl.populateRange(asDomid(2), asGfn(0x2000), 8192, 0)
  assert.ok(free()[0]! <= 1)
})

test('xl info -n shows the nodes, and ranges may name them', async () => {
  const { xl } = session('numa=fake=2')
  const said = await xl('info -n')
  const at = said.indexOf('cpu_topology           :')
  assert.deepEqual(said.slice(at, at + 6), [
    'cpu_topology           :', 'cpu:    core    socket     node',
    '  0:       0        0        0', '  1:       1        0        0',
    '  2:       0        1        1', '  3:       1        1        1',
  ])
  assert.match(said.join('\n'), /^ {3}0: {8}32 +\d+ {6}10,20\n {3}1: {8}32 +\d+ {6}20,10$/m)
  assert.match(said.join('\n'), /^nr_nodes +: 2$/m)
  assert.deepEqual(await xl('vcpu-pin pv 0 node:1'), [])
  assert.deepEqual(await xl('vcpu-pin pv 1 nodes:0-1 node:0'), [])
  assert.deepEqual(await xl('vcpu-pin pv 1 node:7'), ['vcpu hard affinity map is empty', 'rc=1'])
  assert.deepEqual((await xl('vcpu-list pv')).slice(1)
    .map((row) => / {2}(\S+ \/ \S+)$/.exec(row)?.[1]), ['2-3 / all', 'all / 0-1'])
  assert.deepEqual(await xl('cpupool-numa-split'), [])
  assert.deepEqual((await xl('cpupool-list -c')).slice(1),
    ['Pool-node0         0,1', 'Pool-node1         2,3'])
})

test('a soft affinity that no hard one allows is warned of, and kept', async () => {
  const { xl, domid } = session()
  const warning = (vcpu: number): string => `libxl: warning: Domain ${domid}:All cpus in soft ` +
    `affinity of vcpu ${vcpu} are unreachable. Only hard affinity will be considered for scheduling`
  assert.deepEqual(await xl('vcpu-pin pv 0 0 2'), [warning(0)])
  assert.deepEqual(await xl('vcpu-pin pv 0 0-1 1-2'), [])
  assert.deepEqual(await xl('vcpu-pin pv 0 - 3'), [warning(0)])
  assert.deepEqual(await xl('vcpu-pin pv 0 - 9'), [warning(0)])
  assert.deepEqual(await xl('vcpu-pin pv 1 2-3 all'), [])
  assert.deepEqual(await xl('vcpu-pin pv all - 0,3'), [])
  assert.deepEqual(await xl('cpupool-cpu-remove Pool-0 3'), [])
  assert.deepEqual(await xl('vcpu-pin pv all - 3'), [warning(0), warning(1)])
  assert.deepEqual((await xl('vcpu-list pv')).slice(1)
    .map((row) => / {2}(\S+ \/ \S+)$/.exec(row)?.[1]), ['0-1 / 3', '2-3 / 3'])
})

test('nodes may differ in size, CPUs and distances', async () => {
  const { xl } = session('', {
    nodes: [
      { frames: 4096, cores: [0, 3], distances: [10, 25] },
      { frames: 12288, cores: [1, 2], distances: [35, 10] },
    ],
  })
  const said = (await xl('info -n')).join('\n')
  assert.match(said, /^ {3}0: {8}16 +\d+ {6}10,25\n {3}1: {8}48 +\d+ {6}35,10$/m)
  assert.match(said, /^ {2}0: {7}0 {8}0 {8}0\n {2}1: {7}0 {8}1 {8}1\n {2}2: {7}1 {8}1 {8}1\n/m)
  assert.deepEqual(await xl('vcpu-pin pv 0 node:1'), [])
  assert.match((await xl('vcpu-list pv')).join('\n'), /1-2 \/ all/)
})
