/**
 * The nodes of the store, and a transaction's own view of them.
 *
 * Both are a Tree, so requests are written once. A transaction keeps what it changed and remembers
 * what it saw: for each node the generation, for each listed directory the list's generation. It
 * commits when none of that has changed since; a new sibling does not disturb one who only read.
 */
import { assert } from '../base/assert.ts'
import { leafOf, parentOf } from './path.ts'
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

interface StoredNode extends StoreNode {
  readonly generation: number
  readonly names: Set<string>
  listGeneration: number
}

/** The store itself. */
export class StoreTree implements Tree {
  readonly #nodes = new Map<string, StoredNode>()
  readonly #owned = new Map<number, number>()
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

  put(path: string, node: StoreNode): void {
    const old = this.#nodes.get(path)
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
    parent.names.add(leafOf(path))
    parent.listGeneration = generation
  }

  remove(path: string): void {
    const old = this.#nodes.get(path)
    if (!old) return
    this.#nodes.delete(path)
    this.#count(old, -1)
    const parent = this.#nodes.get(parentOf(path))
    if (!parent) return
    parent.names.delete(leafOf(path))
    parent.listGeneration = ++this.#generation
  }

  ownedBy(domid: number): number {
    return this.#owned.get(domid) ?? 0
  }

  get size(): number {
    return this.#nodes.size
  }

  #count(node: StoreNode, by: number): void {
    const owner = node.permissions[0].domid
    const count = this.ownedBy(owner) + by
    if (count === 0) this.#owned.delete(owner)
    else this.#owned.set(owner, count)
  }
}

/** A transaction's view of the store: reads through, keeps its changes. */
export class TransactionTree implements Tree {
  readonly #base: StoreTree
  readonly #changes = new Map<string, StoreNode | undefined>()
  readonly #names = new Map<string, Map<string, boolean>>()
  readonly #seen = new Map<string, number>()
  readonly #listed = new Map<string, number>()
  readonly #owned = new Map<number, number>()

  constructor(base: StoreTree) {
    this.#base = base
  }

  /** How much this transaction holds, for its quota. */
  get size(): number {
    return this.#seen.size + this.#listed.size
  }

  get(path: string): StoreNode | undefined {
    if (this.#changes.has(path)) return this.#changes.get(path)
    this.#see(path)
    return this.#base.get(path)
  }

  children(path: string): string[] {
    this.#list(path)
    const own = this.#names.get(path)
    if (!own) return this.#base.children(path)
    const names = new Set(this.#base.names(path))
    for (const [name, present] of own) {
      if (present) names.add(name)
      else names.delete(name)
    }
    return [...names].sort()
  }

  listGeneration(path: string): number {
    this.#list(path)
    return this.#base.listGeneration(path)
  }

  put(path: string, node: StoreNode): void {
    const old = this.get(path)
    if (old) this.#count(old, -1)
    else this.#name(path, true)
    this.#count(node, 1)
    this.#changes.delete(path)
    this.#changes.set(path, { value: node.value, permissions: node.permissions })
  }

  remove(path: string): void {
    const old = this.get(path)
    if (!old) return
    this.#count(old, -1)
    this.#name(path, false)
    this.#changes.delete(path)
    this.#changes.set(path, undefined)
  }

  ownedBy(domid: number): number {
    return this.#base.ownedBy(domid) + (this.#owned.get(domid) ?? 0)
  }

  /** Whether nothing that this transaction saw has changed since. */
  isCurrent(): boolean {
    for (const [path, generation] of this.#seen) {
      if (this.#base.generation(path) !== generation) return false
    }
    for (const [path, generation] of this.#listed) {
      if (this.#base.listGeneration(path) !== generation) return false
    }
    return true
  }

  /** Puts the changes into the store; only when it is current. */
  apply(): void {
    for (const [path, node] of this.#changes) {
      if (node) this.#base.put(path, node)
      else this.#base.remove(path)
    }
  }

  #see(path: string): void {
    if (!this.#seen.has(path)) this.#seen.set(path, this.#base.generation(path))
  }

  #list(path: string): void {
    if (!this.#listed.has(path)) this.#listed.set(path, this.#base.listGeneration(path))
  }

  #name(path: string, present: boolean): void {
    const parent = parentOf(path)
    let names = this.#names.get(parent)
    if (!names) this.#names.set(parent, names = new Map())
    names.set(leafOf(path), present)
  }

  #count(node: StoreNode, by: number): void {
    const owner = node.permissions[0].domid
    this.#owned.set(owner, (this.#owned.get(owner) ?? 0) + by)
  }
}
