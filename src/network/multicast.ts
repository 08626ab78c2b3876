/**
 * Which multicast frames an interface gets: all, until it says which groups it wants. How many it
 * may ask for is bounded.
 */
import { BROADCAST, isMulticast, type MacAddress } from './frame.ts'

const GROUPS_A_PORT = 64

export class MulticastFilter {
  /** Groups asked for; undefined while all are wanted. */
  #groups: Set<MacAddress> | undefined

  /** From now on multicast comes only for groups that were asked for. */
  control(): void {
    this.#groups ??= new Set()
  }

  /** Asks for a group; false when that is one too many. */
  add(group: MacAddress): boolean {
    const groups = this.#groups ??= new Set()
    if (groups.size >= GROUPS_A_PORT && !groups.has(group)) return false
    groups.add(group)
    return true
  }

  remove(group: MacAddress): void {
    this.#groups?.delete(group)
  }

  /** Whether frames for this address are wanted; those for one machine are. */
  wants(target: MacAddress): boolean {
    const isGroup = isMulticast(target) && target !== BROADCAST
    return !isGroup || !this.#groups || this.#groups.has(target)
  }
}
