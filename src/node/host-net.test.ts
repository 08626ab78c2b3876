/**
 * The NAT over real sockets of the host's loopback.
 */
import assert from 'node:assert/strict'
import { createSocket } from 'node:dgram'
import { once } from 'node:events'
import { createServer, connect, type AddressInfo } from 'node:net'
import { test } from 'node:test'
import { hostNet } from './host-net.ts'

/** Collects what happens to a stream. */
class Log {
  text = ''
  written = 0
  broken: boolean | undefined
  ended = false
  readonly #waiting: (() => void)[] = []

  connected(): void {
    this.text += '<connected>'
  }

  data(bytes: Uint8Array): void {
    this.text += new TextDecoder().decode(bytes)
  }

  end(): void {
    this.ended = true
  }

  closed(broken: boolean): void {
    this.broken = broken
    for (const wake of this.#waiting) wake()
  }

  get events() {
    return {
      connected: () => this.connected(), data: (bytes: Uint8Array) => this.data(bytes),
      ended: () => this.end(), written: (count: number) => void (this.written += count),
      closed: (broken: boolean) => this.closed(broken),
    }
  }

  over(): Promise<void> {
    return new Promise((resolve) => void this.#waiting.push(resolve))
  }
}

test('a stream connects, carries bytes both ways, and both directions end alone', async () => {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.setEncoding('utf8').on('data', (text) => socket.write(`${text}!`))
    socket.on('end', () => socket.end('after the end'))
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const log = new Log()
  const stream = hostNet.connect({ address: '127.0.0.1', port }, log.events)
  stream.write(new TextEncoder().encode('hello'))
  stream.end()
  await log.over()
  assert.equal(log.text, '<connected>hello!after the end')
  assert.deepEqual([log.written, log.ended, log.broken], [5, true, false])
  server.close()
})

test('a stream that is refused, or whose peer breaks it, says that it broke', async () => {
  const server = createServer((socket) => socket.resetAndDestroy()).listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const broken = new Log()
  hostNet.connect({ address: '127.0.0.1', port }, broken.events)
  await broken.over()
  assert.equal(broken.broken, true)
  server.close()
  await once(server, 'close')
  const refused = new Log()
  hostNet.connect({ address: '127.0.0.1', port }, refused.events)
  await refused.over()
  assert.deepEqual([refused.text, refused.broken], ['', true])
})

test('an accepted stream waits until it is resumed', async () => {
  const probe = createServer().listen(0, '127.0.0.1')
  await once(probe, 'listening')
  const { port } = probe.address() as AddressInfo
  probe.close()
  await once(probe, 'close')
  const log = new Log()
  const accepted: { resume(): void, end(): void }[] = []
  const listener = hostNet.listen({ address: '127.0.0.1', port }, (stream) => {
    accepted.push(stream)
    return log.events
  }, assert.ifError)
  const client = connect(port, '127.0.0.1')
  await once(client, 'connect')
  client.end('early words')
  while (accepted.length === 0) await new Promise(setImmediate)
  assert.equal(log.text, '')
  accepted[0]!.resume()
  accepted[0]!.end()
  client.resume()
  await log.over()
  assert.equal(log.text, 'early words')
  listener.close()
})

test('an address that is taken is said to have failed', async () => {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const at = { address: '127.0.0.1', port: (server.address() as AddressInfo).port }
  const error = await new Promise<Error>((resolve) =>
    void hostNet.listen(at, () => assert.fail('nobody connects'), resolve))
  assert.match(error.message, /EADDRINUSE/)
  server.close()
})

test('datagrams go out and come in with their sender', async () => {
  const peer = createSocket('udp4')
  peer.bind(0, '127.0.0.1')
  await once(peer, 'listening')
  peer.on('message', (bytes, from) => peer.send(`${bytes}?`, from.port, from.address))
  const { port } = peer.address()
  const answer = await new Promise<string>((resolve) => {
    const socket = hostNet.openUdp(undefined, (bytes, from) => {
      socket.close()
      socket.send(bytes, from)
      resolve(`${from.address}:${from.port === port} ${new TextDecoder().decode(bytes)}`)
    }, assert.ifError)
    socket.send(new TextEncoder().encode('who'), { address: '127.0.0.1', port })
  })
  assert.equal(answer, '127.0.0.1:true who?')
  peer.close()
})
