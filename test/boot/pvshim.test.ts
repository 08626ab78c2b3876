/**
 * A PV guest: Debian's kernel without PVH, in Xen's own shim, which is a hypervisor that runs in a
 * PVH domain. So it is also a test of that domain by Xen: of local APICs, by which its processors
 * interrupt one another, of page tables that it walks and flushes, of hypercalls that it forwards.
 *
 * The shim is in Debian's xen-utils-4.17; `XENOLITH_TEST_XEN_UTILS` names a folder in which that is
 * unpacked.
 */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, truncateSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, describe, test } from 'node:test'
import { XEN_SHIM } from '../../src/toolstack/domain/pvshim.ts'
import { debian, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const shim = join(process.env['XENOLITH_TEST_XEN_UTILS'] ?? '/', XEN_SHIM)
const skip = missing || (existsSync(shim) ? false : 'there is no xen-shim (xen-utils-4.17)')

describe('a PV guest with two VCPUs', { skip }, () => {
  const host = new TestHost({ environment: { XENOLITH_CORES: '2' } })
  const image = join(host.folder, 'disk.img')
  let shell: Shell
  after(() => host.close())

  test('boots in the shim, and has both processors', async () => {
    writeFileSync(image, '')
    truncateSync(image, 1 << 22)
    const config = host.config('g', {
      ...settings, vcpus: 2, pvshim: 1, pvshim_path: shim, disk: [`${image},raw,xvda,w`],
      vif: ['mac=00:16:3e:00:00:01'],
    })
    shell = await Shell.take(host.start('create', '-c', config))
    assert.equal(await shell.output('cat /sys/hypervisor/guest_type; nproc'), 'PV\n2\n')
  })

  test('flushes the translations of one processor from the other', async () => {
    // Each fork makes pages of the parent read-only, wherever it has run.
    const forks = 'for i in $(seq 20); do /bin/true; done'
    await shell.output(`(${forks}) & (${forks}) & ${forks}; wait`)
    assert.doesNotMatch(await shell.output('dmesg'), /detected stall|lockup|Oops|BUG:/)
  })

  test('has its disk and its network', async () => {
    const sum = await shell.output(
      'dd if=/dev/urandom of=/dev/xvda bs=64k count=32 2>/dev/null; sync; md5sum </dev/xvda')
    const digest = createHash('md5').update(readFileSync(image)).digest('hex')
    assert.equal(sum.split(' ')[0], digest)
    await shell.output('ifconfig eth0 10.0.2.15; ping -c 1 10.0.2.2')
  })

  test('gives memory and a processor back', async () => {
    for (const words of [['mem-set', 'g', '200'], ['vcpu-set', 'g', '1']]) {
      assert.equal((await host.xl(...words)).code, 0)
    }
    await shell.output('while [ $(nproc) != 1 ]; do sleep 0.1; done')
    await shell.output('while [ $(free -k | awk "/Mem/ {print \\$2}") -gt 180000 ]; do ' +
      'sleep 0.1; done')
  })

  test('ends when it is asked to', async () => {
    assert.equal((await host.xl('shutdown', '-w', 'g')).code, 0)
    await host.settled('g')
  })
})

test('a shim that is not there is named', { skip: missing }, async () => {
  const host = new TestHost()
  try {
    const config = host.config('g', { ...settings, pvshim: 1, pvshim_path: '/none/shim' })
    const { code, err } = await host.xl('create', config)
    assert.equal(code, 3)
    assert.match(err, /failed to open PV shim '\/none\/shim': No such file/)
  } finally {
    await host.close()
  }
})
