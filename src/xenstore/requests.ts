/**
 * The requests of the wire protocol, one handler a type, in one table.
 *
 * Obeys docs/misc/xenstore.txt. A handler answers with the reply's payload or with the name of an
 * error. Requests about whole domains are for the privileged only.
 */
import {
  XENSTORE_PAYLOAD_MAX, XS_CONTROL, XS_DIRECTORY, XS_DIRECTORY_PART, XS_GET_DOMAIN_PATH,
  XS_GET_PERMS, XS_INTRODUCE, XS_IS_DOMAIN_INTRODUCED, XS_MKDIR, XS_READ, XS_RELEASE,
  XS_RESET_WATCHES, XS_RESUME, XS_RM, XS_SET_PERMS, XS_SET_TARGET, XS_TRANSACTION_END,
  XS_TRANSACTION_START, XS_UNWATCH, XS_WATCH, XS_WRITE,
} from '../abi/xen/io/xs_wire.ts'
import { type Connection, mergeChanges, watchKey } from './connection.ts'
import { control } from './control.ts'
import { lookUp, makeDirectory, remove, type Scope, setPermissions, write } from './operations.ts'
import { absolutePath, domainPath, isSpecial, watchPath } from './path.ts'
import { formatPermission, parsePermissions, type Permissions, READ } from './permissions.ts'
import { TransactionTree } from './transaction-tree.ts'
import type { Xenstored } from './xenstored.ts'
import { bytesOf, joinStrings, type Message, type Refusal, splitStrings, textOf } from './wire.ts'

/** What a handler has before it. */
export interface Request {
  readonly store: Xenstored
  readonly connection: Connection
  readonly message: Message
  readonly scope: Scope
}

export type Reply = Uint8Array | Refusal
type Handler = (request: Request) => Reply

/** What a guest's transaction may keep of the past: nodes, and names in lists. */
const SNAPSHOT_LIMIT = 16384

const OK = bytesOf('OK\0')

/** The absolute path that a request's single string names. */
function pathArgument(request: Request): string | undefined {
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== 1) return undefined
  return absolutePath(strings[0] ?? '', request.connection.domid)
}

function read(request: Request): Reply {
  const path = pathArgument(request)
  if (!path) return 'EINVAL'
  const node = lookUp(request.scope, path, READ)
  return typeof node === 'string' ? node : node.value
}

function directory(request: Request): Reply {
  const path = pathArgument(request)
  if (!path) return 'EINVAL'
  const node = lookUp(request.scope, path, READ)
  if (typeof node === 'string') return node
  const list = joinStrings(request.scope.tree.children(path))
  return list.length > XENSTORE_PAYLOAD_MAX ? 'E2BIG' : list
}

/** One part of a long list: its generation, then names; an empty name ends the last part. */
function directoryPart(request: Request): Reply {
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== 2) return 'EINVAL'
  const [name = '', start = ''] = strings
  const path = absolutePath(name, request.connection.domid)
  if (!path || !/^\d{1,9}$/.test(start)) return 'EINVAL'
  const { tree } = request.scope
  const node = lookUp(request.scope, path, READ)
  if (typeof node === 'string') return node
  const generation = `${tree.listGeneration(path)}\0`
  const room = XENSTORE_PAYLOAD_MAX - generation.length - 1
  const list = tree.children(path).map((child) => `${child}\0`).join('').slice(Number(start))
  if (list.length <= room) return bytesOf(`${generation}${list}\0`)
  return bytesOf(generation + list.slice(0, list.lastIndexOf('\0', room - 1) + 1))
}

function getPermissions(request: Request): Reply {
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== 1) return 'EINVAL'
  const special = request.store.specials.get(strings[0] ?? '')
  if (special) {
    return request.connection.privileged ? joinStrings(special.map(formatPermission)) : 'EACCES'
  }
  const path = absolutePath(strings[0] ?? '', request.connection.domid)
  if (!path) return 'EINVAL'
  const node = lookUp(request.scope, path, READ)
  return typeof node === 'string' ? node : joinStrings(node.permissions.map(formatPermission))
}

function setPermissionsRequest(request: Request): Reply {
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL') return 'EINVAL'
  const [name = '', ...texts] = strings
  const permissions = parsePermissions(texts)
  if (!permissions) return 'EINVAL'
  if (request.store.specials.has(name)) return setSpecial(request, name, permissions)
  const path = absolutePath(name, request.connection.domid)
  if (!path) return 'EINVAL'
  return setPermissions(request.scope, path, permissions) ?? OK
}

function setSpecial(request: Request, name: string, permissions: Permissions): Reply {
  if (!request.connection.privileged) return 'EACCES'
  request.store.specials.set(name, permissions)
  return OK
}

function writeRequest(request: Request): Reply {
  const { payload } = request.message
  const end = payload.indexOf(0)
  if (end < 0) return 'EINVAL'
  const path = absolutePath(textOf(payload.subarray(0, end)), request.connection.domid)
  if (!path) return 'EINVAL'
  return write(request.scope, path, payload.slice(end + 1)) ?? OK
}

function mkdir(request: Request): Reply {
  const path = pathArgument(request)
  return path ? makeDirectory(request.scope, path) ?? OK : 'EINVAL'
}

function rm(request: Request): Reply {
  const path = pathArgument(request)
  return path ? remove(request.scope, path) ?? OK : 'EINVAL'
}

function watch(request: Request): Reply {
  const { connection, store } = request
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== 2) return 'EINVAL'
  const [name = '', token = ''] = strings
  const path = watchPath(name, connection.domid)
  if (!path) return 'EINVAL'
  if (connection.watches.has(watchKey(path, token))) return 'EEXIST'
  if (!connection.privileged && connection.watches.size > store.quota.watches) return 'E2BIG'
  store.addWatch(connection, path, token, !name.startsWith('/') && !isSpecial(name))
  return OK
}

function unwatch(request: Request): Reply {
  const { connection, store } = request
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== 2) return 'EINVAL'
  const [name = '', token = ''] = strings
  const path = watchPath(name, connection.domid)
  if (!path) return 'EINVAL'
  const watch = connection.watches.get(watchKey(path, token))
  if (!watch) return 'ENOENT'
  store.removeWatch(watch)
  return OK
}

function transactionStart(request: Request): Reply {
  const { connection, store, message } = request
  if (message.transactionId !== 0) return 'EBUSY'
  const open = connection.transactions.size
  if (!connection.privileged && open > store.quota.transactions) return 'ENOSPC'
  const kept = connection.privileged ? Infinity : SNAPSHOT_LIMIT
  const id = connection.begin({ tree: new TransactionTree(store.tree, kept), changes: [] })
  return bytesOf(`${id}\0`)
}

function transactionEnd(request: Request): Reply {
  const { connection, store, message } = request
  const [verdict] = splitStrings(message.payload)
  if (verdict !== 'T' && verdict !== 'F') return 'EINVAL'
  const transaction = connection.transactions.get(message.transactionId)
  if (!transaction) return 'ENOENT'
  connection.end(message.transactionId)
  if (verdict === 'F') return OK
  if (!transaction.tree.isCurrent()) return 'EAGAIN'
  if (!connection.privileged && transaction.tree.size > store.quota.transactionNodes) {
    return 'ENOSPC'
  }
  const { tree } = transaction
  const changes = mergeChanges(transaction.changes,
    (path) => store.tree.get(path) !== undefined || tree.get(path) !== undefined)
  tree.apply()
  store.publish(changes)
  return OK
}

/** The domid that a privileged request begins with, and the numbers after it. */
function domidArgument(request: Request, count: number): number[] | Refusal {
  const strings = splitStrings(request.message.payload)
  if (strings === 'EINVAL' || strings.length !== count) return 'EINVAL'
  const numbers = strings.map((text) => (/^\d{1,10}$/.test(text) ? +text : -1))
  return numbers.some((number) => number < 0) ? 'EINVAL' : numbers
}

function privileged(handler: (request: Request, numbers: number[]) => Reply, count: number) {
  return (request: Request): Reply => {
    if (!request.connection.privileged) return 'EACCES'
    const numbers = domidArgument(request, count)
    return typeof numbers === 'string' ? numbers : handler(request, numbers)
  }
}

const introduce = privileged((request, [domid = 0, gfn = 0, port = 0]) =>
  request.store.introduceByRequest(domid, gfn, port) ?? OK, 3)

const release = privileged((request, [domid = 0]) =>
  request.store.release(domid) ? OK : 'ENOENT', 1)

const resume = privileged((request, [domid = 0]) => {
  if (domid === 0) return 'EINVAL'
  return request.store.isIntroduced(domid) ? OK : 'ENOENT'
}, 1)

const setTarget = privileged((request, [domid = 0, target = 0]) => {
  const { store } = request
  if (!store.isIntroduced(domid) || !store.isIntroduced(target)) return 'ENOENT'
  // The control domain has every right as it is.
  const connection = store.connectionOf(domid)
  if (connection) connection.target = target
  return OK
}, 2)

const isDomainIntroduced = privileged((request, [domid = 0]) =>
  bytesOf(request.store.isIntroduced(domid) ? 'T\0' : 'F\0'), 1)

function getDomainPath(request: Request): Reply {
  const numbers = domidArgument(request, 1)
  return typeof numbers === 'string' ? numbers : bytesOf(`${domainPath(numbers[0] ?? 0)}\0`)
}

function resetWatches(request: Request): Reply {
  request.store.reset(request.connection)
  return OK
}

function controlRequest(request: Request): Reply {
  if (!request.connection.privileged) return 'EACCES'
  const strings = splitStrings(request.message.payload)
  return strings === 'EINVAL' ? 'EINVAL' : control(request.store, strings)
}

export const handlers: ReadonlyMap<number, Handler> = new Map([
  [XS_CONTROL, controlRequest],
  [XS_DIRECTORY, directory],
  [XS_READ, read],
  [XS_GET_PERMS, getPermissions],
  [XS_WATCH, watch],
  [XS_UNWATCH, unwatch],
  [XS_TRANSACTION_START, transactionStart],
  [XS_TRANSACTION_END, transactionEnd],
  [XS_INTRODUCE, introduce],
  [XS_RELEASE, release],
  [XS_GET_DOMAIN_PATH, getDomainPath],
  [XS_WRITE, writeRequest],
  [XS_MKDIR, mkdir],
  [XS_RM, rm],
  [XS_SET_PERMS, setPermissionsRequest],
  [XS_IS_DOMAIN_INTRODUCED, isDomainIntroduced],
  [XS_RESUME, resume],
  [XS_SET_TARGET, setTarget],
  [XS_RESET_WATCHES, resetWatches],
  [XS_DIRECTORY_PART, directoryPart],
])
