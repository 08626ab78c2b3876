/**
 * Which accesses of loops ask the micro-TLB (mmu/micro-tlb.ts), and which of its entries.
 *
 * Accesses off a root that a round moves by little, or not at all, mostly stay in a page for many
 * rounds: they ask an entry of their own, so that the look-up of one round serves the next.
 * Whatever registers hold, the entry tells whether it serves: what is known of them (loop-steps.ts)
 * only says for which accesses that is worth while. Others might change their page each round, and
 * to set an entry takes several times what a look-up does.
 */
import type { AddressSymbol } from '../interpreter/parts.ts'
import { microEntry } from '../mmu/micro-tlb.ts'

/** The most entries that one loop asks. */
const ENTRIES = 6
/** The most bytes that a round may move an access by. */
const FARTHEST = 256
/** Accesses whose displacements differ by less share an entry. */
const NEAR = 512

interface Given {
  readonly number: number
  readonly offset: number
  readonly write: boolean
  readonly bytes: number
}

/** The accesses of a loop off one root. */
interface Group {
  readonly loop: number
  /** By how much a round moves the root. */
  readonly step: number
  readonly given: Given[]
}

export class MicroEntries {
  readonly #groups = new Map<number, Group>()
  readonly #sums = new Map<string, AddressSymbol>()
  #roots = 0
  /** Entries given out, by loop, and by kind and width of access. */
  readonly #countOf = new Map<number, number>()
  readonly #next = new Map<string, number>()
  readonly #first: number

  /** Regions in different places begin with different entries. */
  constructor(place: number) {
    this.#first = place >>> 4
  }

  newRoot(): number {
    return ++this.#roots
  }

  /** In each round of a loop a root is moved by `step` bytes. */
  move(root: number, loop: number, step: number): void {
    if (step <= FARTHEST) this.#groups.set(root, { loop, step, given: [] })
  }

  /** The symbol of the sum of a base, if there is one, and a shifted index. */
  sum(base: AddressSymbol | undefined, index: AddressSymbol, shift: number): AddressSymbol {
    const name = `${base?.root} ${index.root} ${shift}`
    const known = this.#sums.get(name)
    if (known) return known
    const sum = { root: this.newRoot() }
    this.#sums.set(name, sum)
    const of = this.#groups.get(index.root)
    const to = base && this.#groups.get(base.root)
    const isKnown = of && (!base || to?.loop === of.loop)
    if (isKnown) this.move(sum.root, of.loop, of.step * 2 ** shift + (to?.step ?? 0))
    return sum
  }

  /** The number of the entry to ask, if there is one. */
  find({ root, offset = 0 }: AddressSymbol, write: boolean, bytes: number): number | undefined {
    const group = this.#groups.get(root)
    if (!group) return undefined
    const { loop, given } = group
    const known = given.find((one) => one.write === write && one.bytes === bytes
      && Math.abs(one.offset - offset) < NEAR)
    if (known) return known.number
    const count = this.#countOf.get(loop) ?? 0
    if (count === ENTRIES) return undefined
    this.#countOf.set(loop, count + 1)
    const kind = `${write} ${bytes}`
    const which = this.#next.get(kind) ?? this.#first
    this.#next.set(kind, which + 1)
    const number = microEntry(write, bytes, which)
    given.push({ number, offset, write, bytes })
    return number
  }
}
