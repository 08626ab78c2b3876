/**
 * Consoles as programs read them, over a console that the test writes to.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { ConsoleSink, Libxl } from '../domain/libxl.ts'
import { ConsoleEnded, GuestConsole } from './console.ts'

async function attached() {
  let sink: ConsoleSink = { output: () => {}, closed: () => {} }
  let room: (() => void)[] = []
  const guest = { typed: '', full: false, detached: 0 }
  const libxl = {
    attachConsole: async (_domid: number, given: ConsoleSink) => {
      sink = given
      return {
        write: (bytes: Uint8Array) => {
          guest.typed += new TextDecoder().decode(bytes)
          return !guest.full
        },
        whenRoom: (callback: () => void) => void room.push(callback),
        detach: () => void guest.detached++,
      }
    },
  } as unknown as Libxl
  const console = await GuestConsole.attach(libxl, 1, () => 'token')
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
  return {
    console, guest,
    print: (text: string | Uint8Array) =>
      sink.output(typeof text === 'string' ? bytes(text) : text),
    end: () => sink.closed(),
    makeRoom: () => room.splice(0).forEach((callback) => callback()),
  }
}

test('text is found wherever the pieces end, and read once', async () => {
  const { console, print } = await attached()
  const waiting = console.expect('login: ')
  print('boot\r\nlog')
  print('in: ')
  print('name\n')
  assert.deepEqual(await waiting, { before: 'boot\n', text: 'login: ', groups: [] })
  assert.deepEqual(await console.expect(/n(a)m(x)?e/g),
    { before: '', text: 'name', groups: ['a', undefined] })
  assert.equal(await console.read(), '\n')
})

test('line ends are newlines, also when their parts come apart', async () => {
  const { console, print, end } = await attached()
  print('one\r')
  print('\r\ntwo\rthree\r')
  assert.equal(await console.read(), 'one\ntwo\rthree')
  end()
  assert.equal(await console.read(), '\r')
  assert.equal(await console.read(), undefined)
})

test('characters are whole, also when their bytes come apart', async () => {
  const { console, print } = await attached()
  print(Uint8Array.of(0xc3))
  print(Uint8Array.of(0xbc, 0x0a))
  assert.equal(await console.read(), 'ü\n')
})

test('iterating ends with the console; waiting for more is an error then', async () => {
  const { console, print, end } = await attached()
  print('a')
  const texts: string[] = []
  const reading = (async () => {
    for await (const text of console) texts.push(text)
  })()
  await Promise.resolve()
  end()
  await reading
  assert.deepEqual(texts, ['a'])
  await assert.rejects(console.expect('more'), ConsoleEnded)
  await assert.rejects(console.write('x'), ConsoleEnded)
})

test('writing waits until the guest has room', async () => {
  const { console, guest, makeRoom } = await attached()
  guest.full = true
  let done = false
  const writing = console.write('typed').then(() => (done = true))
  await Promise.resolve()
  assert.equal(done, false)
  makeRoom()
  await writing
  assert.equal(guest.typed, 'typed')
})

test('giving up waiting leaves the text to others', async () => {
  const { console, print } = await attached()
  const stop = new AbortController()
  const waiting = console.expect('never', { signal: stop.signal })
  print('something')
  stop.abort(new Error('enough'))
  await assert.rejects(waiting, /enough/)
  assert.equal(await console.read(), 'something')
})

test('what nobody reads is forgotten from its beginning', async () => {
  const { console, print } = await attached()
  const waiting = console.expect('end')
  print(`begin${'x'.repeat(8 * 1024 * 1024)}`)
  await new Promise((resolve) => setImmediate(resolve))
  print('end')
  const { before } = await waiting
  assert.equal(before.length, 8 * 1024 * 1024 - 3)
  assert.equal(before.includes('begin'), false)
})

test('commands run one after the other, and their echo is no answer', async () => {
  const { console, guest, print } = await attached()
  const first = console.exec('true')
  const second = console.exec('echo b')
  await new Promise((resolve) => setImmediate(resolve))
  assert.match(guest.typed, /^_x=\n_x=\$_x'true'\nprintf .* \$\?\n$/)
  print(`~# ${guest.typed}<token>\r\n<token 0>\r\n~# `)
  assert.deepEqual(await first, { status: 0, output: '' })
  await new Promise((resolve) => setImmediate(resolve))
  print('<token>\r\nb\r\n<token 3>\r\n')
  assert.deepEqual(await second, { status: 3, output: 'b\n' })
})

test('a command that takes too long is interrupted, and the next one runs', async () => {
  const { console, guest, print } = await attached()
  const stop = new AbortController()
  const slow = console.exec('sleep 100', { signal: stop.signal })
  await new Promise((resolve) => setImmediate(resolve))
  stop.abort()
  await assert.rejects(slow, { name: 'AbortError' })
  assert.ok(guest.typed.endsWith('\x03'))
  const next = console.exec('true')
  await new Promise((resolve) => setImmediate(resolve))
  print('^C\n<token>\n<token 0>\n')
  assert.equal((await next).status, 0)
})

test('closing detaches once and ends what waits', async () => {
  const { console, guest } = await attached()
  const waiting = console.expect('never')
  await console.close()
  await console.close()
  await assert.rejects(waiting, ConsoleEnded)
  assert.equal(guest.detached, 1)
})
