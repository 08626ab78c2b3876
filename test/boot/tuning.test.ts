/**
 * A running guest that is changed from outside: its balloon, its VCPUs and its kernel's sysrq keys.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { debian, PROMPT, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const BALLOON = '/sys/devices/system/xen_memory/xen_memory0/info/current_kb'

describe('a running guest', { skip: missing }, () => {
  const host = new TestHost()
  let shell: Shell

  before(async () => {
    const config = host.config('g', { ...settings, memory: 256, maxmem: 256, vcpus: 2 })
    const create = host.start('create', '-c', config)
    await create.expect(PROMPT)
    shell = await Shell.take(create)
  })
  after(() => host.close())

  /** Asks the guest until it says `wanted`. */
  async function becomes(command: string, wanted: string): Promise<void> {
    let said = ''
    for (let i = 0; i < 100; i++) {
      said = (await shell.output(command)).trim()
      if (said === wanted) return
      await delay(200)
    }
    assert.equal(said, wanted, command)
  }

  test('gives memory back when asked, and takes it again', async () => {
    assert.deepEqual(await host.xl('mem-set', 'g', '200'), { code: 0, out: '', err: '' })
    await becomes(`cat ${BALLOON}`, '204800')
    assert.equal((await host.listed('g'))?.[2], '200')
    assert.equal((await host.xl('mem-set', 'g', '240')).code, 0)
    await becomes(`cat ${BALLOON}`, '245760')
    assert.equal((await host.listed('g'))?.[2], '240')
  })

  test('takes a VCPU away when asked, and brings it back', async () => {
    assert.equal((await host.xl('vcpu-set', 'g', '1')).code, 0)
    await becomes('cat /sys/devices/system/cpu/online', '0')
    assert.equal((await host.xl('vcpu-set', 'g', '2')).code, 0)
    await becomes('cat /sys/devices/system/cpu/online', '0-1')
  })

  test('obeys a sysrq key', async () => {
    assert.equal((await host.xl('sysrq', 'g', 'h')).code, 0)
    await becomes('dmesg | grep -c "sysrq: HELP"', '1')
  })
})
