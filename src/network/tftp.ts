/**
 * A TFTP server for guests that boot over the network.
 *
 * Obeys RFC 1350 with the options of RFC 2347 to 2349 (blksize, timeout, tsize). It only sends:
 * writing is refused. Each transfer has a port of its own, answers nobody but the guest that asked,
 * and ends when that guest falls silent; there are never more than a few.
 */
import { putU16, u16At } from './frame.ts'
import type { LocalService, Place } from './nat/nat.ts'
import type { Timers } from './timers.ts'

const TFTP_PORT = 69
const READ = 1
const WRITE = 2
const DATA = 3
const ACKNOWLEDGE = 4
const ERROR = 5
const OPTIONS = 6

const NOT_DEFINED = 0
const NOT_FOUND = 1
const ACCESS_VIOLATION = 2
const ILLEGAL = 4
const UNKNOWN_TRANSFER = 5

const DEFAULT_BLOCK = 512
const LEAST_BLOCK = 8
/** What fits a frame beside the headers of IP, UDP and TFTP. */
const MOST_BLOCK = 1468
const TRIES = 6
const TRANSFERS_KEPT = 32
const FIRST_PORT = 32_768
const PORT_COUNT = 16_384

/** What the server needs of the network and the host. */
export interface TftpWorld {
  readonly timers: Timers
  /** A file's content; undefined when there is none of that name, or nobody may have it. */
  readFile(name: string): Promise<Uint8Array | undefined>
  serve(port: number, service: LocalService): () => void
  sendDatagram(fromPort: number, to: Place, payload: Uint8Array): void
}

/** A request to read or write, taken apart. */
interface Request {
  readonly name: string
  readonly mode: string
  readonly options: ReadonlyMap<string, string>
}

export class TftpServer {
  readonly #world: TftpWorld
  readonly #transfers = new Map<string, Transfer>()
  readonly #stop: () => void
  #nextPort = 0
  #opening = 0

  constructor(world: TftpWorld) {
    this.#world = world
    this.#stop = world.serve(TFTP_PORT, (payload, from) => void this.#input(payload, from))
  }

  close(): void {
    this.#stop()
    for (const transfer of [...this.#transfers.values()]) transfer.end()
  }

  async #input(payload: Uint8Array, from: Place): Promise<void> {
    const refuse = (code: number, text: string): void =>
      this.#world.sendDatagram(TFTP_PORT, from, errorPacket(code, text))
    const opcode = u16At(payload, 0)
    if (opcode === WRITE) return refuse(ACCESS_VIOLATION, 'files are only read')
    const request = opcode === READ ? readRequest(payload) : undefined
    if (!request) return opcode === ERROR ? undefined : refuse(ILLEGAL, 'not a request')
    // One that asks again has not heard the answer, which comes again by itself.
    const key = `${from.address}:${from.port}`
    if (this.#transfers.has(key)) return
    if (this.#transfers.size + this.#opening >= TRANSFERS_KEPT) {
      return refuse(NOT_DEFINED, 'too many transfers')
    }
    this.#opening++
    const content = await this.#world.readFile(request.name).finally(() => this.#opening--)
    if (!content) return refuse(NOT_FOUND, 'file not found')
    if (this.#transfers.has(key)) return
    const port = FIRST_PORT + this.#nextPort++ % PORT_COUNT
    this.#transfers.set(key, new Transfer(this.#world, port, from, content, request.options,
      () => this.#transfers.delete(key)))
  }
}

/** One file on its way. */
class Transfer {
  readonly #world: TftpWorld
  readonly #port: number
  readonly #guest: Place
  readonly #content: Uint8Array
  readonly #ended: () => void
  readonly #stop: () => void
  #blockSize = DEFAULT_BLOCK
  #timeoutMs = 1000
  /** The block that was sent last; 0 stands for the answer to options. */
  #block = 0
  #last: Uint8Array
  #tries = 0
  #cancel: (() => void) | undefined

  constructor(
    world: TftpWorld, port: number, guest: Place, content: Uint8Array,
    options: ReadonlyMap<string, string>, ended: () => void,
  ) {
    this.#world = world
    this.#port = port
    this.#guest = guest
    this.#content = content
    this.#ended = ended
    this.#stop = world.serve(port, (payload, from) => this.#input(payload, from))
    const accepted = this.#accept(options)
    if (accepted.length > 0) this.#last = optionsPacket(accepted)
    else this.#last = this.#data(this.#block = 1)
    this.#send()
  }

  end(): void {
    this.#cancel?.()
    this.#stop()
    this.#ended()
  }

  /** Takes the options that are understood and make sense; they are answered, others are not. */
  #accept(options: ReadonlyMap<string, string>): string[] {
    const accepted: string[] = []
    for (const [name, text] of options) {
      const value = /^\d{1,9}$/.test(text) ? Number(text) : -1
      if (name === 'blksize' && value >= LEAST_BLOCK) {
        this.#blockSize = Math.min(value, MOST_BLOCK)
        accepted.push(name, `${this.#blockSize}`)
      } else if (name === 'timeout' && value >= 1 && value <= 255) {
        this.#timeoutMs = value * 1000
        accepted.push(name, text)
      } else if (name === 'tsize' && value >= 0) {
        accepted.push(name, `${this.#content.length}`)
      }
    }
    return accepted
  }

  #input(payload: Uint8Array, from: Place): void {
    if (from.address !== this.#guest.address || from.port !== this.#guest.port) {
      this.#world.sendDatagram(this.#port, from, errorPacket(UNKNOWN_TRANSFER, 'not yours'))
      return
    }
    const opcode = u16At(payload, 0)
    if (opcode === ERROR) return this.end()
    // An acknowledgment of an earlier block is a double: answering it would double all that follow.
    const isNews = payload.length >= 4 && u16At(payload, 2) === (this.#block & 0xffff)
    if (opcode !== ACKNOWLEDGE || !isNews) return
    if (this.#block > 0 && this.#block * this.#blockSize > this.#content.length) return this.end()
    this.#tries = 0
    this.#last = this.#data(++this.#block)
    this.#send()
  }

  /** A block, counted from 1; its number in the packet goes round after 65535. */
  #data(block: number): Uint8Array {
    const start = (block - 1) * this.#blockSize
    const part = this.#content.subarray(start, start + this.#blockSize)
    const packet = new Uint8Array(4 + part.length)
    putU16(packet, 0, DATA)
    putU16(packet, 2, block & 0xffff)
    packet.set(part, 4)
    return packet
  }

  #send(): void {
    this.#cancel?.()
    if (this.#tries++ === TRIES) return this.end()
    this.#world.sendDatagram(this.#port, this.#guest, this.#last)
    this.#cancel = this.#world.timers.after(this.#timeoutMs, () => this.#send())
  }
}

/** Undefined for what is no request, or not for the bytes of a file. */
function readRequest(payload: Uint8Array): Request | undefined {
  if (payload.at(-1) !== 0) return undefined
  const [name, mode, ...rest] = new TextDecoder().decode(payload.subarray(2, -1)).split('\0')
  if (!name || !/^(octet|netascii)$/i.test(mode ?? '')) return undefined
  const options = new Map<string, string>()
  for (let i = 0; i + 1 < rest.length; i += 2) options.set(rest[i]!.toLowerCase(), rest[i + 1]!)
  return { name, mode: mode!.toLowerCase(), options }
}

function optionsPacket(words: readonly string[]): Uint8Array {
  const text = new TextEncoder().encode(words.map((word) => `${word}\0`).join(''))
  const packet = new Uint8Array(2 + text.length)
  putU16(packet, 0, OPTIONS)
  packet.set(text, 2)
  return packet
}

function errorPacket(code: number, message: string): Uint8Array {
  const text = new TextEncoder().encode(`${message}\0`)
  const packet = new Uint8Array(4 + text.length)
  putU16(packet, 0, ERROR)
  putU16(packet, 2, code)
  packet.set(text, 4)
  return packet
}
