/**
 * Both sides of the socket against one another, and against those who do not keep to the protocol.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Xenstored } from '../../xenstore/xenstored.ts'
import { sampleElf } from '../build/sample-kernel.ts'
import { FakeControl, FakeHost, sampleSpec } from '../domain/fake-control.ts'
import { LibxlError } from '../domain/libxl.ts'
import { LocalLibxl } from '../domain/local-libxl.ts'
import { HostGone, RemoteLibxl } from './client.ts'
import { fakePair, type FakeStream } from './fake-stream.ts'
import { HostServer, IDLE_MS } from './server.ts'

function world() {
  const control = new FakeControl()
  const host = new FakeHost()
  host.files.set('/kernel', sampleElf())
  const local = new LocalLibxl(control, new Xenstored(), host)
  let ends = 0
  const fatal: unknown[] = []
  const server = new HostServer(local, {
    pid: 42, domainCount: () => local.domainCount, delay: (ms, work) => host.delay(ms, work),
    log() {}, end: () => ends++, fatal: (error) => fatal.push(error),
  })
  const sides: FakeStream[] = []
  const connect = async (): Promise<FakeStream> => {
    const [client, side] = fakePair()
    sides.push(side)
    server.accept(side)
    return client
  }
  /** Sends raw text and gives what came back and whether the connection ended. */
  const raw = async (text: string): Promise<{ got: string, closed: boolean }> => {
    const client = await connect()
    const seen = { got: '', closed: false }
    client.onData((bytes) => void (seen.got += new TextDecoder().decode(bytes)))
    client.onClose(() => (seen.closed = true))
    client.write(new TextEncoder().encode(text))
    await settle()
    return seen
  }
  return { control, host, local, connect, raw, sides, fatal, ended: () => ends }
}

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5))
const hello = '{"xenolith":2,"kind":"control"}\n'
const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)

test('calls go through, with results and failures as they were', async () => {
  const { connect } = world()
  const libxl = await RemoteLibxl.open(connect)
  assert.equal(await libxl.create(sampleSpec, { paused: true }), 1)
  assert.equal((await libxl.list())[1]?.paused, true)
  assert.equal((await libxl.spec(1))?.kernel, '/kernel')
  assert.equal(await libxl.spec(0), undefined)
  await libxl.destroy(1)
  await assert.rejects(libxl.destroy(1), (error) =>
    error instanceof LibxlError && error.rc === -21 && /Non-existant domain/.test(error.message))
  assert.equal(await libxl.readLog(false), '(XEN) fake\n')
})

test('a console carries bytes both ways, and ends with its domain', async () => {
  const { connect, control } = world()
  const libxl = await RemoteLibxl.open(connect)
  await libxl.create(sampleSpec, {})
  control.print(1, 'login: ')
  let seen = ''
  let closed = 0
  const session = await libxl.attachConsole(1, {
    output: (some) => void (seen += new TextDecoder().decode(some)), closed: () => closed++,
  })
  session.write(bytes('root\n'))
  await settle()
  assert.equal(seen, 'login: ')
  const page = control.domain(1).page(0xfefff)
  assert.equal(new TextDecoder().decode(page.slice(0, 5)), 'root\n')
  await libxl.destroy(1)
  await settle()
  assert.equal(closed, 1)
  await libxl.ping()
})

test('attaching to a console that is not there is refused', async () => {
  const { connect } = world()
  const libxl = await RemoteLibxl.open(connect)
  await assert.rejects(libxl.attachConsole(99, { output() {}, closed() {} }),
    /unable to get domain type for domid=99/)
})

test('a client that does not read its console loses the oldest and stops nobody', async () => {
  const { connect, control, sides } = world()
  const libxl = await RemoteLibxl.open(connect)
  await libxl.create(sampleSpec, {})
  let seen = ''
  await libxl.attachConsole(1, {
    output: (some) => void (seen += new TextDecoder().decode(some)), closed() {},
  })
  const side = sides.at(-1)
  assert.ok(side)
  side.full = true
  for (let i = 0; i < 1000; i++) control.print(1, `${i}`.padEnd(2000, '.'))
  side.drain()
  await settle()
  assert.ok(seen.length < 1_100_000)
  assert.ok(seen.endsWith('999'.padEnd(2000, '.')))
})

test('what waits for a client is lost with its connection, not with its requests', async () => {
  const { connect, sides, local } = world()
  const libxl = await RemoteLibxl.open(connect)
  await libxl.create(sampleSpec, {})
  const waiting = libxl.waitForEnd(1)
  sides[0]?.end()
  await assert.rejects(waiting, HostGone)
  await assert.rejects(libxl.list(), HostGone)
  assert.equal((await local.list()).length, 2)
})

test('what is no line of the protocol ends its connection and nothing else', async () => {
  const { raw, connect, fatal } = world()
  const libxl = await RemoteLibxl.open(connect)
  for (const text of [
    'GET / HTTP/1.0\r\n\r\n', '{}\n', 'null\n', '{"xenolith":99,"kind":"control"}\n',
    `${hello}nonsense\n`, `${hello}[]\n`, `${hello}{"id":"x"}\n`, `${hello}${'x'.repeat(2 ** 21)}`,
    '{"xenolith":2,"kind":"console","domid":"x"}\n', '\0\n', 'x'.repeat(2 ** 21),
  ]) {
    const { closed } = await raw(text)
    assert.equal(closed, true, text.slice(0, 60))
  }
  await libxl.ping()
  assert.deepEqual(fatal, [])
})

test('requests with wrong parameters are answered with what is wrong', async () => {
  const { raw } = world()
  const cases: [string, unknown[], RegExp][] = [
    ['create', [], /specification is missing/],
    ['create', [{ ...sampleSpec, kernel: 5 }], /invalid domain kernel/],
    ['create', [{ ...sampleSpec, memoryKib: -1 }], /invalid domain memoryKib/],
    ['create', [{ ...sampleSpec, name: 'a/b' }], /invalid domain name/],
    ['create', [{ ...sampleSpec, onCrash: 'explode' }], /invalid domain onCrash/],
    ['destroy', ['x'], /invalid domid/],
    ['destroy', [0], /control domain/],
    ['toString', [], /no such request/],
    ['__proto__', [], /no such request/],
  ]
  for (const [method, params, pattern] of cases) {
    const { got } = await raw(`${hello}${JSON.stringify({ id: 1, method, params })}\n`)
    assert.match(got, pattern)
  }
})

test('a host without domains and connections is told that it may end', async () => {
  const { host, connect, ended } = world()
  const libxl = await RemoteLibxl.open(connect)
  await libxl.create(sampleSpec, {})
  libxl.close()
  await settle()
  await host.pass(IDLE_MS)
  assert.equal(ended(), 0)
  const again = await RemoteLibxl.open(connect)
  await again.destroy(1)
  again.close()
  await settle()
  await host.pass(IDLE_MS)
  assert.equal(ended(), 1)
})

test('a client may ask for the end', async () => {
  const { host, connect, ended } = world()
  const libxl = await RemoteLibxl.open(connect)
  await libxl.end()
  await host.pass(0)
  assert.equal(ended(), 1)
})

test('who says nothing is sent away', async () => {
  const { host, connect } = world()
  const client = await connect()
  let closed = 0
  client.onClose(() => closed++)
  await host.pass(10_000)
  await settle()
  assert.equal(closed, 1)
})
