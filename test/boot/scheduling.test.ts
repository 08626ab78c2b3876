/**
 * Debian guests that want more than the machine has: who gets how much, and on which cores.
 *
 * Shares are compared as the hypervisor counted them, over as long as it takes until enough was
 * run; how long that is depends on the machine.
 */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import { debian, Shell } from './debian.ts'
import { PATIENCE } from './console.ts'
import { TestHost } from './test-host.ts'

const { settings, missing } = await debian('cloud')
const ENOUGH_SECONDS = 10
const TICKS_A_SECOND = 100

async function seconds(host: TestHost, name: string): Promise<number> {
  return Number((await host.listed(name))?.[5])
}

/** The part of what both ran that `one` ran, from now on. */
async function shareOf(host: TestHost, one: string, other: string): Promise<number> {
  const [first, second] = [await seconds(host, one), await seconds(host, other)]
  for (const end = Date.now() + PATIENCE * 1000; Date.now() < end; await delay(500)) {
    const [mine, its] = [await seconds(host, one) - first, await seconds(host, other) - second]
    if (mine + its >= ENOUGH_SECONDS) return mine / (mine + its)
  }
  throw new Error('the guests do not run')
}

/** Boots a guest that then does nothing but count; its shell answers all the same. */
async function burner(host: TestHost, name: string, more: object = {}): Promise<Shell> {
  const config = host.config(name, { ...settings, memory: 128, ...more })
  const shell = await Shell.take(host.start('create', '-c', config))
  await shell.run('while :; do :; done &')
  return shell
}

/** Seconds since a guest started, and for how many of them others had its processor. */
async function timesOf(shell: Shell): Promise<{ up: number, stolen: number }> {
  const [up = '', stat = ''] =
    (await shell.output('cat /proc/uptime; head -n 1 /proc/stat')).split('\n')
  return { up: parseFloat(up), stolen: Number(stat.split(/ +/)[8]) / TICKS_A_SECOND }
}

describe('two guests on one core', { skip: missing }, () => {
  const host = new TestHost({ environment: { XENOLITH_CORES: '1' } })
  let light: Shell
  before(async () => {
    light = await burner(host, 'light', { cpu_weight: 256 })
    await burner(host, 'heavy', { cpu_weight: 512 })
  })
  after(() => host.close())

  test('share it by their weights', async () => {
    const share = await shareOf(host, 'heavy', 'light')
    assert.ok(Math.abs(share - 2 / 3) < 0.07, `${share} instead of two thirds`)
  })

  test('know how much of their time others had', async () => {
    const before = await timesOf(light)
    await shareOf(host, 'heavy', 'light')
    const after = await timesOf(light)
    const share = (after.stolen - before.stolen) / (after.up - before.up)
    assert.ok(Math.abs(share - 2 / 3) < 0.1, `${share} of its time was stolen`)
  })

  test('have no more than their caps', async () => {
    assert.equal((await host.xl('sched-credit2', '-d', 'heavy', '-c', '25')).code, 0)
    const share = await shareOf(host, 'heavy', 'light')
    assert.ok(Math.abs(share - 0.25) < 0.07, `${share} instead of a quarter`)
  })
})

describe('guests on two cores', { skip: missing }, () => {
  const host = new TestHost({ environment: { XENOLITH_CORES: '2' } })
  before(() => burner(host, 'g', { cpus: '1' }))
  after(() => host.close())

  const row = async (): Promise<string> =>
    (await host.xl('vcpu-list', 'g')).out.split('\n')[1] ?? ''

  test('run where they are pinned to', async () => {
    assert.match(await row(), /^g +1 +0 +1 +r-- +\d+\.\d +1 \/ all$/)
    assert.equal((await host.xl('vcpu-pin', 'g', '0', '0')).code, 0)
    await delay(500)
    assert.match(await row(), /^g +1 +0 +0 +r-- +\d+\.\d +0 \/ all$/)
    assert.equal((await host.xl('vcpu-pin', 'g', '0', 'all')).code, 0)
  })

  test('move to a pool with a scheduler of its own, and run on its cores', async () => {
    for (const [command = '', ...rest] of [
      ['cpupool-cpu-remove', 'Pool-0', '1'],
      ['cpupool-create', 'name="other"', 'sched="credit"', 'cpus=["1"]'],
      ['cpupool-migrate', 'g', 'other'],
    ]) {
      assert.deepEqual([(await host.xl(command, ...rest)).code, command], [0, command])
    }
    const before = await seconds(host, 'g')
    await delay(1000)
    assert.match(await row(), /^g +1 +0 +1 +r-- /)
    assert.ok(await seconds(host, 'g') > before)
    assert.match((await host.xl('cpupool-list')).out, /^other +1 +credit +y +1$/m)
  })
})
