/**
 * The asynchronous client against our store, by calls and by bytes cut anywhere.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { AsyncStoreClient, MessageReader } from './async-client.ts'
import { encodeMessage, type Message } from './wire.ts'
import { Xenstored } from './xenstored.ts'

function connected(store = new Xenstored(), deliver = (client: AsyncStoreClient) =>
  (message: Message) => client.receive(message)): AsyncStoreClient {
  const connection = store.connect((message) => deliver(client)(message))
  const client = new AsyncStoreClient({
    send: (message) => void setImmediate(() => store.handle(connection, message)),
    close: () => store.disconnect(connection),
  })
  return client
}

test('nodes are written, read, listed and removed', async () => {
  const client = connected()
  await client.write('/a/b', 'value')
  await client.mkdir('/a/c')
  assert.equal(await client.read('/a/b'), 'value')
  assert.equal(await client.read('/nowhere'), undefined)
  assert.deepEqual((await client.list('/a')).sort(), ['b', 'c'])
  assert.deepEqual(await client.list('/nowhere'), [])
  await client.remove('/a')
  await client.remove('/a')
  assert.equal(await client.read('/a/b'), undefined)
  await assert.rejects(client.write('//bad', ''), /EINVAL/)
})

test('requests under way are told apart', async () => {
  const client = connected()
  await Promise.all(['x', 'y', 'z'].map((name) => client.write(`/${name}`, name)))
  assert.deepEqual(await Promise.all(['z', 'x', 'y'].map((name) => client.read(`/${name}`))),
    ['z', 'x', 'y'])
})

test('a directory of any length is listed', async () => {
  const client = connected()
  const names = Array.from({ length: 500 }, (_, i) => `a-rather-long-name-${i}`)
  for (const name of names) await client.write(`/d/${name}`, '')
  assert.deepEqual((await client.list('/d')).sort(), names.sort())
})

test('a transaction runs again when others changed what it saw', async () => {
  const store = new Xenstored()
  const [one, other] = [connected(store), connected(store)]
  await one.write('/n', '1')
  let runs = 0
  const result = await one.transaction(async (nodes) => {
    const value = Number(await nodes.read('/n'))
    if (runs++ === 0) await other.write('/n', '10')
    await nodes.write('/n', `${value + 1}`)
    return value
  })
  assert.deepEqual([result, runs, await one.read('/n')], [10, 2, '11'])
  await assert.rejects(one.transaction(async (nodes) => {
    await nodes.write('/n', 'lost')
    throw new Error('no')
  }), /no/)
  assert.equal(await one.read('/n'), '11')
})

test('a watch calls until it is disposed of', async () => {
  const client = connected()
  const seen: string[] = []
  {
    await using watch = await client.watch('/w', (path) => seen.push(path))
    assert.ok(watch)
    await client.write('/w/x', '')
  }
  await client.write('/w/y', '')
  assert.deepEqual(seen, ['/w', '/w/x'])
})

test('a stream may cut messages anywhere', async () => {
  const reader = new MessageReader()
  const client = connected(new Xenstored(), (one) => (message) => {
    for (const byte of encodeMessage(message)) {
      for (const whole of reader.take(Uint8Array.of(byte))) one.receive(whole)
    }
  })
  await client.write('/a', 'value')
  assert.equal(await client.read('/a'), 'value')
})

test('nothing is answered once it is closed', async () => {
  const client = connected()
  const reading = client.read('/')
  client.close()
  client.close()
  await assert.rejects(reading, /closed/)
  await assert.rejects(client.read('/'), /closed/)
})
