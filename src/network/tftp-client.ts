/**
 * A TFTP client: one file, from a server of the host's network.
 *
 * Obeys RFC 1350 with the block size of RFC 2348. It only fetches, and only whole bytes ("octet").
 */
import { joined } from '../base/bytes.ts'
import { putU16, u16At } from './frame.ts'
import type { HostAddress, HostNet } from './nat/host-net.ts'
import type { Timers } from './timers.ts'

const PORT = 69
const READ = 1
const DATA = 3
const ACKNOWLEDGE = 4
const ERROR = 5
const OPTIONS = 6
const DEFAULT_BLOCK = 512
/** What fits a frame of Ethernet. */
const WISHED_BLOCK = 1428
const TIMEOUT_MS = 1000
const TRIES = 6

export interface TftpClientWorld {
  readonly timers: Timers
  readonly hostNet: Pick<HostNet, 'openUdp'>
}

/** Fetches "tftp://HOST[:PORT]/NAME", of at most so many bytes; HOST is an address. */
export function fetchByTftp(
  world: TftpClientWorld, url: string, limitBytes: number,
): Promise<Uint8Array> {
  const match = /^tftp:\/\/(\d+(?:\.\d+){3})(?::(\d{1,5}))?\/+(.+)$/.exec(url)
  const [, address, port = `${PORT}`, name] = match ?? []
  if (address === undefined || name === undefined || Number(port) > 65535) {
    return Promise.reject(new Error(`${url} is no address of a file`))
  }
  return new Promise((resolve, reject) => new Transfer(
    world, { address, port: Number(port) }, name, limitBytes, resolve,
    (why) => reject(new Error(`${url}: ${why}`))))
}

class Transfer {
  readonly #world: TftpClientWorld
  readonly #socket: ReturnType<HostNet['openUdp']>
  readonly #limitBytes: number
  readonly #resolve: (bytes: Uint8Array) => void
  readonly #reject: (why: string) => void
  readonly #blocks: Uint8Array[] = []
  #server: HostAddress
  /** The port of its own from which the server answers, once it has. */
  #isAnswered = false
  #blockSize = DEFAULT_BLOCK
  #bytes = 0
  #last: Uint8Array
  #tries = 0
  #cancel: (() => void) | undefined

  constructor(
    world: TftpClientWorld, server: HostAddress, name: string, limitBytes: number,
    resolve: (bytes: Uint8Array) => void, reject: (why: string) => void,
  ) {
    this.#world = world
    this.#server = server
    this.#limitBytes = limitBytes
    this.#resolve = resolve
    this.#reject = reject
    this.#socket = world.hostNet.openUdp(undefined, (bytes, from) => this.#input(bytes, from),
      (error) => this.#fail(error.message))
    this.#last = request(name)
    this.#send()
  }

  #send(): void {
    this.#cancel?.()
    if (this.#tries++ === TRIES) return this.#fail('the server does not answer')
    this.#socket.send(this.#last, this.#server)
    this.#cancel = this.#world.timers.after(TIMEOUT_MS, () => this.#send())
  }

  #input(packet: Uint8Array, from: HostAddress): void {
    const { address, port } = this.#server
    if (from.address !== address || this.#isAnswered && from.port !== port) return
    const opcode = u16At(packet, 0)
    if (opcode === ERROR) {
      return this.#fail(new TextDecoder().decode(packet.subarray(4)).replace(/\0.*$/s, ''))
    }
    const isFirst = !this.#isAnswered
    if (opcode === OPTIONS && isFirst) {
      this.#begin(from)
      if (!this.#accept(packet)) return this.#fail('the server answers what was not asked')
      return this.#acknowledge(0)
    }
    if (opcode !== DATA || packet.length < 4) return
    if (isFirst) this.#begin(from)
    this.#take(u16At(packet, 2), packet.subarray(4))
  }

  #begin(from: HostAddress): void {
    this.#server = from
    this.#isAnswered = true
  }

  #accept(packet: Uint8Array): boolean {
    const [name = '', size] = new TextDecoder().decode(packet.subarray(2)).split('\0')
    this.#blockSize = Number(size)
    return name.toLowerCase() === 'blksize' && this.#blockSize >= 8 &&
      this.#blockSize <= WISHED_BLOCK
  }

  #take(number: number, bytes: Uint8Array): void {
    const next = this.#blocks.length + 1 & 0xffff
    // One that has come already is acknowledged by the next time that we send.
    if (number !== next || bytes.length > this.#blockSize) return
    this.#blocks.push(bytes.slice())
    this.#bytes += bytes.length
    if (this.#bytes > this.#limitBytes) return this.#fail('the file is too large')
    if (bytes.length === this.#blockSize) return this.#acknowledge(next)
    this.#socket.send(acknowledgement(next), this.#server)
    this.#end()
    this.#resolve(joined(this.#blocks))
  }

  #acknowledge(block: number): void {
    this.#tries = 0
    this.#last = acknowledgement(block)
    this.#send()
  }

  #fail(why: string): void {
    this.#end()
    this.#reject(why)
  }

  #end(): void {
    this.#cancel?.()
    this.#socket.close()
  }
}

function request(name: string): Uint8Array {
  const text = `\0${String.fromCharCode(READ)}${name}\0octet\0blksize\0${WISHED_BLOCK}\0`
  return new TextEncoder().encode(text)
}

function acknowledgement(block: number): Uint8Array {
  const packet = new Uint8Array(4)
  putU16(packet, 0, ACKNOWLEDGE)
  putU16(packet, 2, block)
  return packet
}
