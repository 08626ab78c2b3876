/**
 * One client of the store: who it is, its watches and its open transactions.
 *
 * A connection knows nothing of its transport, which hands it messages and takes replies and
 * events: a ring page (ring.ts), a byte stream (stream.ts), or the control domain's own code
 * (client.ts).
 */
import { domainPath } from './path.ts'
import type { Permissions, Subject } from './permissions.ts'
import type { TransactionTree } from './transaction-tree.ts'
import type { Message } from './wire.ts'

/** A node that changed, with who could read it, seen from the moment of the change. */
export interface Change {
  readonly path: string
  /** Fires only watches on this very path: a child removed with its parent. */
  readonly exact: boolean
  /** The node's own permissions and its parent's; either lets a reader know. */
  readonly permissions: readonly Permissions[]
}

/**
 * What watches hear of a committed transaction: each node once, in the order of first changes, and
 * nothing of nodes that came and went inside it.
 */
export function mergeChanges(
  changes: readonly Change[], exists: (path: string) => boolean,
): readonly Change[] {
  const merged = new Map<string, Change>()
  for (const { path, exact, permissions } of changes) {
    const first = merged.get(path)
    if (!first && !exists(path)) continue
    merged.set(path, {
      path, exact: exact && (first?.exact ?? true),
      permissions: [...first?.permissions ?? [], ...permissions],
    })
  }
  return [...merged.values()]
}

export interface Transaction {
  readonly tree: TransactionTree
  readonly changes: Change[]
}

/** What tells the watches of one connection apart. */
export function watchKey(path: string, token: string): string {
  return `${path}\0${token}`
}

/** A registered watch; `relative` ones report paths as the client would write them. */
export class Watch {
  readonly connection: Connection
  readonly path: string
  readonly token: string
  /** Grows with each watch of the store. */
  readonly order: number
  readonly #prefix: string
  closed = false

  constructor(
    connection: Connection, path: string, token: string, relative: boolean, order: number,
  ) {
    this.connection = connection
    this.path = path
    this.token = token
    this.order = order
    this.#prefix = relative ? `${domainPath(connection.domid)}/` : ''
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
  readonly watches = new Map<string, Watch>()
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

  /** Ends a transaction's view of the store; what it changed is forgotten unless applied. */
  end(id: number): void {
    this.transactions.get(id)?.tree.close()
    this.transactions.delete(id)
  }

  /** Ends all transactions. */
  endAll(): void {
    for (const id of this.transactions.keys()) this.end(id)
  }
}
