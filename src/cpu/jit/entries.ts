/**
 * Where live regions are entered, by machine address: by the records of the interpreter, which are
 * made to enter them. Code that is executed in several modes has regions in the first alone.
 */
import type { CodeCache } from '../interpreter/code-cache.ts'
import type { CodeLines } from '../interpreter/code-lines.ts'
import type { RegionLinks } from '../interpreter/region-links.ts'
import { entryWord } from './entry-word.ts'
import type { PageAt, RegionShape } from './shape.ts'
import type { CodeAt } from './store.ts'

/** More than any record's heat may be: nobody counts any more. */
const UNCOUNTED = 0xffff

export interface LiveRegion {
  readonly shape: RegionShape
  readonly pageAt: PageAt
  /** Lines of code by machine page. */
  readonly lines: ReadonlyMap<number, CodeLines>
  /** Machine addresses of its entries, in their order, and of all its blocks. */
  readonly entries: readonly number[]
  readonly blocks: readonly number[]
  /** Once it is compiled. */
  code?: { readonly tableIndex: number, release(): void }
  isForgotten: boolean
}

/** What is made to enter regions. */
type CodeRecords = Pick<CodeCache, 'recordAt' | 'enterRegion' | 'leaveRegion' | 'cool'>

interface Entry {
  readonly live: LiveRegion
  readonly number: number
  /** How often it was as hot as what is compiled, while that is counted: until it is busy, as those
   * of wide regions are from the start. */
  arrivals: number
}

/** Whether one has all the blocks of the other and more. */
function isPartOf(part: LiveRegion, whole: LiveRegion): boolean {
  return part.blocks.length < whole.blocks.length
    && part.blocks.every((block) => whole.blocks.includes(block))
}

export class Entries {
  readonly #code: CodeRecords
  readonly #links: Pick<RegionLinks, 'forget'>
  readonly #busyLimit: number
  readonly #entries = new Map<number, Entry>()

  /** An entry is busy when it was hot `busyLimit` times. */
  constructor(code: CodeRecords, links: Pick<RegionLinks, 'forget'>, busyLimit: number) {
    this.#code = code
    this.#links = links
    this.#busyLimit = busyLimit
  }

  /** How often the entry at an address was as hot as what is compiled; undefined if no region is
   * entered there, or will be. */
  arrivalsAt(machine: number): number | undefined {
    return this.#entries.get(machine)?.arrivals
  }

  /** The entries of a region that will be there: whoever was first there keeps an entry. */
  claim(live: LiveRegion): void {
    live.entries.forEach((machine, number) => {
      if (!this.#entries.has(machine)) this.#entries.set(machine, { live, number, arrivals: 0 })
    })
  }

  /** A region's code is there: it is entered instead of those that are parts of it, and of all
   * others if it is wide. Returns those that are not entered any more. */
  place(live: LiveRegion): LiveRegion[] {
    const lost = new Set<LiveRegion>()
    live.entries.forEach((machine, number) => {
      const known = this.#entries.get(machine)
      if (known && known.live !== live) {
        if (known.live.shape.codeMode !== live.shape.codeMode) return
        if (!live.shape.isWide && !isPartOf(known.live, live)) return
        lost.add(known.live)
      }
      const arrivals = live.shape.isWide ? this.#busyLimit : 0
      this.#entries.set(machine, { live, number, arrivals })
      const { codeMode } = live.shape
      this.enter({ address: machine, codeMode }, this.#code.recordAt(machine, codeMode))
    })
    return [...lost].filter((other) =>
      other.entries.every((machine) => this.#entries.get(machine)?.live !== other))
  }

  /** The region whose code is entered at an address, if there is one. */
  at(machine: number): LiveRegion | undefined {
    const live = this.#entries.get(machine)?.live
    return live?.code && live
  }

  /** Has a record enter the region that begins at its address, if there is one. */
  enter({ address, codeMode }: CodeAt, record: number): boolean {
    this.#links.forget(address)
    const entry = this.#entries.get(address)
    const code = entry?.live.code
    if (!code || entry.live.shape.codeMode !== codeMode) return false
    if (record === 0) return true
    this.#code.enterRegion(record, code.tableIndex, entryWord(entry.live.shape, entry.number))
    this.#code.cool(record, entry.arrivals >= this.#busyLimit ? UNCOUNTED : 0)
    return true
  }

  /** An entry was hot once more; whether it is busy now. */
  arrived(machine: number): boolean {
    const entry = this.#entries.get(machine)
    if (!entry) return false
    entry.arrivals += 1
    return entry.arrivals === this.#busyLimit
  }

  /** How often the entries of a region were as hot as what is compiled. */
  arrivalsOf(live: LiveRegion): number {
    return live.entries.reduce((sum, machine) => {
      const entry = this.#entries.get(machine)
      return entry?.live === live ? sum + entry.arrivals : sum
    }, 0)
  }

  /** A region is not entered any more. */
  leave(live: LiveRegion): void {
    for (const machine of live.entries) {
      if (this.#entries.get(machine)?.live !== live) continue
      this.#entries.delete(machine)
      this.#links.forget(machine)
      if (live.code) this.#code.leaveRegion(machine, live.shape.codeMode)
    }
  }
}
