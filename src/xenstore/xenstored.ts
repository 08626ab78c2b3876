/**
 * xenstored: the store, its clients, and who hears of what.
 *
 * Obeys docs/misc/xenstore.txt. It runs on the control thread and owns no transport: connections
 * hand it messages and take replies. An event follows the reply to the request that caused it.
 */
import {
  XENSTORE_PAYLOAD_MAX, XS_ERROR, XS_TRANSACTION_END, XS_WATCH_EVENT,
} from '../abi/xen/io/xs_wire.ts'
import { type Log, silentLog } from '../base/log.ts'
import { Connection, type Change, type Transaction, Watch } from './connection.ts'
import { bury, defaultQuota, type Quota, without } from './operations.ts'
import { allows, type Permissions, READ } from './permissions.ts'
import { handlers, type Reply } from './requests.ts'
import { StoreTree } from './tree.ts'
import { WatchTable } from './watch-table.ts'
import { bytesOf, joinStrings, type Message, type Refusal } from './wire.ts'

const INTRODUCE_DOMAIN = '@introduceDomain'
const RELEASE_DOMAIN = '@releaseDomain'
const CONTROL_ONLY: Permissions = [{ domid: 0, access: 0 }]
const EMPTY = new Uint8Array(0)

/** How a domain's own connection is reached and taken down. */
export interface DomainLink {
  /** Takes replies and events. */
  deliver(message: Message): void
  /** The domain is gone: stop using its page and its port. */
  close(): void
}

/** Called for XS_INTRODUCE: connects the page and port, then calls `introduce`. */
export type IntroduceHook = (domid: number, gfn: number, port: number) => boolean

interface Event {
  readonly watch: Watch
  readonly path: string
}

export class Xenstored {
  readonly tree = new StoreTree({ value: EMPTY, permissions: CONTROL_ONLY })
  quota: Quota
  readonly log: Log
  readonly specials = new Map<string, Permissions>([
    [INTRODUCE_DOMAIN, CONTROL_ONLY], [RELEASE_DOMAIN, CONTROL_ONLY],
  ])
  /** Set by who can map a domain's page; without it XS_INTRODUCE is refused. */
  introduceHook: IntroduceHook | undefined
  readonly #connections = new Set<Connection>()
  readonly #domains = new Map<number, { connection: Connection, link: DomainLink }>()
  readonly #watches = new WatchTable()
  #watchCount = 0
  #events: Event[] = []
  #busy = false

  constructor(quota: Quota = defaultQuota, log: Log = silentLog) {
    this.quota = quota
    this.log = log
  }

  /** Adds a client of the control domain; `deliver` takes its replies and events. */
  connect(deliver: (message: Message) => void): Connection {
    const connection = new Connection(0, true, deliver)
    this.#connections.add(connection)
    return connection
  }

  /** Forgets a client, its watches and transactions. */
  disconnect(connection: Connection): void {
    this.reset(connection)
    this.#connections.delete(connection)
  }

  /** Forgets a client's watches and transactions. */
  reset(connection: Connection): void {
    this.#watches.removeAll(connection)
    connection.endAll()
  }

  /** Sets a watch; it fires once at once, which spares clients a separate first look. */
  addWatch(connection: Connection, path: string, token: string, relative: boolean): void {
    const watch = new Watch(connection, path, token, relative, ++this.#watchCount)
    this.#watches.add(watch)
    this.#events.push({ watch, path })
  }

  removeWatch(watch: Watch): void {
    this.#watches.remove(watch)
  }

  /** Connects a domain and tells those who wait for @introduceDomain. */
  introduce(domid: number, link: DomainLink): Connection {
    const known = this.#domains.get(domid)
    if (known) this.#forget(domid)
    const connection = new Connection(domid, false, (message) => link.deliver(message))
    this.#connections.add(connection)
    this.#domains.set(domid, { connection, link })
    this.publish([{ path: INTRODUCE_DOMAIN, exact: false, permissions: [] }])
    this.#flush()
    return connection
  }

  /** Disconnects a domain and tells those who wait for @releaseDomain. */
  release(domid: number): boolean {
    const known = this.#forget(domid)
    if (known) this.announceRelease()
    return known
  }

  /** Ends all that the store holds of a domain that is no more. */
  bury(domid: number): void {
    const changes: Change[] = []
    const subject = { domid: 0, privileged: true, target: undefined }
    bury({ tree: this.tree, subject, quota: this.quota, changes }, domid, this.tree)
    for (const [name, [owner, ...others]] of this.specials) {
      this.specials.set(name, without(domid, owner, others))
    }
    for (const connection of this.#connections) {
      if (connection.target === domid) connection.target = undefined
    }
    this.publish(changes)
    if (!this.release(domid)) this.#flush()
  }

  /** Tells watchers of @releaseDomain to look who has died or shut down. */
  announceRelease(): void {
    this.publish([{ path: RELEASE_DOMAIN, exact: false, permissions: [] }])
    this.#flush()
  }

  isIntroduced(domid: number): boolean {
    return domid === 0 || this.#domains.has(domid)
  }

  connectionOf(domid: number): Connection | undefined {
    return this.#domains.get(domid)?.connection
  }

  introduceByRequest(domid: number, gfn: number, port: number): undefined | Refusal {
    if (domid === 0 || domid >= 0x7ff0) return 'EINVAL'
    if (!this.#domains.has(domid)) {
      return this.introduceHook?.(domid, gfn, port) ? undefined : 'EINVAL'
    }
    // It keeps its ring, and those who wait are told again.
    this.publish([{ path: INTRODUCE_DOMAIN, exact: false, permissions: [] }])
    return undefined
  }

  /** Handles one request: the reply is delivered before this returns, and events after it. */
  handle(connection: Connection, message: Message): void {
    const reply = this.#answer(connection, message)
    if (typeof reply === 'string') {
      connection.deliver({ ...message, type: XS_ERROR, payload: bytesOf(`${reply}\0`) })
    } else {
      connection.deliver({ ...message, payload: reply })
    }
    this.#flush()
  }

  /** Notes events for all watches that these changes concern. */
  publish(changes: readonly Change[]): void {
    for (const change of changes) {
      const special = this.specials.get(change.path)
      for (const watch of this.#watches.concernedBy(change)) {
        const readable = special
          ? allows(special, watch.connection, READ)
          : change.permissions.some((entry) => allows(entry, watch.connection, READ))
        if (readable) this.#events.push({ watch, path: change.path })
      }
    }
  }

  #answer(connection: Connection, message: Message): Reply {
    const handler = handlers.get(message.type)
    if (!handler) return 'ENOSYS'
    if (message.payload.length > XENSTORE_PAYLOAD_MAX) return 'EINVAL'
    const open = connection.transactions.get(message.transactionId)
    if (message.transactionId !== 0 && !open) return 'ENOENT'
    const ends = message.type === XS_TRANSACTION_END
    const full = open && !connection.privileged && this.#isFull(open)
    if (full && !ends) return 'ENOSPC'
    const changes = open ? open.changes : []
    const tree = open ? open.tree : this.tree
    const scope = { tree, subject: connection, quota: this.quota, changes }
    const reply = handler({ store: this, connection, message, scope })
    if (!open) this.publish(changes)
    return reply
  }

  #isFull(transaction: Transaction): boolean {
    const limit = this.quota.transactionNodes
    return transaction.tree.size > limit || transaction.changes.length > 2 * limit
  }

  /** Delivers events in order; what the receivers cause meanwhile comes after. */
  #flush(): void {
    if (this.#busy) return
    this.#busy = true
    try {
      for (let i = 0; i < this.#events.length; i++) {
        const event = this.#events[i]
        if (!event || event.watch.closed) continue
        const { watch } = event
        const payload = joinStrings([watch.shown(event.path), watch.token])
        if (payload.length > XENSTORE_PAYLOAD_MAX) continue
        watch.connection.deliver({
          type: XS_WATCH_EVENT, requestId: 0, transactionId: 0, payload,
        })
      }
    } finally {
      this.#events = []
      this.#busy = false
    }
  }

  #forget(domid: number): boolean {
    const known = this.#domains.get(domid)
    if (!known) return false
    this.#domains.delete(domid)
    this.disconnect(known.connection)
    known.link.close()
    return true
  }
}
