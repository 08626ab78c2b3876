/**
 * The store as a program beside the control domain's own uses it: requests that are answered later,
 * over any transport that carries messages in order (a unix socket, or a call).
 *
 * As in client.ts, a refused request throws StoreError, except that a missing node reads as
 * undefined. Left out: permissions.
 */
import {
  XS_DIRECTORY, XS_DIRECTORY_PART, XS_ERROR, XS_MKDIR, XS_READ, XS_RM, XS_TRANSACTION_END,
  XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import { StoreError } from './client.ts'
import {
  announcedLength, bytesOf, decodeMessage, HEADER_SIZE, joinStrings, type Message, type Refusal,
  splitStrings, textOf,
} from './wire.ts'

/** What carries messages to the store. */
export interface StoreTransport {
  send(message: Message): void
  close(): void
}

/** What can be done with nodes, alone or in a transaction. */
export interface StoreNodes {
  /** The value, or undefined when there is no such node. */
  read(path: string): Promise<string | undefined>
  write(path: string, value: string): Promise<void>
  mkdir(path: string): Promise<void>
  /** Removes the node and all below it; there may be none. */
  remove(path: string): Promise<void>
  /** The names below `path`; none when it does not exist. */
  list(path: string): Promise<string[]>
}

interface Pending {
  resolve(reply: Message): void
  reject(error: Error): void
}

const ATTEMPTS = 100

export class AsyncStoreClient implements StoreNodes {
  readonly #transport: StoreTransport
  readonly #pending = new Map<number, Pending>()
  readonly #callbacks = new Map<string, (path: string) => void>()
  readonly #alone = this.#in(0)
  #nextRequest = 1
  #nextToken = 0
  #closed = false

  constructor(transport: StoreTransport) {
    this.#transport = transport
  }

  read(path: string): Promise<string | undefined> {
    return this.#alone.read(path)
  }

  write(path: string, value: string): Promise<void> {
    return this.#alone.write(path, value)
  }

  mkdir(path: string): Promise<void> {
    return this.#alone.mkdir(path)
  }

  remove(path: string): Promise<void> {
    return this.#alone.remove(path)
  }

  list(path: string): Promise<string[]> {
    return this.#alone.list(path)
  }

  /** Runs `body` as one transaction, again when others changed what it saw. */
  async transaction<T>(body: (nodes: StoreNodes) => Promise<T>): Promise<T> {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const start = await this.#must(XS_TRANSACTION_START, [''])
      const id = Number(textOf(start).replace('\0', ''))
      let result: T
      try {
        result = await body(this.#in(id))
      } catch (error) {
        await this.#ask(XS_TRANSACTION_END, joinStrings(['F']), id)
        throw error
      }
      const end = await this.#ask(XS_TRANSACTION_END, joinStrings(['T']), id)
      if (end.type !== XS_ERROR) return result
      if (refusalOf(end) !== 'EAGAIN') throw new StoreError(refusalOf(end), 'transaction')
    }
    throw new StoreError('EAGAIN', 'transaction')
  }

  /**
   * Calls back soon, and for each change at or below `path`, with the path that changed; until the
   * result is disposed of.
   */
  async watch(path: string, callback: (path: string) => void): Promise<AsyncDisposable> {
    const token = `${this.#nextToken++}`
    this.#callbacks.set(token, callback)
    try {
      await this.#must(XS_WATCH, [path, token])
    } catch (error) {
      this.#callbacks.delete(token)
      throw error
    }
    return {
      [Symbol.asyncDispose]: async () => {
        if (!this.#callbacks.delete(token) || this.#closed) return
        await this.#must(XS_UNWATCH, [path, token])
      },
    }
  }

  /** Takes a message from the store. */
  receive(message: Message): void {
    if (message.type === XS_WATCH_EVENT) {
      const strings = splitStrings(message.payload)
      if (strings !== 'EINVAL') this.#callbacks.get(strings[1] ?? '')?.(strings[0] ?? '')
      return
    }
    const pending = this.#pending.get(message.requestId)
    this.#pending.delete(message.requestId)
    pending?.resolve(message)
  }

  /** Ends the connection, or notes that it ended: nothing will be answered any more. */
  close(): void {
    if (this.#closed) return
    this.#closed = true
    this.#callbacks.clear()
    for (const { reject } of this.#pending.values()) reject(new StoreError('EIO', 'closed'))
    this.#pending.clear()
    this.#transport.close()
  }

  #in(transaction: number): StoreNodes {
    const done = async (type: number, payload: Uint8Array, path: string): Promise<void> => {
      const reply = await this.#ask(type, payload, transaction)
      if (reply.type === XS_ERROR) throw new StoreError(refusalOf(reply), path)
    }
    return {
      read: async (path) => {
        const reply = await this.#ask(XS_READ, joinStrings([path]), transaction)
        if (reply.type !== XS_ERROR) return textOf(reply.payload)
        if (refusalOf(reply) === 'ENOENT') return undefined
        throw new StoreError(refusalOf(reply), path)
      },
      write: (path, value) => done(XS_WRITE, bytesOf(`${path}\0${value}`), path),
      mkdir: (path) => done(XS_MKDIR, joinStrings([path]), path),
      remove: async (path) => {
        const reply = await this.#ask(XS_RM, joinStrings([path]), transaction)
        if (reply.type === XS_ERROR && refusalOf(reply) !== 'ENOENT') {
          throw new StoreError(refusalOf(reply), path)
        }
      },
      list: (path) => this.#list(path, transaction),
    }
  }

  async #list(path: string, transaction: number): Promise<string[]> {
    const reply = await this.#ask(XS_DIRECTORY, joinStrings([path]), transaction)
    if (reply.type !== XS_ERROR) {
      const strings = splitStrings(reply.payload)
      return strings === 'EINVAL' ? [] : strings
    }
    if (refusalOf(reply) === 'ENOENT') return []
    if (refusalOf(reply) !== 'E2BIG') throw new StoreError(refusalOf(reply), path)
    return this.#longList(path, transaction)
  }

  /** The list in parts, from the beginning when it changed between two of them. */
  async #longList(path: string, transaction: number): Promise<string[]> {
    let list = ''
    let generation: string | undefined
    while (!list.endsWith('\0\0')) {
      const part = textOf(
        await this.#must(XS_DIRECTORY_PART, [path, `${list.length}`], transaction))
      const end = part.indexOf('\0')
      if (generation !== undefined && generation !== part.slice(0, end)) list = ''
      else list += part.slice(end + 1)
      generation = list === '' ? undefined : part.slice(0, end)
    }
    return list.slice(0, -2).split('\0')
  }

  async #must(type: number, strings: readonly string[], transaction = 0): Promise<Uint8Array> {
    const reply = await this.#ask(type, joinStrings(strings), transaction)
    if (reply.type === XS_ERROR) throw new StoreError(refusalOf(reply), strings[0] ?? '')
    return reply.payload
  }

  #ask(type: number, payload: Uint8Array, transactionId: number): Promise<Message> {
    return new Promise((resolve, reject) => {
      if (this.#closed) return reject(new StoreError('EIO', 'closed'))
      const requestId = this.#nextRequest++ >>> 0
      this.#pending.set(requestId, { resolve, reject })
      this.#transport.send({ type, requestId, transactionId, payload })
    })
  }
}

/** Cuts a stream of bytes into messages. */
export class MessageReader {
  #rest: Uint8Array = new Uint8Array(0)

  /** The messages that are whole now. */
  take(bytes: Uint8Array): Message[] {
    const joined = new Uint8Array(this.#rest.length + bytes.length)
    joined.set(this.#rest)
    joined.set(bytes, this.#rest.length)
    const messages: Message[] = []
    let at = 0
    while (joined.length - at >= HEADER_SIZE) {
      const size = HEADER_SIZE + announcedLength(joined, at)
      if (joined.length - at < size) break
      messages.push(decodeMessage(joined, at))
      at += size
    }
    this.#rest = joined.slice(at)
    return messages
  }
}

function refusalOf(message: Message): Refusal {
  return textOf(message.payload).replace('\0', '') as Refusal
}
