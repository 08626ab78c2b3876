/**
 * Debian's cloud kernel with several VCPUs: all start, all work, and no one is told otherwise.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')

/** What each processor's column of a line of /proc/interrupts counts. */
function countsOf(table: string, line: RegExp): number[] {
  const found = line.exec(table)?.[1] ?? ''
  return found.trim().split(/ +/).map(Number)
}

for (const [vcpus, cores] of [[2, 1], [4, 1], [8, 1], [1, 2], [2, 2], [4, 2], [8, 2]] as const) {
  describe(`a guest with ${vcpus} VCPUs on ${cores} cores`, { skip: missing }, () => {
    const host = new TestHost({ environment: { XENOLITH_CORES: `${cores}` } })
    let shell: Shell
    after(() => host.close())

    test('starts them all', async () => {
      const config = host.config('g', { ...settings, memory: 256, vcpus })
      shell = await Shell.take(host.start('create', '-c', config))
      assert.equal(await shell.output('nproc'), `${vcpus}\n`)
      const dmesg = await shell.output('dmesg')
      assert.match(dmesg, new RegExp(`Brought up 1 node, ${vcpus} CPU`))
      assert.match(dmesg, vcpus === 1 ? /PV spinlocks disabled/ : /PV spinlocks enabled/)
      assert.match(dmesg, /x2apic enabled/)
      assert.doesNotMatch(dmesg, /Oops|BUG:|WARNING:|Call Trace|detected stall|lockup|[Uu]nstable/)
      assert.doesNotMatch(dmesg, /not responding|Firmware Bug|mismatch/)
    })

    test('sees its topology: sockets of no threads, APIC ids that are even', async () => {
      const info = await shell.output('cat /proc/cpuinfo')
      const all = (name: string): number[] =>
        [...info.matchAll(new RegExp(`^${name}\\t+: (\\d+)$`, 'gm'))]
          .map((match) => Number(match[1]))
      const numbers = Array.from({ length: vcpus }, (_, i) => i)
      assert.deepEqual(all('processor'), numbers)
      assert.deepEqual(all('apicid'), numbers.map((i) => i * 2))
      assert.equal(await shell.output(
        'cat /sys/devices/system/cpu/cpu*/topology/thread_siblings_list'),
        numbers.map((i) => `${i}\n`).join(''))
    })

    test('works on each of them', async () => {
      const loop = 'i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i'
      const said = await shell.output(
        `for c in $(seq 0 ${vcpus - 1}); do taskset -c $c sh -c '${loop}' & done; wait`)
      assert.equal(said, '20000\n'.repeat(vcpus))
      const stat = await shell.output('grep "^cpu[0-9]" /proc/stat')
      const busy = stat.trim().split('\n').map((line) => {
        const [, user = '0', , system = '0'] = line.split(' ')
        return Number(user) + Number(system)
      })
      assert.equal(busy.length, vcpus)
      assert.ok(busy.every((ticks) => ticks > 0), stat)
    })

    test('interrupts one from another, and ticks on each', async () => {
      const table = await shell.output('cat /proc/interrupts')
      assert.ok(countsOf(table, /^ *HYP:([ \d]+)/m).every((count) => count > 0), table)
      const calls = countsOf(table, /^ *CAL:([ \d]+)/m)
      assert.equal(calls.some((count) => count > 0), vcpus > 1, table)
      for (let i = 0; i < vcpus; i++) {
        const ticks = countsOf(table, new RegExp(`^ *\\d+:([ \\d]+)xen-percpu.* timer${i}$`, 'm'))
        assert.ok(ticks[i]! > 0, table)
      }
    })

    test('xl tells of them', async () => {
      const { out } = await host.xl('vcpu-list', 'g')
      const rows = [...out.matchAll(/^g +1 +(\d+) +\S+ +[-rb]{3} +\d+\.\d +all \/ all$/gm)]
      assert.equal(rows.length, vcpus, out)
      assert.equal((await host.listed('g'))?.[3], `${vcpus}`)
      assert.match((await host.xl('info')).out, new RegExp(`^nr_cpus +: ${cores}$`, 'm'))
    })

    test('runs on as many cores at a time as it can', async () => {
      const all = Math.min(vcpus, cores)
      await shell.run(`for c in $(seq ${vcpus}); do while :; do :; done & done 2>/dev/null`)
      let ran = new Set<string>()
      for (let i = 0; i < 100 && ran.size < all; i++) {
        const { out } = await host.xl('vcpu-list', 'g')
        ran = new Set([...out.matchAll(/^g +1 +\d+ +(\d+) +r/gm)].map((match) => match[1]!))
        await delay(100)
      }
      assert.deepEqual([...ran].sort(), Array.from({ length: all }, (_, i) => `${i}`))
    })
  })
}

describe('a guest with 64 VCPUs on 2 cores', { skip: missing }, () => {
  const host = new TestHost({ environment: { XENOLITH_CORES: '2' } })
  after(() => host.close())

  test('starts them all, and each executes a program', async () => {
    const config = host.config('g', { ...settings, memory: 256, vcpus: 64 })
    const shell = await Shell.take(host.start('create', '-c', config))
    assert.match(await shell.output('dmesg'), /Brought up 1 node, 64 CPUs/)
    const numbers = Array.from({ length: 64 }, (_, i) => `${i}\n`).join('')
    assert.equal(
      await shell.output('for c in $(seq 0 63); do taskset -c $c cat /proc/self/stat; done | ' +
        'cut -d " " -f 39'), numbers)
    const { out } = await host.xl('vcpu-list', 'g')
    assert.equal([...out.matchAll(/^g +1 +\d+ +\S+ +[-rb]{3} /gm)].length, 64)
  })
})
