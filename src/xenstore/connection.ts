/**
 * One client of the store: who it is, its watches and its open transactions.
 *
 * A connection knows nothing of its transport, which hands it messages and takes replies and
 * events: a ring page (ring.ts), a byte stream (stream.ts), or the control domain's own code
 * (client.ts).
 */
import { domainPath, isBelow } from './path.ts'
import type { Permissions, Subject } from './permissions.ts'
import type { TransactionTree } from './tree.ts'
import type { Message } from './wire.ts'

/** A node that changed, with who could read it, seen from the moment of the change. */
export interface Change {
  readonly path: string
  /** Fires only watches on this very path: a child removed with its parent. */
  readonly exact: boolean
  /** The node's own permissions and its parent's; either lets a reader know. */
  readonly permissions: readonly Permissions[]
}

export interface Transaction {
  readonly tree: TransactionTree
  readonly changes: Change[]
}

/** A registered watch; `relative` ones report paths as the client would write them. */
export class Watch {
  readonly connection: Connection
  readonly path: string
  readonly token: string
  readonly #prefix: string
  closed = false

  constructor(connection: Connection, path: string, token: string, relative: boolean) {
    this.connection = connection
    this.path = path
    this.token = token
    this.#prefix = relative ? `${domainPath(connection.domid)}/` : ''
  }

  matches(change: Change): boolean {
    if (change.path === this.path) return true
    return !change.exact && isBelow(change.path, this.path)
  }

  /** `path` as this watch's client sees it. */
  shown(path: string): string {
    return this.#prefix !== '' && path.startsWith(this.#prefix)
      ? path.slice(this.#prefix.length)
      : path
  }
}

export class Connection implements Subject {
  readonly domid: number
  readonly privileged: boolean
  target: number | undefined = undefined
  watches: Watch[] = []
  readonly transactions = new Map<number, Transaction>()
  readonly deliver: (message: Message) => void
  #lastTransaction = 0

  constructor(domid: number, privileged: boolean, deliver: (message: Message) => void) {
    this.domid = domid
    this.privileged = privileged
    this.deliver = deliver
  }

  /** Opens a transaction and returns its id, never 0 and never one in use. */
  begin(transaction: Transaction): number {
    do {
      this.#lastTransaction = this.#lastTransaction >= 0xffffffff ? 1 : this.#lastTransaction + 1
    } while (this.transactions.has(this.#lastTransaction))
    this.transactions.set(this.#lastTransaction, transaction)
    return this.#lastTransaction
  }

  /** Forgets watches and transactions, as XS_RESET_WATCHES and a closing connection do. */
  reset(): void {
    for (const watch of this.watches) watch.closed = true
    this.watches = []
    this.transactions.clear()
  }
}
