/**
 * TFTP: a client by hand, on a simulated network.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { u16At } from './frame.ts'
import { bytesOf, text } from './nat/fake-guest.ts'
import type { Ipv4Address } from './nat/ipv4.ts'
import type { LocalService, Place } from './nat/nat.ts'
import { SimulatedTime } from './tcp/simulation.ts'
import { TftpServer } from './tftp.ts'

class Client {
  readonly time = new SimulatedTime()
  readonly services = new Map<number, LocalService>()
  readonly got: { readonly port: number, readonly bytes: Uint8Array }[] = []
  readonly server: TftpServer
  place: Place = { address: 5 as Ipv4Address, port: 2000 }

  constructor(files: Readonly<Record<string, Uint8Array>>) {
    this.server = new TftpServer({
      timers: this.time, readFile: async (name) => files[name],
      serve: (port, service) => {
        this.services.set(port, service)
        return () => void this.services.delete(port)
      },
      sendDatagram: (port, to, bytes) => {
        if (to.port === this.place.port) this.got.push({ port, bytes })
      },
    })
  }

  async ask(opcode: number, ...words: string[]): Promise<void> {
    this.services.get(69)!(bytesOf(`\0${String.fromCharCode(opcode)}${words.join('\0')}\0`),
      this.place)
    for (let i = 0; i < 10; i++) await Promise.resolve()
  }

  acknowledge(block: number, port = this.got.at(-1)!.port): void {
    this.services.get(port)?.(Uint8Array.of(0, 4, block >> 8, block), this.place)
  }

  /** "3 1 512": opcode, block, length of what came since the last time. */
  take(): string[] {
    return this.got.splice(0).map(({ bytes }) =>
      `${u16At(bytes, 0)} ${u16At(bytes, 2)} ${bytes.length - 4}`)
  }
}

test('a file comes in acknowledged blocks, and an empty one after a full last', async () => {
  const client = new Client({ a: new Uint8Array(1024) })
  await client.ask(1, 'a', 'octet')
  const { port } = client.got[0]!
  assert.deepEqual(client.take(), ['3 1 512'])
  client.acknowledge(1, port)
  client.acknowledge(1, port)
  assert.deepEqual(client.take(), ['3 2 512'])
  client.acknowledge(2, port)
  assert.deepEqual(client.take(), ['3 3 0'])
  client.acknowledge(3, port)
  assert.equal(client.services.size, 1)
  assert.equal(client.time.pending, 0)
})

test('options are answered with what was made of them', async () => {
  const client = new Client({ a: new Uint8Array(3000) })
  await client.ask(1, 'a', 'OCTET', 'blksize', '9000', 'tsize', '0', 'timeout', '3', 'other', '1')
  const { port, bytes } = client.got.splice(0)[0]!
  assert.equal(text(bytes), '\0\x06blksize\x001468\0tsize\x003000\0timeout\x003\0')
  client.acknowledge(0, port)
  assert.deepEqual(client.take(), ['3 1 1468'])
})

test('what is lost is sent again, a few times', async () => {
  const client = new Client({ a: bytesOf('x') })
  await client.ask(1, 'a', 'octet')
  await client.ask(1, 'a', 'octet')
  client.time.run(60_000)
  assert.deepEqual(client.take(), new Array<string>(6).fill('3 1 1'))
  assert.equal(client.services.size, 1)
})

test('more than 65535 blocks go round', async () => {
  const client = new Client({ a: new Uint8Array(8 * 65_537) })
  await client.ask(1, 'a', 'octet', 'blksize', '8')
  const { port } = client.got[0]!
  for (let block = 0; client.services.size > 1; block++) client.acknowledge(block & 0xffff, port)
  assert.deepEqual(client.take().slice(-4), ['3 65535 8', '3 0 8', '3 1 8', '3 2 0'])
})

const refusals: readonly [string, number, string[], string][] = [
  ['a file that is not there', 1, ['b', 'octet'], '\0\x05\0\x01file not found\0'],
  ['writing', 2, ['a', 'octet'], '\0\x05\0\x02files are only read\0'],
  ['a mode that is none', 1, ['a', 'mail'], '\0\x05\0\x04not a request\0'],
  ['an opcode that is none', 9, ['a'], '\0\x05\0\x04not a request\0'],
]

for (const [name, opcode, words, answer] of refusals) {
  test(`${name} is refused`, async () => {
    const client = new Client({ a: bytesOf('x') })
    await client.ask(opcode, ...words)
    assert.deepEqual(client.got.map(({ bytes }) => text(bytes)), [answer])
  })
}

test('a transfer ends when its guest says so, and answers nobody else', async () => {
  const client = new Client({ a: new Uint8Array(5000) })
  await client.ask(1, 'a', 'octet')
  const { port } = client.got.splice(0)[0]!
  const own = client.place
  client.place = { ...own, port: 2001 }
  client.acknowledge(1, port)
  assert.deepEqual(client.got.map(({ bytes }) => text(bytes)), ['\0\x05\0\x05not yours\0'])
  client.place = own
  client.services.get(port)!(Uint8Array.of(0, 5, 0, 0, 0), own)
  assert.equal(client.services.size, 1)
})

test('there are never more than a few transfers', async () => {
  const client = new Client({ a: new Uint8Array(5000) })
  for (let i = 0; i < 40; i++) {
    client.place = { address: 5 as Ipv4Address, port: 3000 + i }
    await client.ask(1, 'a', 'octet')
  }
  assert.equal(client.services.size, 33)
  client.server.close()
  assert.equal(client.services.size, 0)
})
