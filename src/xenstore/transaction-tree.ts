/**
 * A transaction's view of the store: all of it as it was at the beginning, and its own changes.
 *
 * What it saw is remembered with its generation: nodes, and lists of children apart from them. It
 * commits when none of that has changed since; a new sibling does not disturb one who did not list.
 * One that changed nothing commits always.
 * What others change meanwhile is kept here as it was, up to a limit, past which the transaction is
 * stale: it sees the present from then on, and cannot commit.
 */
import { leafOf, parentOf } from './path.ts'
import type { Snapshot, StoreNode, StoreTree, Tree } from './tree.ts'

interface Past<T> {
  readonly value: T
  readonly generation: number
}

export class TransactionTree implements Tree, Snapshot {
  readonly #base: StoreTree
  readonly #limit: number
  readonly #changes = new Map<string, StoreNode | undefined>()
  readonly #names = new Map<string, Map<string, boolean>>()
  readonly #seen = new Map<string, number>()
  readonly #listed = new Map<string, number>()
  readonly #nodesThen = new Map<string, Past<StoreNode | undefined>>()
  readonly #listsThen = new Map<string, Past<ReadonlySet<string>>>()
  readonly #owned = new Map<number, number>()
  #kept = 0
  #stale = false

  /** `limit` bounds what is kept of the past: nodes, and names in lists. */
  constructor(base: StoreTree, limit: number) {
    this.#base = base
    this.#limit = limit
    base.open(this)
  }

  /** How much this transaction holds, for its quota. */
  get size(): number {
    return this.#seen.size + this.#listed.size
  }

  get(path: string): StoreNode | undefined {
    if (this.#changes.has(path)) return this.#changes.get(path)
    const then = this.#nodesThen.get(path)
    if (!this.#seen.has(path)) {
      this.#seen.set(path, then ? then.generation : this.#base.generation(path))
    }
    return then ? then.value : this.#base.get(path)
  }

  children(path: string): string[] {
    this.#list(path)
    const names = new Set(this.#listsThen.get(path)?.value ?? this.#base.names(path))
    for (const [name, present] of this.#names.get(path) ?? []) {
      if (present) names.add(name)
      else names.delete(name)
    }
    return [...names].sort()
  }

  listGeneration(path: string): number {
    return this.#list(path)
  }

  put(path: string, node: StoreNode): void {
    const old = this.get(path)
    if (old) this.#count(old, -1)
    else this.#name(path, true)
    this.#count(node, 1)
    this.#changes.set(path, { value: node.value, permissions: node.permissions })
  }

  remove(path: string): void {
    const old = this.get(path)
    if (!old) return
    this.#count(old, -1)
    this.#name(path, false)
    this.#changes.set(path, undefined)
  }

  ownedBy(domid: number): number {
    return this.#base.ownedBy(domid) + (this.#owned.get(domid) ?? 0)
  }

  keepNode(path: string, node: StoreNode | undefined, generation: number): void {
    if (this.#nodesThen.has(path)) return
    if (this.#hasRoom(1)) this.#nodesThen.set(path, { value: node, generation })
  }

  keepList(path: string, names: ReadonlySet<string>, generation: number): void {
    if (this.#listsThen.has(path)) return
    if (this.#hasRoom(names.size)) {
      this.#listsThen.set(path, { value: new Set(names), generation })
    }
  }

  /** Whether nothing that this transaction saw has changed since, or it only looked at the past. */
  isCurrent(): boolean {
    if (this.#stale) return false
    if (this.#changes.size === 0) return true
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
    // A parent sorts before what is below it, in whatever order they were changed.
    const paths = [...this.#changes.keys()].sort()
    for (const path of paths.toReversed()) {
      if (!this.#changes.get(path)) this.#base.remove(path)
    }
    for (const path of paths) {
      const node = this.#changes.get(path)
      if (node) this.#base.put(path, node)
    }
  }

  /** Ends the view, whether it was applied or not. */
  close(): void {
    this.#base.close(this)
  }

  #hasRoom(count: number): boolean {
    this.#kept += count
    if (this.#kept <= this.#limit) return !this.#stale
    this.#stale = true
    this.#nodesThen.clear()
    this.#listsThen.clear()
    return false
  }

  #list(path: string): number {
    const generation =
      this.#listsThen.get(path)?.generation ?? this.#base.listGeneration(path)
    if (!this.#listed.has(path)) this.#listed.set(path, generation)
    return generation
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
