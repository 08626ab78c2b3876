/**
 * The nodes of the store, each with the generation of its last change.
 *
 * A transaction's view of them (transaction-tree.ts) is a Tree, too, so requests are written once.
 * Before a node or a list of children changes, every open snapshot is offered what was there.
 */
import { assert } from '../base/assert.ts'
import { childOf, leafOf, parentOf } from './path.ts'
import type { Permissions } from './permissions.ts'

export interface StoreNode {
  readonly value: Uint8Array
  readonly permissions: Permissions
}

/** What requests need of a store or of a transaction's view. */
export interface Tree {
  get(path: string): StoreNode | undefined
  /** Names directly below `path`, sorted. */
  children(path: string): string[]
  /** A number that changes when the list of children does. */
  listGeneration(path: string): number
  /** Creates or replaces a node; its parent exists. */
  put(path: string, node: StoreNode): void
  /** Removes a node without children. */
  remove(path: string): void
  /** How many nodes `domid` owns. */
  ownedBy(domid: number): number
}

/** A view that goes on seeing what was there when it was opened. */
export interface Snapshot {
  /** The node at `path` is about to change; undefined when there is none. */
  keepNode(path: string, node: StoreNode | undefined, generation: number): void
  /** The list below `path` is about to change. */
  keepList(path: string, names: ReadonlySet<string>, generation: number): void
}

interface StoredNode extends StoreNode {
  readonly generation: number
  readonly names: Set<string>
  listGeneration: number
}

/** The store itself. */
export class StoreTree implements Tree {
  readonly #nodes = new Map<string, StoredNode>()
  readonly #owned = new Map<number, number>()
  readonly #snapshots = new Set<Snapshot>()
  #generation = 0

  constructor(root: StoreNode) {
    this.#nodes.set('/', { ...root, generation: ++this.#generation, names: new Set(),
      listGeneration: 0 })
    this.#count(root, 1)
  }

  get(path: string): StoreNode | undefined {
    return this.#nodes.get(path)
  }

  children(path: string): string[] {
    return [...(this.#nodes.get(path)?.names ?? [])].sort()
  }

  names(path: string): ReadonlySet<string> | undefined {
    return this.#nodes.get(path)?.names
  }

  generation(path: string): number {
    return this.#nodes.get(path)?.generation ?? 0
  }

  listGeneration(path: string): number {
    return this.#nodes.get(path)?.listGeneration ?? 0
  }

  open(snapshot: Snapshot): void {
    this.#snapshots.add(snapshot)
  }

  close(snapshot: Snapshot): void {
    this.#snapshots.delete(snapshot)
  }

  put(path: string, node: StoreNode): void {
    const old = this.#nodes.get(path)
    this.#keepNode(path, old)
    const generation = ++this.#generation
    this.#nodes.set(path, {
      value: node.value,
      permissions: node.permissions,
      generation,
      names: old?.names ?? new Set(),
      listGeneration: old?.listGeneration ?? generation,
    })
    if (old) this.#count(old, -1)
    this.#count(node, 1)
    if (old || path === '/') return
    const parent = this.#nodes.get(parentOf(path))
    assert(parent, `xenstore node ${path} without a parent`)
    this.#keepList(parentOf(path), parent)
    parent.names.add(leafOf(path))
    parent.listGeneration = generation
  }

  remove(path: string): void {
    const old = this.#nodes.get(path)
    if (!old) return
    this.#keepNode(path, old)
    this.#nodes.delete(path)
    this.#count(old, -1)
    const parent = this.#nodes.get(parentOf(path))
    if (!parent) return
    this.#keepList(parentOf(path), parent)
    parent.names.delete(leafOf(path))
    parent.listGeneration = ++this.#generation
  }

  ownedBy(domid: number): number {
    return this.#owned.get(domid) ?? 0
  }

  /** The nodes whose permissions name `domid`, with those. */
  *naming(domid: number): Iterable<readonly [path: string, node: StoreNode]> {
    for (const [path, node] of this.#nodes) {
      if (node.permissions.some((entry) => entry.domid === domid)) yield [path, node]
    }
  }

  /** What is wrong with the tree, were it not for this code to be right: nothing. */
  inconsistencies(): string[] {
    const found: string[] = []
    const owned = new Map<number, number>()
    for (const [path, node] of this.#nodes) {
      const owner = node.permissions[0].domid
      owned.set(owner, (owned.get(owner) ?? 0) + 1)
      if (!this.#nodes.get(parentOf(path))) found.push(`${path} has no parent`)
      else if (path !== '/' && !this.#nodes.get(parentOf(path))?.names.has(leafOf(path))) {
        found.push(`${path} is not in its parent's list`)
      }
      for (const name of node.names) {
        if (!this.#nodes.has(childOf(path, name))) found.push(`${path} lists ${name}`)
      }
    }
    for (const domid of new Set([...owned.keys(), ...this.#owned.keys()])) {
      if (owned.get(domid) !== this.#owned.get(domid)) found.push(`count of domain ${domid}`)
    }
    return found
  }

  #keepNode(path: string, old: StoredNode | undefined): void {
    for (const snapshot of this.#snapshots) snapshot.keepNode(path, old, old?.generation ?? 0)
  }

  #keepList(path: string, parent: StoredNode): void {
    for (const snapshot of this.#snapshots) {
      snapshot.keepList(path, parent.names, parent.listGeneration)
    }
  }

  #count(node: StoreNode, by: number): void {
    const owner = node.permissions[0].domid
    const count = this.ownedBy(owner) + by
    if (count === 0) this.#owned.delete(owner)
    else this.#owned.set(owner, count)
  }
}
