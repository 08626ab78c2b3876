/**
 * All watches of all connections by path, so that a change costs as much as its path is deep,
 * however many watches there are elsewhere.
 */
import { type Change, type Connection, type Watch, watchKey } from './connection.ts'
import { isSpecial, parentOf } from './path.ts'

export class WatchTable {
  readonly #watches = new Map<string, Set<Watch>>()

  add(watch: Watch): void {
    watch.connection.watches.set(watchKey(watch.path, watch.token), watch)
    const there = this.#watches.get(watch.path)
    if (there) there.add(watch)
    else this.#watches.set(watch.path, new Set([watch]))
  }

  remove(watch: Watch): void {
    watch.closed = true
    watch.connection.watches.delete(watchKey(watch.path, watch.token))
    const there = this.#watches.get(watch.path)
    there?.delete(watch)
    if (there?.size === 0) this.#watches.delete(watch.path)
  }

  removeAll(connection: Connection): void {
    for (const watch of connection.watches.values()) this.remove(watch)
  }

  /** The watches that a change concerns, those above it included, in the order they were set. */
  concernedBy(change: Change): Watch[] {
    const found = [...this.#watches.get(change.path) ?? []]
    if (change.exact || isSpecial(change.path)) return found
    for (let path = change.path; path !== '/';) {
      path = parentOf(path)
      found.push(...this.#watches.get(path) ?? [])
    }
    return found.sort((a, b) => a.order - b.order)
  }
}
