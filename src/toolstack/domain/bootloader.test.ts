/**
 * Domains whose boot loader waits at its menu: who sees it, who answers, and what is left when they
 * end there.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { SHUTDOWN_reboot } from '../../abi/xen/sched.ts'
import { MemoryFile } from '../../storage/memory-file.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { parseDisk } from '../config/disk.ts'
import { RemoteLibxl } from '../host/client.ts'
import { fakePair } from '../host/fake-stream.ts'
import { HostServer } from '../host/server.ts'
import { sampleDisk } from '../pygrub/sample-disk.ts'
import { FakeControl, FakeHost, sampleSpec } from './fake-control.ts'
import type { DomainSpec } from './libxl.ts'
import { LocalLibxl } from './local-libxl.ts'

const CONFIG = `set timeout=5
menuentry 'first' {
  linux /vmlinuz first
}
menuentry 'second' {
  linux /other second
}
`
const { kernel: _, ...bare } = sampleSpec
const spec: DomainSpec = {
  ...bare, bootloader: 'pygrub', disks: [parseDisk('/disk.img,raw,xvda,w')],
}

class CountedFile extends MemoryFile {
  closed = 0

  override async close(): Promise<void> {
    this.closed++
  }
}

function world(config = CONFIG) {
  const control = new FakeControl()
  const host = new FakeHost()
  const disk = sampleDisk({ vmlinuz: sampleElf(), other: sampleElf() }, { 'grub.cfg': config })
  const file = new CountedFile('/disk.img', Uint8Array.from(disk))
  host.images.files.files.set('/disk.img', file)
  const libxl = new LocalLibxl(control, new Xenstored(), host)
  const handlers = control.handlers.size
  const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes)
  /** Attaches to a console. */
  const read = async (domid: number) => {
    const seen = { text: '', isOver: false }
    const session = await libxl.attachConsole(domid, {
      output: (bytes) => void (seen.text += decode(bytes)), closed: () => void (seen.isOver = true),
    })
    return { seen, type: (text: string) => session.write(new TextEncoder().encode(text)) }
  }
  /** Nothing of any domain is there. */
  const assertEmpty = async (): Promise<void> => {
    for (let i = 0; i < 20; i++) await host.pass(0)
    assert.equal((await libxl.list()).length, 1)
    assert.equal(libxl.domainCount, 0)
    assert.equal(control.handlers.size, handlers)
    assert.equal(host.timers.size, 0)
    assert.equal(file.closed, 1)
    assert.deepEqual(libxl.store.directory('/local/domain'), ['0'])
    assert.deepEqual(libxl.store.directory('/vm'), [])
    assert.deepEqual(libxl.store.directory('/libxl'), [])
  }
  return { control, host, libxl, file, read, decode, assertEmpty }
}

/** Begins to make a domain; its number, once its menu is there. */
async function atMenu({ libxl, host }: ReturnType<typeof world>, wanted = spec) {
  const { promise: made, resolve } = Promise.withResolvers<number>()
  const whole = libxl.create(wanted, {}, resolve)
  whole.catch(() => {})
  const domid = await made
  while (host.timers.size === 0) await host.pass(0)
  return { domid, whole }
}

test('a domain at its menu has its number, its name and its console, and waits', async () => {
  const all = world()
  const { libxl, control, read } = all
  const { domid, whole } = await atMenu(all)
  const [, listed] = await libxl.list()
  assert.deepEqual([listed?.domid, listed?.name, listed?.paused, listed?.memoryKib],
    [domid, 'guest', true, 0])
  assert.equal(libxl.store.read(`/local/domain/${domid}/console/tty`), '/dev/pts/0')
  assert.equal(libxl.store.read(`/local/domain/${domid}/store/port`), undefined)
  await assert.rejects(libxl.create(spec, {}), /Domain with name "guest" already exists/)
  await assert.rejects(libxl.unpause(domid), /it is still being made/)
  const { seen, type } = await read(domid)
  assert.match(seen.text, /first.*second/s)
  type('\x1b[B')
  type('\r')
  assert.equal(await whole, domid)
  assert.match(seen.text, /\x1b\[7mfirst.*\x1b\[7msecond/s)
  control.print(domid, 'guest here')
  assert.match(seen.text, /\x1b\[\?25hguest here$/)
  assert.equal(control.domain(domid).info.paused, false)
})

test('the menu is at the pseudo-terminal and in the log, too', async () => {
  const all = world()
  const { host, decode } = all
  const { whole } = await atMenu(all)
  const [pty] = host.ptys
  let seen = ''
  pty?.onData((bytes) => void (seen += decode(bytes)))
  pty?.write(new TextEncoder().encode('\x1b'))
  await host.pass(0)
  pty?.write(new TextEncoder().encode('[B'))
  await host.pass(0)
  pty?.write(new TextEncoder().encode('\r'))
  const domid = await whole
  assert.match(seen, /\x1b\[7msecond/)
  assert(host.logs.get(`bootloader.${domid}.log`)?.endsWith(seen))
})

test('without anybody the default boots after its time, with -q and a name at once', async () => {
  const all = world()
  const { host, libxl } = all
  const { whole } = await atMenu(all)
  for (let second = 1; second <= 5; second++) {
    assert.equal(host.timers.size, 1)
    await host.pass(1000)
  }
  await whole
  for (const bootloaderArgs of [['-q'], ['--entry=second'], ['-i', '-q']]) {
    const name = bootloaderArgs.join()
    await libxl.create({ ...spec, name, uuid: undefined, bootloaderArgs }, {})
  }
  await libxl.create({ ...spec, name: 'k', uuid: undefined, kernel: '/other' }, {})
  assert.equal(host.timers.size, 0)
  for (const word of ['-l', '-n', '--help']) {
    await assert.rejects(libxl.create({ ...spec, name: 'b', bootloaderArgs: [word] }, {}),
      /leaves nothing to boot/)
  }
})

test('what is typed before anybody takes it waits for the menu', async () => {
  const all = world()
  const { libxl, control, read } = all
  const { promise, resolve } = Promise.withResolvers<{ type(text: string): boolean }>()
  const whole = libxl.create(spec, {}, (domid) => void read(domid).then(resolve))
  const { type } = await promise
  assert.equal(type('\x1b[B'), false)
  assert.equal(type('\r'), false)
  const domid = await whole
  assert.equal(type('ls\n'), true)
  const page = control.domain(domid).page(0xfefff)
  assert.equal(new TextDecoder().decode(page.slice(0, 3)), 'ls\n')
})

test('a domain that is destroyed at its menu, or given up there, leaves nothing', async () => {
  for (const end of ['destroy', 'interrupt', 'host'] as const) {
    const all = world()
    const { libxl, read, assertEmpty } = all
    const { domid, whole } = await atMenu(all)
    const { seen, type } = await read(domid)
    const refused = assert.rejects(whole,
      end === 'interrupt' ? /nothing was chosen/ : /its terminal is gone/)
    if (end === 'destroy') await libxl.destroy(domid)
    else if (end === 'host') await libxl.destroyAll()
    else type('\x03')
    await refused
    assert.equal(seen.isOver, true)
    await assertEmpty()
  }
})

test('a boot loader that fails says so on the console, too', async () => {
  const all = world(CONFIG.replaceAll('/vmlinuz', '/none'))
  const { host } = all
  const { domid, whole } = await atMenu(all)
  const { seen, type } = await all.read(domid)
  type('\r')
  await assert.rejects(whole, /bootloader failed - pygrub/)
  assert.match(seen.text, /bootloader failed - pygrub/)
  assert.match(host.logs.get(`bootloader.${domid}.log`) ?? '', /bootloader failed - pygrub/)
  await all.assertEmpty()
})

test('a domain whose maker goes away before it is whole goes, too', async () => {
  const all = world()
  const { libxl, host } = all
  const server = new HostServer(libxl, {
    pid: 1, domainCount: () => 1, delay: () => () => {}, log() {}, end() {}, fatal: assert.fail,
  })
  const client = await RemoteLibxl.open(async () => {
    const [near, far] = fakePair()
    server.accept(far)
    return near
  })
  const { promise: made, resolve } = Promise.withResolvers<number>()
  const whole = client.create(spec, {}, resolve)
  const lost = assert.rejects(whole, /host process ended/)
  assert.equal((await libxl.list()).length, 1)
  const domid = await made
  while (host.timers.size === 0) await host.pass(0)
  assert.equal((await client.list())[1]?.domid, domid)
  client.close()
  await lost
  await all.assertEmpty()
})

test('a domain that reboots is at its menu again, and its successor is known there', async () => {
  const all = world()
  const { libxl, host, control, read } = all
  const { domid, whole } = await atMenu(all)
  ;(await read(domid)).type('\r')
  await whole
  host.nowMs += 10_000
  control.shutDown(domid, SHUTDOWN_reboot)
  await host.pass(0)
  const next = await libxl.successor(domid)
  assert(next !== undefined && next !== domid)
  while (host.timers.size === 0) await host.pass(0)
  const { seen, type } = await read(next)
  assert.match(seen.text, /first.*second/s)
  type('\r')
  while (control.domain(next).info.paused) await host.pass(0)
})
