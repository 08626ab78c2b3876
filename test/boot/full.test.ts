/**
 * Debian's full kernel (an XZ payload with the x86 filter), and other sizes of memory, up to the
 * shell: what differs from the cloud kernel's own test.
 */
import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import { debian, Shell } from './debian.ts'
import { type Settings, TestHost } from './test-host.ts'

const full = await debian('full')
const cloud = await debian('cloud')

/** Boots a domain, lets `look` ask its shell, and sees it power off. */
async function withShell(settings: Settings, look: (shell: Shell) => Promise<void>): Promise<void> {
  const host = new TestHost()
  try {
    const create = host.start('create', '-c', host.config('g', settings))
    const shell = await Shell.take(create)
    await look(shell)
    create.send('poweroff\n')
    const { code } = await create.ended()
    assert.equal(code, 0)
    assert.deepEqual(await host.domains(), [])
  } finally {
    await host.close()
  }
}

async function memoryKib(shell: Shell): Promise<number> {
  return Number(/MemTotal: +(\d+)/.exec(await shell.output('cat /proc/meminfo'))?.[1])
}

describe('Debian\'s full kernel', { skip: full.missing }, () => {
  test('reaches a shell as a PVH domain and powers off', async () => {
    await withShell({ ...full.settings, memory: 512 }, async (shell) => {
      assert.match(await shell.output('uname -r'), /-amd64$/m)
      assert.match(await shell.output('cat /sys/hypervisor/guest_type'), /^PVH$/m)
      assert.match(await shell.output('cat /sys/hypervisor/properties/features'), /^00012305$/m)
      assert.doesNotMatch(await shell.output('dmesg'), /Oops|BUG:|Call Trace/)
    })
  })
})

describe('the cloud kernel\'s memory', { skip: cloud.missing }, () => {
  for (const megabytes of [128, 2048]) {
    test(`is what it was given: ${megabytes} MB`, async () => {
      await withShell({ ...cloud.settings, memory: megabytes }, async (shell) => {
        const kib = await memoryKib(shell)
        assert.ok(kib < megabytes * 1024, `${kib} KiB of ${megabytes} MiB`)
        // The kernel keeps its own image and a page's description for each page.
        assert.ok(kib > (megabytes * 0.96 - 50) * 1024, `${kib} KiB of ${megabytes} MiB`)
      })
    })
  }
})
