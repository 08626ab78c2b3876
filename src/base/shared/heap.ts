/**
 * A bounded heap inside shared memory: blocks of a power of two, one free list a size.
 *
 * Fresh blocks are carved from the arena's end; a freed block is only ever used again at its own
 * size, so fragmentation is bounded by the peak of each size. Blocks are zeroed when given out. The
 * owner remembers a block's size. Address 0 is never a block: it means "none left".
 */
import { assert } from '../assert.ts'
import { atomic, u32 } from '../layout/scalar.ts'
import { array, struct, type ViewOf } from '../layout/struct.ts'
import { RankedLock } from './lock.ts'
import type { Region } from './region.ts'

const SMALLEST_SHIFT = 6
const CLASSES = 20

export const HeapState = struct('heap', {
  lock: atomic(u32),
  next: u32,
  end: u32,
  used: u32,
  free: array(u32, CLASSES),
})

export class Heap {
  readonly #region: Region
  readonly #state: ViewOf<typeof HeapState>
  readonly #lock: RankedLock
  readonly #lockAt: number

  constructor(region: Region, stateAt: number, lockRank: number) {
    this.#region = region
    this.#state = HeapState.on(region.buffer, stateAt)
    this.#lock = new RankedLock(region.cells, lockRank, 'heap')
    this.#lockAt = stateAt + HeapState.offsets.lock
  }

  /** Makes the bytes from `start` to `end` the arena; once, before anyone allocates. */
  initialise(start: number, end: number): void {
    this.#state.next = Math.ceil(start / 64) * 64
    this.#state.end = end
  }

  /** Bytes given out and not given back, rounded to block sizes. */
  get used(): number {
    return this.#state.used
  }

  /** A zeroed block of at least `size` bytes, aligned to 64; 0 when there is none. */
  allocate(size: number): number {
    const kind = classOf(size)
    if (kind >= CLASSES) return 0
    const bytes = blockSize(kind)
    this.#lock.acquire(this.#lockAt)
    const at = this.#pop(kind, bytes)
    if (at !== 0) this.#state.used += bytes
    this.#lock.release(this.#lockAt)
    if (at !== 0) this.#region.octets.fill(0, at, at + bytes)
    return at
  }

  /** Gives back a block that was allocated with this size. */
  release(at: number, size: number): void {
    assert(at > 0 && at % 64 === 0, 'not a heap block')
    const kind = classOf(size)
    this.#lock.acquire(this.#lockAt)
    this.#region.words[at >>> 2] = this.#state.free.get(kind)
    this.#state.free.set(kind, at)
    this.#state.used -= blockSize(kind)
    this.#lock.release(this.#lockAt)
  }

  #pop(kind: number, bytes: number): number {
    const state = this.#state
    const first = state.free.get(kind)
    if (first !== 0) {
      state.free.set(kind, this.#region.words[first >>> 2]!)
      return first
    }
    const at = state.next
    if (at + bytes > state.end) return 0
    state.next = at + bytes
    return at
  }
}

function classOf(size: number): number {
  if (size <= 1 << SMALLEST_SHIFT) return 0
  return 32 - Math.clz32(size - 1) - SMALLEST_SHIFT
}

function blockSize(kind: number): number {
  return 1 << kind + SMALLEST_SHIFT
}
