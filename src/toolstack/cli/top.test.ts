/**
 * xentop's table, keys and batch mode, as xentop 4.17 prints them for the same numbers.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SHUTDOWN_crash } from '../../abi/xen/sched.ts'
import type { DomainSummary, HostInfo } from '../domain/libxl.ts'
import { settle, xl } from './fake-world.ts'
import { summaryLines, type TopDomain, topLines, type TopSample, type TopWishes } from
  './top-table.ts'

const HEADER = '      NAME  STATE   CPU(sec) CPU(%)     MEM(k) MEM(%)  MAXMEM(k) MAXMEM(%) VCPUS ' +
  'NETS NETTX(k) NETRX(k) VBDS   VBD_OO   VBD_RD   VBD_WR  VBD_RSECT  VBD_WSECT SSID'
const plain: TopWishes = {
  fullNames: false, networks: false, disks: false, vcpus: false, repeatHeader: false, sortBy: 0,
}

function domain(
  domid: number, name: string, vcpuSeconds: readonly number[], changes: Partial<DomainSummary>,
): TopDomain {
  const cpuTimeNs = vcpuSeconds.reduce((total, seconds) => total + seconds * 1e9, 0)
  return {
    summary: {
      domid, name, uuid: '', memoryKib: 1048576, maxMemoryKib: 1048576, claimedKib: 0,
      onlineVcpus: vcpuSeconds.length, ssidref: 0, running: false, blocked: false, paused: false,
      shutdown: false, dying: false, shutdownReason: 0, cpuTimeNs, poolName: 'Pool-0',
      networks: [], disks: [], ...changes,
    },
    vcpus: vcpuSeconds.map((seconds, vcpu) => ({
      vcpu, online: true, cpu: 0, running: false, blocked: false, cpuTimeNs: seconds * 1e9,
    })),
  }
}

const guest = domain(1, 'pvguest', [112, 98], {
  blocked: true, memoryKib: 262144, maxMemoryKib: 263168,
  networks: [{
    rxBytes: 936, rxPackets: 15, rxErrors: 0, rxDropped: 0, txBytes: 1236, txPackets: 16,
    txErrors: 0, txDropped: 2,
  }],
  disks: [{
    device: 51712, outOfRequests: 0, reads: 34, writes: 1, sectorsRead: 8456, sectorsWritten: 128,
  }],
})
const control = domain(0, 'Domain-0', [294, 301], { running: true })

function sample(at: number, ...domains: TopDomain[]): TopSample {
  const host = {
    totalPages: 786302, freePages: 416100, xenMajor: 4, xenMinor: 17, xenExtra: '.7', nrCpus: 2,
    cpuKhz: 2596146,
  } as HostInfo
  return { at: new Date(2026, 10, 28, 7, 5, 9 + at), host, domains }
}

function texts(wishes: Partial<TopWishes>, now: TopSample, before?: TopSample): string[] {
  return topLines(now, before, { ...plain, ...wishes }).flat().map(({ text }) => text)
}

test('every column and detail is where xentop has it', () => {
  assert.deepEqual(texts({ fullNames: true, networks: true, disks: true, vcpus: true },
    sample(0, guest, control)), [
    HEADER,
    '  Domain-0 -----r        595    0.0    1048576   33.3    1048576      33.3     2    0' +
      '        0        0    0        0        0        0          0          0    0',
    'VCPUs(sec):   0:        294s  1:        301s',
    '   pvguest --b---        210    0.0     262144    8.3     263168       8.4     2    1' +
      '        1        0    1        0       34        1       8456        128    0',
    'VCPUs(sec):   0:        112s  1:         98s',
    'Net0 RX:      936bytes       15pkts        0err        0drop  ' +
      'TX:     1236bytes       16pkts        0err        2drop',
    'VBD BlkBack 51712 [ca: 0]  OO:        0   RD:       34   WR:        1   ' +
      'RSECT:       8456   WSECT:        128',
  ])
})

test('the share of CPU time is of the time since the last sample', () => {
  const [, row = ''] = texts({}, sample(2, domain(0, 'a', [11.5], {})),
    sample(0, domain(0, 'a', [10], {})))
  assert.equal(row.slice(29, 35), '  75.0')
  const [, fresh = ''] = texts({}, sample(2, domain(5, 'a', [11.5], {})), sample(0))
  assert.equal(fresh.slice(29, 35), '   0.0')
})

test('names are cut unless they shall be full, and a header may stand before each domain', () => {
  const long = domain(2, 'a-domain-with-a-long-name', [0], { paused: true })
  assert.equal(texts({}, sample(0, long))[1]?.slice(0, 17), 'a-domain-w ----p-')
  assert.equal(texts({ fullNames: true }, sample(0, long))[1]?.slice(0, 32),
    'a-domain-with-a-long-name ----p-')
  assert.deepEqual(texts({ repeatHeader: true }, sample(0, long, guest))
    .map((text) => text === HEADER), [true, false, true, false])
})

test('domains are sorted by any column: names upwards, states by urgency, numbers down', () => {
  const paused = domain(2, 'a-domain', [1], { paused: true, memoryKib: 131140 })
  const order = (sortBy: number): string => texts({ sortBy }, sample(0, control, paused, guest))
    .slice(1).map((text) => text.slice(0, 10).trim()).join(' ')
  assert.equal(order(0), 'a-domain Domain-0 pvguest')
  assert.equal(order(1), 'pvguest a-domain Domain-0')
  assert.equal(order(2), 'Domain-0 pvguest a-domain')
  assert.equal(order(4), 'Domain-0 pvguest a-domain')
  assert.equal(order(9), 'pvguest Domain-0 a-domain')
})

test('a crash is a state of its own, and a domain without a limit has none', () => {
  const [, crashed = ''] = texts({}, sample(0, domain(3, 'c', [0],
    { shutdown: true, shutdownReason: SHUTDOWN_crash, maxMemoryKib: 0xffff_ffff * 4 })))
  assert.equal(crashed.slice(11, 17), '---c--')
  assert.match(crashed, /   no limit       n\/a /)
})

test('above the table stand the clock, the domains and the memory', () => {
  const paused = domain(2, 'a', [0], { paused: true })
  assert.deepEqual(summaryLines(sample(0, control, guest, paused)), [
    'xentop - 07:05:09   Xen 4.17.7',
    '3 domains: 1 running, 1 blocked, 1 paused, 0 crashed, 0 dying, 0 shutdown',
    'Mem: 3145208k total, 1480808k used, 1664400k free    CPUs: 2 @ 2596MHz',
  ])
})

test('batch mode prints as often as asked for, and waits between', async () => {
  const { run, host } = xl()
  await run('create -p a.cfg')
  const once = await run('top -b -i 1')
  assert.equal(once.code, 0)
  const rows = once.out.split('\n')
  assert.equal(rows[0], HEADER)
  assert.match(rows[1] ?? '', /^ {2}Domain-0 -----r {10}0 {4}0\.0 {4}1048576/)
  assert.match(rows[2] ?? '', /^ {7}pvh ----p- /)
  const twice = run('top -b -d 5 -i 2')
  await settle()
  await host.pass(4999)
  await settle()
  await host.pass(1)
  assert.equal((await twice).out.split(HEADER).length, 3)
})

test('without a terminal it wants batch mode', async () => {
  const { run } = xl()
  assert.deepEqual(await run('top'),
    { code: 1, out: '', err: 'xentop: this is no terminal; use -b\n' })
})

/** A running xentop: what its screen shows, and keys for it. */
async function live() {
  const world = xl()
  await world.run('create -p a.cfg')
  world.terminal.isTerminal = true
  const running = world.run('top -d 1')
  await settle()
  return {
    ...world, running,
    /** The last frame without its colours. */
    screen: () => (world.terminal.shown.split('\x1b[H').at(-1) ?? '')
      .replaceAll(/\x1b\[[0-9;?]*[A-Za-z]/g, ''),
    press: async (keys: string) => {
      world.terminal.type(new TextEncoder().encode(keys))
      await settle()
    },
  }
}

test('keys change what is shown at once, and q ends it', async () => {
  const { screen, press, running, terminal } = await live()
  assert.match(screen(), /^xentop - \d\d:\d\d:\d\d {3}Xen 4\.17\.7\r\n2 domains: 1 running, /)
  assert.ok(screen().endsWith(
    '  Delay  Networks  vBds  VCPUs  Repeat header  Sort order  Quit  '))
  await press('v')
  assert.match(screen(), /VCPUs\(sec\): {3}0:/)
  await press('vr')
  assert.doesNotMatch(screen(), /VCPUs\(sec\)/)
  assert.equal(screen().split('NAME').length, 3)
  await press('r\x1b[B')
  assert.doesNotMatch(screen(), /Domain-0/)
  await press('\x1b[As')
  assert.match(screen(), /Domain-0/)
  assert.ok(terminal.shown.includes('\x1b[7m      NAME \x1b[1m STATE\x1b[m'))
  await press('q')
  assert.equal((await running).code, 0)
  assert.equal(terminal.closed, 1)
  assert.ok(terminal.shown.endsWith('\x1b[?1049l'))
})

test('the delay is asked for in the last line', async () => {
  const { screen, press, running, host, terminal } = await live()
  const frames = (): number => terminal.shown.split('xentop - ').length
  await press('d9x\x7f')
  assert.ok(screen().endsWith('  Delay(sec): 9'))
  await press('\r')
  const before = frames()
  await host.pass(8999)
  await settle()
  assert.equal(frames(), before)
  await host.pass(1)
  await settle()
  assert.equal(frames(), before + 1)
  await press('d\x1b')
  assert.ok(screen().endsWith('Quit  '))
  await press('\x03')
  assert.equal((await running).code, 0)
})

test('lines longer than the screen go on below, and what does not fit is left out', async () => {
  const { terminal, press, screen, running } = await live()
  terminal.columns = 80
  terminal.rows = 8
  await press('v')
  const rows = screen().split('\r\n')
  assert.equal(rows.length, 8)
  assert.equal(rows[3], HEADER.slice(0, 80))
  assert.equal(rows[5], HEADER.slice(160))
  await press('q')
  await running
})
