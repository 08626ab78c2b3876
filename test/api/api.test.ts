/**
 * The programming interface with tiny guests: in this process, and beside `xl`; and that its
 * example runs. (The one with Debian's kernel runs in test/boot.)
 */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, relative } from 'node:path'
import { after, test } from 'node:test'
import { ConfigError, ConsoleEnded, Host, LibxlError } from 'xenolith'
import * as guests from '../guests/programs.ts'

const folder = mkdtempSync(join(tmpdir(), 'xenolith-api-'))
after(() => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }))

function file(name: string, content: Uint8Array): string {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

const ticking = file('ticking', guests.ticking())
const ending = file('ending', guests.ending(0))
const rebooting = file('rebooting', guests.ending(1))

/** What keeps a process alive, but for what the test runner itself is about to do. */
function resources(): string[] {
  const passing = ['Timeout', 'Immediate', 'TickObject']
  return process.getActiveResourcesInfo().filter((name) => !passing.includes(name)).sort()
}

test('the example says what the guide says, and ends by itself', () => {
  const done = spawnSync(process.execPath, [join(import.meta.dirname, 'tiny.ts'), ticking],
    { encoding: 'utf8', timeout: 200_000 })
  assert.equal(done.stderr, '')
  assert.match(done.stdout,
    /^It ticks\.\npaused: true\nended: (\d{8}\n(tick \d{8}\n)*(tick \d*)?|nothing more\n)\n?$/)
  assert.equal(done.status, 0)
})

test('a machine in this process leaves nothing behind', async () => {
  const before = resources()
  const host = await Host.start({ memory: 128 })
  const domain = await host.create({ name: 'a', kernel: ticking, memory: 32 })
  const console = await domain.console()
  await console.expect('tick ')
  const end = domain.ended()
  await using watch = await host.store.watch('/local/domain', () => {})
  assert.ok(watch)
  await host.close()
  await host.close()
  assert.deepEqual(await end, { how: 'destroyed', reason: 0 })
  assert.equal(console.ended, true)
  await assert.rejects(console.expect('never'), ConsoleEnded)
  await assert.rejects(host.store.read('/local'), /closed/)
  assert.deepEqual(resources(), before)
})

test('a domain that ends says why, and one that reboots has a successor', async () => {
  await using host = await Host.start({ memory: 128 })
  const first = await host.create({ name: 'first', kernel: ending, memory: 32 }, { paused: true })
  const end = first.ended()
  await using console = await first.console()
  await first.unpause()
  let said = ''
  for await (const text of console) said += text
  assert.equal(said, 'ending for reason 0\n')
  assert.deepEqual(await end, { how: 'shutdown', reason: 0 })

  const second = await host.create(
    { name: 'second', kernel: rebooting, memory: 32 }, { paused: true })
  const reboot = second.ended()
  await second.unpause()
  assert.deepEqual(await reboot, { how: 'shutdown', reason: 1 })
  const third = await second.successor()
  assert.notEqual(third?.domid, second.domid)
})

test('a domain is destroyed at the end of its scope, gone or not', async () => {
  await using host = await Host.start({ memory: 128 })
  {
    await using domain = await host.create({ name: 'a', kernel: ticking, memory: 32 })
    await using again = await host.find('a') ?? assert.fail()
    assert.equal(again.domid, domain.domid)
    assert.deepEqual((await host.domains()).map(({ domid }) => domid), [domain.domid])
  }
  assert.deepEqual(await host.domains(), [])
  assert.equal(await host.find('a'), undefined)
})

test('disks and interfaces come and go while a domain runs', async () => {
  const image = file('disk.img', new Uint8Array(1 << 16))
  await using host = await Host.start({ memory: 128 })
  await using domain = await host.create({ name: 'a', kernel: ticking, memory: 32 })
  await domain.attachDisk(`${relative('.', image)},raw,xvdb,w`)
  const [disk] = await domain.disks()
  assert.equal(await host.store.read(`${disk?.backend}/params`), image)
  await domain.resizeDisk('xvdb', 1 << 17)
  assert.equal(statSync(image).size, 1 << 17)
  const mac = '00:16:3e:00:00:01'
  await domain.attachInterface(`mac=${mac}`)
  assert.deepEqual((await domain.interfaces()).map((one) => one.mac), [mac])
  await domain.detachDisk('xvdb', { force: true })
  await domain.detachInterface(mac)
  assert.deepEqual([...await domain.disks(), ...await domain.interfaces()], [])

  await assert.rejects(domain.detachDisk('xvdb'), /Device xvdb not connected/)
  await assert.rejects(domain.detachInterface(7), LibxlError)
  await assert.rejects(domain.attachDisk('/nowhere,raw,xvdc,w'), LibxlError)
  await assert.rejects(domain.attachDisk('no vdev'), ConfigError)
  await assert.rejects(domain.attachInterface('mac=nonsense'), ConfigError)
  await assert.rejects(domain.attachInterface('colour=red'), ConfigError)
})

test('what cannot be made is refused with the reason', async () => {
  for (const memory of [1e6, 63, -1, 128.5, NaN]) {
    await assert.rejects(Host.start({ memory }), /memory is .*; a machine has 64 to 4096 MiB/)
  }
  for (const cores of [0, 17, 1.5]) {
    await assert.rejects(Host.start({ memory: 128, cores }), /cores is .*; a machine has 1 to 16/)
  }
  await assert.rejects(Host.start({ memory: 128, cores: 2, seed: '1' }), /has one core/)
  await using host = await Host.start({ memory: 128, cores: 2 })
  assert.equal((await host.info()).nrCpus, 2)
  const good = { name: 'a', kernel: ticking }
  await assert.rejects(host.create({ ...good, memroy: 32 }),
    new ConfigError(['no such option: memroy']))
  await assert.rejects(host.create({ ...good, memory: 4000 }), LibxlError)
  await assert.rejects(host.create({ ...good, kernel: '/nowhere' }), /No such file or directory/)
  await assert.rejects(host.domain(99).pause(), LibxlError)
})

test('the host process that xl uses can be attached to', async () => {
  const run = join(folder, 'run')
  const before = resources()
  await assert.rejects(Host.attach({ folder: run }), /no host process runs/)
  process.env['XENOLITH_MEMORY'] = '256'
  const host = await Host.attach({ folder: run, start: true })
  try {
    await using lasting = await host.create({ name: 'b', kernel: ticking, memory: 32 })
    const domain = await host.create({ name: 'a', kernel: ticking, memory: 32 })
    const console = await domain.console()
    await console.expect('tick ')
    assert.equal(await domain.read('name'), 'a')
    await domain.write('data/note', 'hello')
    assert.deepEqual(await host.store.list(`/local/domain/${domain.domid}/data`), ['note'])

    await using other = await Host.attach({ folder: run })
    const end = domain.ended()
    await (await other.find('a'))?.destroy()
    assert.equal((await end).how, 'destroyed')
    await assert.rejects(console.expect('never'), ConsoleEnded)
    await other.end()
    assert.ok(lasting, 'its disposal knows that the host has gone')
  } finally {
    // It has ended already, unless something went wrong.
    await host.end().catch(() => {})
  }
  assert.deepEqual(resources(), before)
})
