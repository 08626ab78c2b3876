/**
 * A TFTP client against our own server, over a network that loses and repeats.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { bytesOf, text } from './nat/fake-guest.ts'
import type { HostAddress } from './nat/host-net.ts'
import type { Ipv4Address } from './nat/ipv4.ts'
import type { LocalService } from './nat/nat.ts'
import { SimulatedTime } from './tcp/simulation.ts'
import { fetchByTftp } from './tftp-client.ts'
import { TftpServer } from './tftp.ts'

const CLIENT = { address: 5 as Ipv4Address, port: 2000 }
const SERVER = '192.0.2.1'

interface Fate {
  readonly copies: number
}

class Net {
  readonly time = new SimulatedTime()
  readonly #services = new Map<number, LocalService>()
  readonly #fates: Fate[]
  sockets = 0
  #received: ((bytes: Uint8Array, from: HostAddress) => void) | undefined

  /** `fates` are those of the packets in their order; the rest arrive once. */
  constructor(files: Readonly<Record<string, Uint8Array>>, fates: readonly Fate[] = []) {
    this.#fates = [...fates]
    new TftpServer({
      timers: this.time, readFile: async (name) => files[name],
      serve: (port, service) => {
        this.#services.set(port, service)
        return () => void this.#services.delete(port)
      },
      sendDatagram: (port, _, bytes) => this.#travel(() =>
        this.#received?.(bytes, { address: SERVER, port })),
    })
  }

  #travel(arrive: () => void): void {
    const { copies } = this.#fates.shift() ?? { copies: 1 }
    for (let i = 0; i < copies; i++) this.time.after(1 + i, arrive)
  }

  /** Something comes from elsewhere. */
  forge(bytes: Uint8Array, from: HostAddress): void {
    this.#received?.(bytes, from)
  }

  async fetch(url: string, limitBytes = 1e6): Promise<Uint8Array> {
    const world = {
      timers: this.time,
      hostNet: {
        openUdp: (_: unknown, received: (bytes: Uint8Array, from: HostAddress) => void) => {
          this.#received = received
          this.sockets++
          return {
            send: (bytes: Uint8Array, to: HostAddress) => this.#travel(() => {
              if (to.address === SERVER) this.#services.get(to.port)?.(bytes.slice(), CLIENT)
            }),
            close: () => {
              this.#received = undefined
              this.sockets--
            },
          }
        },
      },
    }
    let isOver = false
    const result = fetchByTftp(world, url, limitBytes).finally(() => (isOver = true))
    result.catch(() => {})
    while (!isOver) {
      this.time.run(1)
      await new Promise(setImmediate)
    }
    assert.equal(this.sockets, 0)
    return result
  }
}

const content = (size: number): Uint8Array => Uint8Array.from({ length: size }, (_, i) => i * 7)

for (const size of [0, 1, 1428, 5000]) {
  test(`a file of ${size} bytes comes as it is`, async () => {
    const net = new Net({ 'a/b': content(size) })
    assert.deepEqual([...await net.fetch(`tftp://${SERVER}/a/b`)], [...content(size)])
  })
}

test('what is lost or comes twice changes nothing', async () => {
  const fate = fc.record({ copies: fc.constantFrom(0, 1, 1, 1, 2) })
  await fc.assert(fc.asyncProperty(fc.array(fate, { maxLength: 20 }), async (fates) => {
    const kept = fates.map((one, i) => i % 3 === 2 ? { copies: 1 } : one)
    const net = new Net({ f: content(6000) }, kept)
    const bytes = await net.fetch(`tftp://${SERVER}/f`).catch((error: Error) => error)
    if (bytes instanceof Error) assert.match(bytes.message, /does not answer/)
    else assert.deepEqual([...bytes], [...content(6000)])
  }), { numRuns: 40 })
})

const refusals: readonly [string, string, RegExp][] = [
  ['a file that is not there', `tftp://${SERVER}/none`, /none: file not found/],
  ['a file that is too large', `tftp://${SERVER}/big`, /too large/],
  ['a server that is not there', 'tftp://192.0.2.9/f', /does not answer/],
  ['a URL without a file', `tftp://${SERVER}/`, /is no address of a file/],
]

for (const [name, url, message] of refusals) {
  test(`${name} is refused`, async () => {
    const net = new Net({ big: content(9000) })
    await assert.rejects(net.fetch(url, 8000), message)
  })
}

test('what others say is not heard', async () => {
  const net = new Net({ f: content(3000) })
  const fetched = net.fetch(`tftp://${SERVER}/f`)
  net.forge(bytesOf('\0\x05\0\x01no'), { address: '192.0.2.7', port: 69 })
  assert.equal(text(await fetched).length, 3000)
})
