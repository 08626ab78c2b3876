/**
 * Channels in the store, as libxl 4.17 writes them, and the bytes that go through them.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { silentLog } from '../../base/log.ts'
import { LocalClient } from '../../xenstore/client.ts'
import { defaultQuota } from '../../xenstore/operations.ts'
import { formatPermission } from '../../xenstore/permissions.ts'
import { Xenstored } from '../../xenstore/xenstored.ts'
import type { ChannelSpec } from '../config/channel.ts'
import { fakePair } from '../host/fake-stream.ts'
import { Devices } from './devices.ts'
import { FakeControl, FakeHost } from './fake-control.ts'
import { attach } from './services.ts'

const DOMID = 1
const FRONT = `/local/domain/${DOMID}/device/console`
const BACK = `/local/domain/0/backend/console/${DOMID}`
const RING = 77
const PORT = 5
/** Words of the page: producers and consumers. */
const [IN_PROD, OUT_PROD] = [769, 771]
const OUT_AT = 1024

function house() {
  const store = new LocalClient(new Xenstored(defaultQuota, silentLog))
  const control = new FakeControl()
  const host = new FakeHost()
  control.xenctrl.createDomain({ handle: new Uint8Array(16), flags: 0, maxVcpus: 1 })
  const devices = new Devices(store, {
    control, schedule: (work) => void queueMicrotask(work), warn: () => {},
  }, host)
  const page = control.domain(DOMID).page(RING)
  const words = new Int32Array(page.buffer)
  return {
    store, control, host, devices, page,
    /** The guest's driver comes. */
    connect(devid: number): void {
      store.write(`${FRONT}/${devid}/ring-ref`, `${RING}`)
      store.write(`${FRONT}/${devid}/port`, `${PORT}`)
      store.write(`${FRONT}/${devid}/state`, '3')
    },
    print(text: string): void {
      const at = words[OUT_PROD] ?? 0
      for (let i = 0; i < text.length; i++) page[OUT_AT + (at + i & 2047)] = text.charCodeAt(i)
      words[OUT_PROD] = at + text.length
      for (const handler of [...control.handlers.values()]) handler()
    },
    typed: () => new TextDecoder().decode(page.subarray(0, words[IN_PROD] ?? 0)),
    async make(...specs: ChannelSpec[]): Promise<void> {
      const ready = await devices.prepare({ channels: specs })
      ready.connect(DOMID)
    },
  }
}

/** Lets streams deliver. */
const turn = () => new Promise((resolve) => setImmediate(resolve))
const bytes = (text: string) => new TextEncoder().encode(text)

function reader() {
  const said: string[] = []
  return {
    said,
    sink: {
      output: (some: Uint8Array) => void said.push(new TextDecoder().decode(some)),
      closed: () => void said.push('<closed>'),
    },
  }
}

test('the nodes are libxl\'s, beside the first console', async () => {
  const { store, make } = house()
  store.write(`${BACK}/0/frontend`, '/local/domain/1/console')
  store.write(`${BACK}/0/state`, '1')
  await make({ name: 'a', connection: 'pty' }, { name: 'b', connection: 'socket', path: '/s' })
  const under = (path: string) => Object.fromEntries(store.directory(path)
    .map((name) => [name, store.read(`${path}/${name}`)]))
  assert.deepEqual(under(`${FRONT}/2`), {
    'backend': `${BACK}/2`, 'backend-id': '0', 'state': '1', 'protocol': 'vt100', 'name': 'b',
    'limit': '1048576', 'type': 'ioemu', 'output': 'chardev:libxl-channel1', 'tty': '',
  })
  assert.deepEqual(under(`${BACK}/1`), {
    'frontend': `${FRONT}/1`, 'frontend-id': '1', 'online': '1', 'state': '2',
    'protocol': 'vt100', 'name': 'a', 'connection': 'pty',
  })
  assert.equal(under(`${BACK}/2`)['path'], '/s')
  assert.equal(store.permissions(`${FRONT}/1/name`).map(formatPermission).join(), 'n0,r1')
  assert.equal(store.permissions(`${FRONT}/1/state`).map(formatPermission).join(), 'n1,r0')
  assert.equal(store.read(`${BACK}/0/state`), '1')
})

test('what is written before either end is there waits for it', async () => {
  const { store, control, devices, connect, make, print, typed } = house()
  await make({ name: 'a', connection: 'pty' })
  const channel = devices.channels.at(DOMID, 1) ?? assert.fail()
  const early = reader()
  const session = attach(channel, early.sink)
  assert.equal(session.write(bytes('in')), false)
  let hasRoom = false
  session.whenRoom(() => (hasRoom = true))
  connect(1)
  assert.deepEqual([store.read(`${BACK}/1/state`), typed(), hasRoom], ['4', 'in', true])
  print('out')
  session.detach()
  print('1')
  print('2')
  const late = reader()
  attach(channel, late.sink)
  assert.deepEqual([early.said, late.said], [['out'], ['12']])
  // The front-end goes, another comes: readers stay.
  store.write(`${FRONT}/1/state`, '6')
  assert.equal(control.domain(DOMID).mapped.size, 0)
  store.write(`${FRONT}/1/state`, '1')
  connect(1)
  print('3')
  devices.release(DOMID)
  await devices.closed()
  assert.deepEqual(late.said, ['12', '3', '<closed>'])
  assert.equal(control.domain(DOMID).mapped.size, 0)
  assert.deepEqual([store.directory(FRONT), store.directory(BACK)], [[], []])
})

test('a pseudo-terminal has what readers have, and goes with its domain', async () => {
  const { store, host, devices, connect, make, print, typed } = house()
  await make({ name: 'a', connection: 'pty' })
  const pty = host.ptys[0] ?? assert.fail()
  assert.equal(store.read(`${FRONT}/1/tty`), '/dev/pts/0')
  assert.equal(devices.channels.list(DOMID)[0]?.path, '/dev/pts/0')
  const at = reader()
  pty.onData(at.sink.output)
  pty.onClose(at.sink.closed)
  pty.write(bytes('early '))
  await turn()
  connect(1)
  pty.write(bytes('late'))
  print('1')
  await turn()
  assert.deepEqual([typed(), at.said], ['early late', ['1']])
  // Whoever comes to the console finds what a pseudo-terminal may have shown to nobody.
  const late = reader()
  attach(devices.channels.at(DOMID, 1) ?? assert.fail(), late.sink)
  print('2')
  await turn()
  assert.deepEqual([at.said, late.said], [['1', '2'], ['1', '2']])
  devices.release(DOMID)
  await devices.closed()
  await turn()
  assert.deepEqual(at.said, ['1', '2', '<closed>'])
})

test('a socket has one connection at a time, and goes with its domain', async () => {
  const { host, devices, connect, make, print, typed } = house()
  await make({ name: 'b', connection: 'socket', path: '/s' })
  connect(1)
  const call = () => {
    const [mine, theirs] = fakePair()
    const said = reader()
    mine.onData(said.sink.output)
    mine.onClose(said.sink.closed)
    host.sockets.get('/s')?.(theirs)
    return { stream: mine, said: said.said }
  }
  const first = call()
  first.stream.write(bytes('hello'))
  print('there')
  const second = call()
  await turn()
  assert.deepEqual([typed(), first.said, second.said], ['hello', ['there'], ['<closed>']])
  first.stream.end()
  await turn()
  const third = call()
  print('again')
  await turn()
  assert.deepEqual(third.said, ['again'])
  assert.equal(devices.channels.at(DOMID, 1), undefined)
  devices.release(DOMID)
  await devices.closed()
  await turn()
  assert.deepEqual([third.said, host.sockets.size], [['again', '<closed>'], 0])
})

test('a channel whose socket cannot be made leaves none behind', async () => {
  const { host, make } = house()
  host.files.set('/file', new Uint8Array(1))
  await assert.rejects(make({ name: 'a', connection: 'socket', path: '/s' },
    { name: 'b', connection: 'socket', path: '/file' }), {
    message: 'cannot make the channel\'s socket /file: there is a file of that name',
  })
  assert.equal(host.sockets.size, 0)
})
