/**
 * What can be done to nodes: the rules of reading, writing, removing and permissions, over a Tree.
 *
 * Obeys docs/misc/xenstore.txt. A failed lookup tells an unprivileged client EACCES rather than
 * ENOENT where it may not see the nearest existing parent, so names cannot be probed.
 */
import type { Change } from './connection.ts'
import { childOf, parentOf } from './path.ts'
import {
  type Access, allows, owns, type Permission, type Permissions, READ, type Subject, WRITE,
} from './permissions.ts'
import type { StoreNode, StoreTree, Tree } from './tree.ts'
import type { Refusal } from './wire.ts'

/**
 * Limits for clients that are not privileged; the numbers are xenstored's defaults, and as there
 * one more than the number of watches and transactions is granted.
 */
export interface Quota {
  readonly nodes: number
  readonly entrySize: number
  readonly watches: number
  readonly transactions: number
  readonly permissions: number
  readonly transactionNodes: number
}

export const defaultQuota: Quota = {
  nodes: 1000,
  entrySize: 2048,
  watches: 128,
  transactions: 10,
  permissions: 5,
  transactionNodes: 1024,
}

/** Where an operation works and on whose behalf; `changes` collects what watches will hear. */
export interface Scope {
  readonly tree: Tree
  readonly subject: Subject
  readonly quota: Quota
  readonly changes: Change[]
}

const EMPTY = new Uint8Array(0)

/** The node at `path` if the subject has `wanted` access to it. */
export function lookUp(scope: Scope, path: string, wanted: Access): StoreNode | Refusal {
  const node = scope.tree.get(path)
  if (node) return allows(node.permissions, scope.subject, wanted) ? node : 'EACCES'
  let above = path
  do {
    above = parentOf(above)
    const parent = scope.tree.get(above)
    if (parent) return allows(parent.permissions, scope.subject, wanted) ? 'ENOENT' : 'EACCES'
  } while (above !== '/')
  return 'ENOENT'
}

function note(
  scope: Scope, path: string, own: Permissions, exact = false, before: readonly Permissions[] = [],
): void {
  const parent = scope.tree.get(parentOf(path))
  const permissions = parent ? [own, parent.permissions, ...before] : [own, ...before]
  scope.changes.push({ path, exact, permissions })
}

/** Creates `path` and its missing parents; the permissions are inherited. */
function create(scope: Scope, path: string, value: Uint8Array): undefined | Refusal {
  const missing: string[] = []
  let above = path
  while (!scope.tree.get(above)) {
    missing.push(above)
    above = parentOf(above)
  }
  const parent = scope.tree.get(above)
  if (!parent) return 'ENOENT'
  if (!allows(parent.permissions, scope.subject, WRITE)) return 'EACCES'
  const { privileged, domid } = scope.subject
  const [owner, ...others] = parent.permissions
  const permissions: Permissions = privileged
    ? parent.permissions
    : [{ domid, access: owner.access }, ...others]
  if (!privileged && scope.tree.ownedBy(domid) + missing.length > scope.quota.nodes) {
    return 'ENOSPC'
  }
  for (let i = missing.length - 1; i >= 0; i--) {
    const name = missing[i]
    if (name) scope.tree.put(name, { value: i === 0 ? value : EMPTY, permissions })
  }
  return undefined
}

/** Sets a node's value, creating it and its parents when missing. */
export function write(scope: Scope, path: string, value: Uint8Array): undefined | Refusal {
  if (!scope.subject.privileged && value.length > scope.quota.entrySize) return 'ENOSPC'
  const node = scope.tree.get(path)
  if (node) {
    if (!allows(node.permissions, scope.subject, WRITE)) return 'EACCES'
    scope.tree.put(path, { value, permissions: node.permissions })
  } else {
    const refusal = create(scope, path, value)
    if (refusal) return refusal
  }
  note(scope, path, scope.tree.get(path)?.permissions ?? [{ domid: 0, access: 0 }])
  return undefined
}

/** Creates an empty node; nothing happens when it exists. */
export function makeDirectory(scope: Scope, path: string): undefined | Refusal {
  const node = scope.tree.get(path)
  if (node) return allows(node.permissions, scope.subject, WRITE) ? undefined : 'EACCES'
  const refusal = create(scope, path, EMPTY)
  if (refusal) return refusal
  note(scope, path, scope.tree.get(path)?.permissions ?? [{ domid: 0, access: 0 }])
  return undefined
}

/** Removes a node and all below it. A missing node is no error when its parent exists. */
export function remove(scope: Scope, path: string): undefined | Refusal {
  if (path === '/') return 'EINVAL'
  const node = lookUp(scope, path, WRITE)
  if (typeof node === 'string') {
    return node === 'ENOENT' && scope.tree.get(parentOf(path)) ? undefined : node
  }
  note(scope, path, node.permissions)
  const found = [path]
  for (let i = 0; i < found.length; i++) {
    const above = found[i] ?? path
    for (const name of scope.tree.children(above)) {
      const below = childOf(above, name)
      found.push(below)
      note(scope, below, scope.tree.get(below)?.permissions ?? node.permissions, true)
    }
  }
  for (let i = found.length - 1; i >= 0; i--) scope.tree.remove(found[i] ?? path)
  return undefined
}

/** Replaces a node's permissions; only its owner may, and only the privileged give it away. */
export function setPermissions(
  scope: Scope, path: string, permissions: Permissions,
): undefined | Refusal {
  const { subject } = scope
  if (!subject.privileged && permissions.length > scope.quota.permissions) return 'ENOSPC'
  const node = scope.tree.get(path)
  if (!node) return lookUpRefusal(scope, path)
  if (!owns(subject, node.permissions)) return 'EACCES'
  if (!subject.privileged && permissions[0].domid !== node.permissions[0].domid) return 'EPERM'
  scope.tree.put(path, { value: node.value, permissions })
  // Who could read it hears that it no longer may.
  note(scope, path, permissions, false, [node.permissions])
  return undefined
}

function lookUpRefusal(scope: Scope, path: string): Refusal {
  const outcome = lookUp(scope, path, READ)
  return typeof outcome === 'string' ? outcome : 'ENOENT'
}

/**
 * Ends what a dead domain had, so that a later one of its number inherits nothing: its nodes go
 * with all below them, and its entries in the permissions of others.
 */
export function bury(scope: Scope, domid: number, tree: StoreTree): void {
  for (const [path, { value, permissions }] of [...tree.naming(domid)]) {
    if (!tree.get(path)) continue
    const [owner, ...others] = permissions
    if (owner.domid === domid && path !== '/') remove(scope, path)
    else tree.put(path, { value, permissions: without(domid, owner, others) })
  }
}

/** Permissions of an owner that lives, without the entries of `domid`. */
export function without(
  domid: number, owner: Permission, others: readonly Permission[],
): Permissions {
  const heir = owner.domid === domid ? { domid: 0, access: owner.access } : owner
  return [heir, ...others.filter((entry) => entry.domid !== domid)]
}
