/**
 * Ranked locks in shared memory.
 *
 * A lock is one 32-bit word: 0 free, 1 taken, 2 taken with waiters. A thread takes locks in rising
 * rank only, and among equal ranks in rising address, so no two threads can wait for each other;
 * taking one out of order is our mistake and stops the process at the spot.
 */
import { assert } from '../assert.ts'
import { waitWhile } from './wait.ts'

const FREE = 0
const TAKEN = 1
const CONTENDED = 2
const SPINS = 64
/** Locks are held for moments; after this it may be that their holder has died. */
const LOOK_MS = 100
const MAX_HELD = 16

/** The locks that this thread holds, in the order taken. */
const heldRanks = new Int32Array(MAX_HELD)
const heldCells = new Int32Array(MAX_HELD)
let held = 0

/** Where others see how many locks this thread holds or waits for, if they do. */
let shown: { readonly cells: Int32Array, readonly cell: number } | undefined

/** How many locks this thread holds: zero whenever guest code runs. */
export function heldLocks(): number {
  return held
}

/** From now on others see it in the word at an address: what a thread held that died is known. */
export function showHeldLocks(cells: Int32Array, address: number): void {
  shown = { cells, cell: address >>> 2 }
  show(held)
}

function show(count: number): void {
  if (shown) shown.cells[shown.cell] = count
}

/** All locks of one kind: which one is said by the address of its word. */
export class RankedLock {
  readonly #cells: Int32Array
  readonly #rank: number
  readonly #name: string

  constructor(cells: Int32Array, rank: number, name: string) {
    this.#cells = cells
    this.#rank = rank
    this.#name = name
  }

  /** Takes the lock whose word is at byte `address`. */
  acquire(address: number): void {
    const cell = address >>> 2
    if (held > 0) {
      const rank = heldRanks[held - 1]!
      assert(rank < this.#rank || rank === this.#rank && heldCells[held - 1]! < cell,
        `lock ${this.#name} taken out of order`)
    }
    assert(held < MAX_HELD, 'too many locks held')
    show(held + 1)
    this.#take(cell)
    heldRanks[held] = this.#rank
    heldCells[held] = cell
    held++
  }

  /** Gives back the lock taken last, which must be this one. */
  release(address: number): void {
    const cell = address >>> 2
    assert(held > 0 && heldCells[held - 1] === cell && heldRanks[held - 1] === this.#rank,
      `lock ${this.#name} given back out of order`)
    held--
    if (Atomics.exchange(this.#cells, cell, FREE) === CONTENDED) {
      Atomics.notify(this.#cells, cell, 1)
    }
    show(held)
  }

  #take(cell: number): void {
    const cells = this.#cells
    for (let i = 0; i < SPINS; i++) {
      if (Atomics.compareExchange(cells, cell, FREE, TAKEN) === FREE) return
    }
    while (Atomics.exchange(cells, cell, CONTENDED) !== FREE) {
      waitWhile(cells, cell, CONTENDED, LOOK_MS)
    }
  }
}
