/**
 * How domains end and what happens then, by reason and configured action; what xl says when one is
 * asked to end; and a host that is killed. Most guests are of a few instructions; one is Debian's.
 */
import assert from 'node:assert/strict'
import { after, describe, test } from 'node:test'
import { setTimeout as delay } from 'node:timers/promises'
import {
  SHUTDOWN_crash, SHUTDOWN_poweroff, SHUTDOWN_reboot, SHUTDOWN_soft_reset, SHUTDOWN_watchdog,
} from '../../src/abi/xen/sched.ts'
import { ending, ticking } from '../guests/programs.ts'
import { debian, PROMPT, Shell } from './debian.ts'
import { TestHost } from './test-host.ts'

const reasons = {
  poweroff: SHUTDOWN_poweroff, reboot: SHUTDOWN_reboot, crash: SHUTDOWN_crash,
  watchdog: SHUTDOWN_watchdog, soft_reset: SHUTDOWN_soft_reset,
} as const
type Reason = keyof typeof reasons
const everyReason = Object.keys(reasons) as Reason[]

describe('a domain that ends', () => {
  const host = new TestHost({ memoryMb: 256 })
  const files = new Map(everyReason.map((reason) => {
    return [reason, host.file(reason, ending(reasons[reason]))]
  }))
  after(() => host.close())

  /** Starts a domain of this name that ends for a reason, with an action for that reason alone. */
  async function end(name: string, reason: Reason, action?: string): Promise<void> {
    const others = Object.fromEntries(everyReason.map((other) => [`on_${other}`, 'destroy']))
    const chosen = action === undefined ? {} : { ...others, [`on_${reason}`]: action }
    const settings = { kernel: files.get(reason) ?? '', memory: 4, ...chosen }
    const { code, err } = await host.xl('create', '-q', host.config(name, settings))
    assert.equal(code, 0, err)
  }

  test('is destroyed, for any reason', async () => {
    for (const reason of everyReason) await end(reason, reason, 'destroy')
    for (const reason of everyReason) await host.settled(reason)
    for (const [i, reason] of everyReason.entries()) {
      const said = `Domain ${i + 1} has shut down, reason code ${reasons[reason]}`
      assert.ok(host.log.includes(said), said)
    }
  })

  test('is destroyed after poweroff and crash unless configured otherwise', async () => {
    await end('off', 'poweroff')
    await end('crashed', 'crash')
    await host.settled('off')
    await host.settled('crashed')
  })

  test('is preserved, for any reason, and shows it', async () => {
    for (const reason of everyReason) await end(reason, reason, 'preserve')
    for (const reason of everyReason) {
      await host.settled(reason, reason === 'crash' ? /^---sc-$/ : /^---s--$/)
    }
    for (const reason of everyReason) assert.equal((await host.xl('destroy', reason)).code, 0)
    assert.deepEqual(await host.domains(), [])
  })

  test('lets its console go, with all that it said', async () => {
    const config = host.config('last', { kernel: files.get('poweroff') ?? '', memory: 4 })
    const create = host.start('create', '-q', '-c', config)
    assert.deepEqual(await create.ended(), { code: 0, err: '' })
    assert.equal(create.transcript, 'ending for reason 0\n')
  })

  test('frees all its memory', async () => {
    const free = async () => /^free_memory +: (\d+)$/m.exec((await host.xl('info')).out)?.[1]
    const before = await free()
    await end('memory', 'poweroff')
    await host.settled('memory')
    assert.equal(await free(), before)
  })

  // These two go on for ever, until the host ends.
  test('is kept under another name and made again', async () => {
    await end('twice', 'crash', 'rename-restart')
    await host.settled('twice-1', /^---sc-$/)
    await host.settled('twice-2', /^---sc-$/)
    assert.notEqual((await host.listed('twice-1'))?.[1], (await host.listed('twice-2'))?.[1])
  })

  test('is made again under a new number, again and again', async () => {
    await end('phoenix', 'reboot')
    for (let i = 0; i < 1000 && host.log.split('Domain phoenix: rebooting').length < 3; i++) {
      await delay(100)
    }
    assert.match(host.log, /(Domain phoenix: rebooting now[^]*){2}/)
    assert.doesNotMatch(host.log, /restart failed/)
  })
})

describe('xl create -F', () => {
  const host = new TestHost({ memoryMb: 256 })
  after(() => host.close())

  test('stays until the domain has ended, and says how', async () => {
    const kernel = host.file('kernel', ending(SHUTDOWN_poweroff))
    const waiting = host.start('create', '-F', host.config('g', { kernel, memory: 4 }))
    const { code, err } = await waiting.ended()
    assert.equal(code, 0)
    assert.match(err, /^Parsing config from .*\nWaiting for domain g \(domid 1\) to die \[pid /)
    assert.match(err, /Done\. Exiting now\n$/)
  })

  test('a machine in xl itself serves one domain', async () => {
    const kernel = host.file('kernel', ending(SHUTDOWN_poweroff))
    const config = host.config('own', { kernel, memory: 4 })
    const own = host.start('create', '-q', '-c', '--foreground', config)
    assert.equal((await own.ended()).code, 0)
    assert.match(own.transcript, /^ending for reason 0$/m)
    assert.deepEqual(await host.domains(), [])
  })

  test('a host that is killed ends every console in words, and leaves no domain', async () => {
    const kernel = host.file('kernel', ticking())
    const config = host.config('g', { kernel, memory: 4 })
    const create = host.start('create', '-q', '-c', config)
    await create.expect('tick')
    const second = host.start('console', 'g')
    await second.expect('tick')
    assert.ok(host.signal('SIGKILL'))
    assert.deepEqual(await create.ended(), { code: 1, err: 'xl: host process ended\n' })
    assert.deepEqual(await second.ended(), { code: 1, err: 'xl: host process ended\n' })
    assert.deepEqual(await host.domains(), [])
  })
})

const { settings, missing } = await debian('cloud')

describe('Debian\'s cloud kernel with 1 GB', { skip: missing }, () => {
  const host = new TestHost()
  after(() => host.close())

  test('does as xl shutdown asks', async () => {
    const config = host.config('g', { ...settings, memory: 1024 })
    const create = host.start('create', '-c', config)
    const shell = await Shell.take(create)
    const total = Number(/MemTotal: +(\d+)/.exec(await shell.output('cat /proc/meminfo'))?.[1])
    assert.ok(total > 950_000 && total < 1024 * 1024, `${total} KiB`)
    const { code, err } = await host.xl('shutdown', '-w', 'g')
    assert.equal(code, 0, err)
    assert.equal(err, 'Shutting down domain 1\nWaiting for 1 domains\n' +
      'Domain 1 has been shut down, reason code 0\n')
    await create.expect('The system is going down: poweroff.')
    assert.equal((await create.ended()).code, 0)
    assert.deepEqual(await host.domains(), [])
  })

  test('exit from its shell ends it as well', async () => {
    const create = host.start('create', '-q', '-c', host.config('g', settings))
    await create.expect(PROMPT)
    create.send('exit\n')
    assert.deepEqual(await create.ended(), { code: 0, err: '' })
    assert.match(host.log, /Domain 2 has shut down, reason code 0/)
  })
})
