/**
 * The store as the control domain's own code uses it: synchronous calls, watches as callbacks.
 *
 * Like libxenstore it only sends requests, so that what a real Dom0 could not do cannot be done
 * here either. A refused request throws StoreError, except that a missing node reads as undefined.
 */
import {
  XS_DIRECTORY, XS_DIRECTORY_PART, XS_ERROR, XS_GET_PERMS, XS_MKDIR, XS_READ, XS_RM, XS_SET_PERMS,
  XS_TRANSACTION_END, XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WATCH_EVENT, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import type { Connection } from './connection.ts'
import { formatPermission, parsePermissions, type Permissions } from './permissions.ts'
import { bytesOf, joinStrings, type Message, type Refusal, splitStrings, textOf } from './wire.ts'
import type { Xenstored } from './xenstored.ts'

/** A request that the store refused. */
export class StoreError extends Error {
  override readonly name = 'StoreError'
  readonly refusal: Refusal

  constructor(refusal: Refusal, what: string) {
    super(`xenstore: ${what}: ${refusal}`)
    this.refusal = refusal
  }
}

/** A watch that runs until it is closed. */
export interface WatchHandle {
  close(): void
}

/** What the control domain's parts do with nodes; a transaction offers the same. */
export interface StoreAccess {
  /** The value, or undefined when there is no such node. */
  read(path: string): string | undefined
  write(path: string, value: string): void
  mkdir(path: string): void
  remove(path: string): void
  /** The names below `path`; none when it does not exist. */
  directory(path: string): string[]
  permissions(path: string): Permissions
  setPermissions(path: string, permissions: Permissions): void
}

export interface XenstoreClient extends StoreAccess {
  /** Calls back at once and for each change at or below `path`, with the path that changed. */
  watch(path: string, callback: (path: string) => void): WatchHandle
  /** Runs `body` as one transaction, again when others changed what it saw. */
  transaction<T>(body: (store: StoreAccess) => T): T
}

const ATTEMPTS = 100

/** Where the reply to the request under way goes. */
interface Slot {
  reply: Message | undefined
}

export class LocalClient implements XenstoreClient {
  readonly #store: Xenstored
  readonly #connection: Connection
  readonly #callbacks = new Map<string, (path: string) => void>()
  #slot: Slot | undefined
  #nextToken = 0

  constructor(store: Xenstored) {
    this.#store = store
    this.#connection = store.connect((message) => this.#deliver(message))
  }

  /** Ends the connection and all its watches. */
  close(): void {
    this.#store.disconnect(this.#connection)
    this.#callbacks.clear()
  }

  read(path: string): string | undefined {
    return this.#in(0).read(path)
  }

  write(path: string, value: string): void {
    this.#in(0).write(path, value)
  }

  mkdir(path: string): void {
    this.#in(0).mkdir(path)
  }

  remove(path: string): void {
    this.#in(0).remove(path)
  }

  directory(path: string): string[] {
    return this.#in(0).directory(path)
  }

  permissions(path: string): Permissions {
    return this.#in(0).permissions(path)
  }

  setPermissions(path: string, permissions: Permissions): void {
    this.#in(0).setPermissions(path, permissions)
  }

  watch(path: string, callback: (path: string) => void): WatchHandle {
    const token = `${this.#nextToken++}`
    this.#callbacks.set(token, callback)
    this.#must(XS_WATCH, [path, token])
    return {
      close: () => {
        if (this.#callbacks.delete(token)) this.#must(XS_UNWATCH, [path, token])
      },
    }
  }

  transaction<T>(body: (store: StoreAccess) => T): T {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const id = Number(textOf(this.#must(XS_TRANSACTION_START, [''])).replace('\0', ''))
      let result: T
      try {
        result = body(this.#in(id))
      } catch (error) {
        this.#ask(XS_TRANSACTION_END, joinStrings(['F']), id)
        throw error
      }
      const end = this.#ask(XS_TRANSACTION_END, joinStrings(['T']), id)
      if (end.type !== XS_ERROR) return result
      if (refusalOf(end) !== 'EAGAIN') throw new StoreError(refusalOf(end), 'transaction')
    }
    throw new StoreError('EAGAIN', 'transaction')
  }

  #in(transaction: number): StoreAccess {
    const must = (type: number, strings: readonly string[]): Uint8Array =>
      this.#must(type, strings, transaction)
    return {
      read: (path) => {
        const reply = this.#ask(XS_READ, joinStrings([path]), transaction)
        if (reply.type !== XS_ERROR) return textOf(reply.payload)
        if (refusalOf(reply) === 'ENOENT') return undefined
        throw new StoreError(refusalOf(reply), path)
      },
      write: (path, value) => {
        const reply = this.#ask(XS_WRITE, bytesOf(`${path}\0${value}`), transaction)
        if (reply.type === XS_ERROR) throw new StoreError(refusalOf(reply), path)
      },
      mkdir: (path) => void must(XS_MKDIR, [path]),
      remove: (path) => {
        const reply = this.#ask(XS_RM, joinStrings([path]), transaction)
        if (reply.type === XS_ERROR && refusalOf(reply) !== 'ENOENT') {
          throw new StoreError(refusalOf(reply), path)
        }
      },
      directory: (path) => this.#directory(path, transaction),
      permissions: (path) => {
        const strings = splitStrings(must(XS_GET_PERMS, [path]))
        const permissions = strings === 'EINVAL' ? undefined : parsePermissions(strings)
        if (!permissions) throw new StoreError('EIO', path)
        return permissions
      },
      setPermissions: (path, permissions) =>
        void must(XS_SET_PERMS, [path, ...permissions.map(formatPermission)]),
    }
  }

  #directory(path: string, transaction: number): string[] {
    const reply = this.#ask(XS_DIRECTORY, joinStrings([path]), transaction)
    if (reply.type !== XS_ERROR) {
      const strings = splitStrings(reply.payload)
      return strings === 'EINVAL' ? [] : strings
    }
    if (refusalOf(reply) === 'ENOENT') return []
    if (refusalOf(reply) !== 'E2BIG') throw new StoreError(refusalOf(reply), path)
    return this.#longDirectory(path, transaction)
  }

  /** The list in parts; nobody else runs meanwhile, so it cannot change between them. */
  #longDirectory(path: string, transaction: number): string[] {
    let list = ''
    while (!list.endsWith('\0\0')) {
      const part = textOf(this.#must(XS_DIRECTORY_PART, [path, `${list.length}`], transaction))
      list += part.slice(part.indexOf('\0') + 1)
    }
    return list.slice(0, -2).split('\0')
  }

  #must(type: number, strings: readonly string[], transaction = 0): Uint8Array {
    const reply = this.#ask(type, joinStrings(strings), transaction)
    if (reply.type === XS_ERROR) throw new StoreError(refusalOf(reply), strings[0] ?? '')
    return reply.payload
  }

  #ask(type: number, payload: Uint8Array, transactionId: number): Message {
    // Events follow the reply inside `handle`, and their callbacks may ask in turn.
    const outer = this.#slot
    const slot: Slot = { reply: undefined }
    this.#slot = slot
    try {
      this.#store.handle(this.#connection, { type, requestId: 1, transactionId, payload })
    } finally {
      this.#slot = outer
    }
    if (!slot.reply) throw new StoreError('EIO', 'no reply')
    return slot.reply
  }

  #deliver(message: Message): void {
    if (message.type !== XS_WATCH_EVENT) {
      if (this.#slot) this.#slot.reply = message
      return
    }
    const strings = splitStrings(message.payload)
    if (strings === 'EINVAL') return
    this.#callbacks.get(strings[1] ?? '')?.(strings[0] ?? '')
  }
}

function refusalOf(message: Message): Refusal {
  return textOf(message.payload).replace('\0', '') as Refusal
}
