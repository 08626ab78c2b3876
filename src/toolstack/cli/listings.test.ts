/**
 * The smaller listings of xl, in real xl's columns.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { MemoryFile } from '../../storage/memory-file.ts'
import { expectXl, xl } from './fake-world.ts'

const dom0 = 'Domain-0                                     0  1024'
const pvh = 'pvh                                          1   256'

test('claims, sharing, vm-list and cpupool-list have the columns of xl', async () => {
  const { run } = xl()
  await run('create -p a.cfg uuid="11111111-2222-3333-4444-555555555555"')
  await expectXl(run, 'claims', 0,
    '>Name                                        ID   Mem VCPUs\tState\tTime(s)  Claimed',
    `>${dom0}     1     r-----       0.0     0`, `>${pvh}     1     --p---       0.0     0`)
  const sharing = '>Name                                        ID   Mem Shared'
  await expectXl(run, 'sharing', 0, sharing, `>${dom0}      0`, `>${pvh}      0`)
  await expectXl(run, 'sharing pvh', 0, sharing, `>${pvh}      0`)
  await expectXl(run, 'sharing nosuch', 1, '!nosuch is an invalid domain identifier (rc=-6)')
  await expectXl(run, 'vm-list', 0, '>UUID                                  ID    name',
    '>00000000-0000-0000-0000-000000000000  0    Domain-0                      ',
    '>11111111-2222-3333-4444-555555555555  1    pvh                           ')
  const pools = '>Name               CPUs   Sched     Active   Domain count'
  await expectXl(run, 'cpupool-list', 0, pools,
    '>Pool-0               1   credit2       y          2')
  await expectXl(run, 'cpupool-list Pool-0', 0, pools,
    '>Pool-0               1   credit2       y          2')
  await expectXl(run, 'cpupool-list 0', 1, '!Pool \'0\' does not exist')
  await expectXl(run, 'cpupool-list -c', 0, '>Name               CPU list',
    '>Pool-0             0')
  await expectXl(run, 'cpupool-list nosuch', 1, '!Pool \'nosuch\' does not exist')
})

test('uptime -s has the form that uptime(1) has', async () => {
  const { run, host } = xl()
  await run('create -p a.cfg')
  host.nowMs += (26 * 60 + 3) * 60_000
  const clock = [new Date(host.nowMs)].map((now) =>
    [now.getHours(), now.getMinutes(), now.getSeconds()]
      .map((part) => `${part}`.padStart(2, '0')).join(':'))
  await expectXl(run, 'uptime -s pvh', 0, `> ${clock} up 1 day,  2:03, pvh (1)`)
})

test('a domain may be given the name that it has, and no other\'s', async () => {
  const { run } = xl()
  await run('create -p a.cfg')
  await expectXl(run, 'rename pvh pvh', 0)
  await expectXl(run, 'rename pvh Domain-0', 1,
    '!libxl: error: Domain 1:Domain with name "Domain-0" already exists.',
    '!Can\'t rename domain \'pvh\'.')
  await expectXl(run, 'rename pvh other', 0)
  await expectXl(run, 'domid other', 0, '>1')
})

test('a button is pressed by a trigger', async () => {
  const { run, control } = xl()
  await run('create -p a.cfg')
  const warning = '!WARNING: "button-press" is deprecated. Please use "trigger"'
  await expectXl(run, 'button-press pvh power', 0, warning)
  const { code, err } = await run('button-press pvh')
  assert.equal(code, 2)
  assert.equal(err, `${warning.slice(1)}\n'xl button-press' requires at least 2 arguments.\n\n`)
  await expectXl(run, 'button-press pvh foo', 1, warning, '!foo is an invalid button identifier')
  await expectXl(run, 'button-press nosuch power', 1, warning,
    '!nosuch is an invalid domain identifier (rc=-6)')
  if (!control.calls.includes('sendTrigger')) throw new Error('no trigger was sent')
})

test('a console of an unknown type is refused, and that of the control domain', async () => {
  const { run } = xl()
  await run('create -p a.cfg')
  await expectXl(run, 'console -t foo pvh', 1, '!console type supported are: pv, serial, vuart')
  await expectXl(run, 'console 0', 22, '!Can\'t specify Domain-0')
})

test('--json prints what is known for programs', async () => {
  const { run, host } = xl()
  host.images.files.files.set('/d.img', new MemoryFile('/d.img', new Uint8Array(1 << 20)))
  await run('create -p a.cfg disk=["/d.img,raw,xvda,r"]')
  const listed = async (command: string): Promise<Record<string, unknown>[]> => {
    const { out, err, code } = await run(`${command} --json`)
    assert.deepEqual([err, code], ['', 0], command)
    const value: unknown = JSON.parse(out)
    return (Array.isArray(value) ? value : [value]) as Record<string, unknown>[]
  }
  assert.deepEqual((await listed('list')).map(({ name, paused }) => [name, paused]),
    [['Domain-0', false], ['pvh', true]])
  assert.deepEqual((await listed('list pvh')).map(({ maxMemoryKib }) => typeof maxMemoryKib),
    ['number'])
  assert.deepEqual((await listed('vcpu-list pvh')).map(({ domid, vcpu }) => [domid, vcpu]),
    [[1, 0]])
  assert.deepEqual((await listed('cpupool-list')).map(({ name, cpus }) => [name, cpus]),
    [['Pool-0', [0]]])
  assert.deepEqual((await listed('info')).map(({ nrCpus, machine }) => [nrCpus, machine]),
    [[1, 'x86_64']])
  assert.deepEqual((await listed('block-list pvh')).map(({ domid, devid }) => [domid, devid]),
    [[1, 51712]])
  assert.deepEqual(await listed('network-list pvh'), [])
  assert.deepEqual(await listed('channel-list pvh'), [])
})
