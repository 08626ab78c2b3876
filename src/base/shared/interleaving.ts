/**
 * For tests only: what two threads do to shared memory, in a deterministic order.
 *
 * One does its work; before its n-th access by Atomics, the other does all of its own. A test goes
 * through every n, so that each place is met at which another thread may come between. Where the
 * first holds a lock, whoever wants it would wait: the other comes when it holds none.
 */
import { heldLocks } from './lock.ts'

// Not exchange, by which locks are given back: what it follows is interrupted too.
const accesses = ['load', 'store', 'add', 'and', 'or', 'compareExchange'] as const
/** More accesses than any work makes. */
const ENDLESS = 20_000

/** Does `work`, and `other` before the access with a number: false when there are not so many. */
export function interrupted(at: number, work: () => void, other: () => void): boolean {
  let left = at
  type Access = (...args: unknown[]) => unknown
  const plain = accesses.map((name) => Reflect.get(Atomics, name) as Access)
  const restore = (): void => accesses.forEach((name, i) => Reflect.set(Atomics, name, plain[i]))
  accesses.forEach((name, i) => Reflect.set(Atomics, name, (...args: unknown[]) => {
    if (heldLocks() === 0 && left-- === 0) {
      restore()
      other()
    }
    return plain[i]!(...args)
  }))
  try {
    work()
  } finally {
    restore()
  }
  return left < 0
}

/** What two threads do, and what must be true when both are done. */
export interface Story {
  work(): void
  other(): void
  check(): void
}

/** Tells a story that `begin` makes anew each time, with the other at each access in turn; answers
 * how many there were. */
export function atEachAccess(begin: () => Story): number {
  for (let at = 0; at < ENDLESS; at++) {
    const { work, other, check } = begin()
    const met = interrupted(at, work, other)
    if (!met) return at
    try {
      check()
    } catch (error) {
      throw new Error(`when the other comes before access ${at}`, { cause: error })
    }
  }
  throw new Error('the work does not end')
}
