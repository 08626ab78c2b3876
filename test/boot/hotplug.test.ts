/**
 * A guest with virtual NUMA nodes, and what comes and goes under it: its VCPUs, the host's CPUs and
 * the host's memory.
 */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { debianPrograms } from '../guests/debian-programs.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const programs = missing ? { archive: new Uint8Array(), missing }
  : debianPrograms(['numactl', 'util-linux'], ['numactl', 'lscpu'])
const NODES = '/sys/devices/system/node'
const CPUS = '/sys/devices/system/cpu'

describe('a guest with virtual NUMA nodes', { skip: programs.missing }, () => {
  const host = new TestHost({
    memoryMb: 512,
    environment: {
      XENOLITH_CORES: '2', XENOLITH_COMMAND_LINE: 'numa=fake=2', XENOLITH_MEMORY_MAX: '1024',
    },
  })
  let shell: Shell
  const free = async (): Promise<number[]> =>
    [...(await host.xl('info', '-n')).out.matchAll(/^ +\d: +\d+ +(\d+) +\d+,\d+$/gm)]
      .map((match) => Number(match[1]))

  before(async () => {
    const initrd = readFileSync(String(settings['ramdisk']))
    const ramdisk = host.file('initrd', Buffer.concat([initrd, programs.archive]))
    const config = host.config('g', {
      ...settings, ramdisk, memory: 256, vcpus: 1, maxvcpus: 4,
    })
    const vnuma = 'vnuma=[["pnode=0","size=96","vcpus=0,3","vdistances=10,30"],' +
      '["pnode=1","size=160","vcpus=1-2","vdistances=40,10"]]'
    const [first = 0, second = 0] = await free()
    shell = await Shell.take(host.start('create', '-c', config, vnuma))
    const [firstLeft = 0, secondLeft = 0] = await free()
    // Tables and special pages come on top.
    assert.ok(Math.abs(first - firstLeft - 96) < 8, `${first} ${firstLeft}`)
    assert.ok(Math.abs(second - secondLeft - 160) < 8, `${second} ${secondLeft}`)
  })
  after(() => host.close())

  async function becomes(path: string, wanted: string): Promise<void> {
    let said = ''
    for (let i = 0; i < 60 && said !== `${wanted}\n`; i++) {
      if (i > 0) await delay(200)
      said = await shell.output(`cat ${path}`)
    }
    assert.equal(said, `${wanted}\n`)
  }

  test('sees them as configured', async () => {
    assert.equal(await shell.output(`cat ${NODES}/node*/distance`), '10 30\n40 10\n')
    const sizes = [...(await shell.output(`grep MemTotal ${NODES}/node*/meminfo`))
      .matchAll(/ (\d+) kB/g)].map((match) => Number(match[1]) / 1024)
    assert.ok(sizes[0]! > 30 && sizes[0]! <= 96 && sizes[1]! > 120 && sizes[1]! <= 160, `${sizes}`)
    assert.match(await shell.output('dmesg'), /ACPI: SRAT .*\n(.*\n)*.*ACPI: SLIT/)
  })

  test('has more VCPUs when asked, each on its node, and fewer', async () => {
    assert.equal((await host.xl('vcpu-set', '-i', 'g', '4')).code, 0)
    await becomes(`${CPUS}/present`, '0-3')
    // Linux leaves it to user space to start those that it finds present.
    await shell.output(`for c in 1 2 3; do echo 1 > ${CPUS}/cpu$c/online; done`)
    await becomes(`${CPUS}/online`, '0-3')
    assert.equal(await shell.output(`cat ${NODES}/node*/cpulist`), '0,3\n1-2\n')
    const shown = await shell.output('numactl -H')
    assert.match(shown, /^available: 2 nodes \(0-1\)\nnode 0 cpus: 0 3\nnode 0 size: \d+ MB$/m)
    assert.match(shown, /^node 1 cpus: 1 2\nnode 1 size: \d+ MB$/m)
    assert.match(shown, /^node +0 +1 \n +0: +10 +30 \n +1: +40 +10 $/m)
    assert.match(await shell.output('lscpu'),
      /^ +NUMA node\(s\): +2\n +NUMA node0 CPU\(s\): +0,3\n +NUMA node1 CPU\(s\): +1,2$/m)
    const { out } = await host.xl('vcpu-list', 'g')
    assert.deepEqual([...out.matchAll(/^g .* (\S+ \/ \S+)$/gm)].map((match) => match[1]),
      ['all / 0', 'all / 1', 'all / 1', 'all / 0'])
    assert.equal((await host.xl('vcpu-set', 'g', '2')).code, 0)
    await becomes(`${CPUS}/online`, '0-1')
    assert.equal(await shell.output(`cat ${NODES}/node*/cpulist`), '0\n1\n')
  })

  test('works on while a CPU of the host goes and comes back', async () => {
    const count = 'i=0; while [ $i -lt 3000 ]; do i=$((i+1)); done; echo $i'
    const work = shell.output(`for c in 0 1; do taskset -c $c sh -c '${count}' & done; wait`)
    assert.equal((await host.hptool('cpu-offline', '1')).code, 0)
    const { out } = await host.xl('vcpu-list', 'g')
    assert.equal([...out.matchAll(/^g +1 +[01] +0 /gm)].length, 2, out)
    assert.equal(await work, '3000\n3000\n')
    assert.equal((await host.hptool('cpu-online', '1')).code, 0)
    assert.equal(await shell.output(`taskset -c 1 sh -c '${count}'`), '3000\n')
    assert.match((await host.xl('cpupool-list', '-c')).out, /^Pool-0 +0,1$/m)
  })

  test('leaves no room for another, until memory is added', async () => {
    const config = host.config('h', { ...settings, memory: 320 })
    const refused = await host.xl('create', config)
    assert.equal(refused.code, 3)
    assert.match(refused.err, /Out of memory/)
    // A node's window has its part of what may be added.
    assert.equal((await host.hptool('mem-hotadd', '0x10000', '0x20000')).code, 0)
    assert.match((await host.xl('info')).out, /^total_memory +: 768$/m)
    assert.equal((await host.xl('create', config)).code, 0)
  })
})
