/**
 * Which instructions a region is made of, found by following branches, calls and returns from an
 * entry: direct ones where they say, indirect ones where they were seen to go.
 *
 * Where another region is entered, exploring ends: code is compiled once. What is small is
 * nevertheless followed there, as are small functions; wholly or not at all, so that no part of one
 * is compiled without the rest.
 */
import { type Decode, MAX_LENGTH } from '../../isa/decode/decoder.ts'
import { codeModeOf } from '../interpreter/code-mode.ts'
import { transferOf } from '../privilege/transfers.ts'
import { flowOf, lastPageOf, PAGE_BYTES, pageOf, type Placed } from './region.ts'

/** What is known of the code around the entry. */
export interface CodeSource {
  readonly decode: Decode
  /** The mode that all of it is of. */
  readonly codeMode: number
  /** Bytes of a page of the region, or undefined when it is not to be had. */
  page(number: number): Uint8Array | undefined
  /** Whether the interpreter has met the code at an offset often enough, by jumping there or
   * going on there. */
  isWarm(offset: number, byJump: boolean): boolean
  /** About how often the code at an offset was jumped to. */
  heatOf(offset: number): number
  /** Whether another region is entered at an offset. */
  isEntry(offset: number): boolean
  /** Where the indirect jump, call or return at an offset was seen to go, most often first. */
  seenFrom(offset: number): readonly number[]
}

export interface RegionLimits {
  /** Instructions that are found without entering calls. */
  readonly instructions: number
  /** The same with all that is translated along. */
  readonly total: number
  /** Instructions of a function that is translated along with its caller, and of what is behind the
   * entry of another region. */
  readonly small: number
  /** Places that an indirect jump, call or return is followed to. */
  readonly targets: number
}

/** Where exploring goes on, and how control gets there. */
interface Lead {
  readonly offset: number
  readonly byJump: boolean
}

/** What was found. */
interface Found {
  readonly placed: ReadonlyMap<number, Placed>
  /** Where blocks begin, and more places. */
  readonly leaders: ReadonlySet<number>
  readonly entries: ReadonlySet<number>
  /** Where calls return to, by the function called. */
  readonly sites: ReadonlyMap<number, readonly number[]>
}

export class Exploration implements Found {
  readonly #source: CodeSource
  readonly #limits: RegionLimits
  placed = new Map<number, Placed>()
  leaders = new Set<number>()
  entries = new Set<number>()
  sites = new Map<number, number[]>()
  /** Where the functions begin that were explored. */
  readonly functions = new Set<number>()
  /** Where exploring came to entries of other regions. */
  readonly #borders = new Set<number>()

  constructor(source: CodeSource, limits: RegionLimits) {
    this.#source = source
    this.#limits = limits
  }

  /** Explores from `entry`. */
  run(entry: number): void {
    this.functions.add(entry)
    this.entries.add(entry)
    this.#explore(entry, this.#limits.instructions, false)
    for (const border of this.#borders) this.#exploreSmall(border, true)
    this.#exploreCallees()
    for (const [target, sites] of this.sites) {
      if (!this.functions.has(target)) for (const site of sites) this.entries.add(site)
    }
  }

  /** The places that an indirect jump is followed to. */
  seenFrom(offset: number): readonly number[] {
    return this.#source.seenFrom(offset).slice(0, this.#limits.targets)
  }

  /** Collects what is reached without entering calls, up to a number of instructions in the region;
   * if `wholly`, past entries of other regions too. Whether it is all there is, as far as it is
   * warm. */
  #explore(start: number, limit: number, wholly: boolean): boolean {
    const pending = [start]
    for (;;) {
      const leader = pending.shift()
      if (leader === undefined) return true
      this.leaders.add(leader)
      let offset = leader
      while (!this.placed.has(offset)) {
        if (!wholly && offset !== start && this.#source.isEntry(offset)) {
          this.leaders.add(offset)
          this.#borders.add(offset)
          break
        }
        if (this.placed.size >= limit) return false
        const placed = this.#decode(offset)
        if (!placed) break
        // What crosses into the next page is a block of its own.
        if (offset !== leader && lastPageOf(placed) !== pageOf(offset)) {
          pending.push(offset)
          break
        }
        this.placed.set(offset, placed)
        const next = offset + placed.instruction.length
        for (const { offset: to, byJump } of this.#follow(placed, next)) {
          if (this.#isWanted(to, byJump)) pending.push(to)
        }
        if (flowOf(placed, this.#source.codeMode).kind !== 'next') break
        // Blocks end with their pages: what follows may be elsewhere.
        if (pageOf(next) !== pageOf(offset)) {
          pending.push(next)
          break
        }
        offset = next
      }
    }
  }

  /** Notes what an instruction says of entries and calls; returns where blocks begin after it. */
  #follow(placed: Placed, next: number): Lead[] {
    const flow = flowOf(placed, this.#source.codeMode)
    switch (flow.kind) {
      case 'next': return []
      case 'transfers': return this.#followTransfer(placed, next)
      case 'goes': return [{ offset: flow.target, byJump: true }]
      case 'branches':
        return [{ offset: next, byJump: false }, { offset: flow.target, byJump: true }]
      case 'calls': {
        this.#noteCall(flow.target, next)
        return [{ offset: next, byJump: true }]
      }
      case 'jumps': return this.#followIndirect(placed, next)
      case 'leaves':
        if (placed.instruction.definition.fields.endsBlock) return []
        this.entries.add(next)
        return [{ offset: next, byJump: false }]
    }
  }

  /** Where the kernel returns to is entered, so that returns behind it stay inside. */
  #followTransfer({ instruction }: Placed, next: number): Lead[] {
    const behind = instruction.definition.name === 'syscall' && this.#decode(next)
    if (!behind || transferOf(behind.instruction)) return []
    this.entries.add(next)
    return [{ offset: next, byJump: true }]
  }

  #followIndirect({ instruction, offset }: Placed, next: number): Lead[] {
    const { name } = instruction.definition
    if (name === 'ret') return []
    const seen = this.seenFrom(offset)
    if (name === 'jmp') return seen.map((target) => ({ offset: target, byJump: true }))
    for (const target of seen) this.#noteCall(target, next)
    // Functions that are not known return there.
    this.entries.add(next)
    return [{ offset: next, byJump: true }]
  }

  #noteCall(target: number, site: number): void {
    this.sites.set(target, [...this.sites.get(target) ?? [], site])
  }

  #isWanted(offset: number, byJump: boolean): boolean {
    const isNew = !this.leaders.has(offset)
      || this.#borders.has(offset) && !this.placed.has(offset)
    return isNew && this.#source.isWarm(offset, byJump)
  }

  #exploreCallees(): void {
    const tried = new Set<number>()
    for (;;) {
      const target = this.#hottest([...this.sites.keys()].filter((known) => !tried.has(known)))
      if (target === undefined) return
      tried.add(target)
      if (!this.#source.isWarm(target, true)) continue
      if (this.#exploreSmall(target, true) || this.#exploreSmall(target, false)) {
        this.functions.add(target)
      }
    }
  }

  /** The one of some places that was jumped to most often, the first of several. */
  #hottest(places: readonly number[]): number | undefined {
    const heats = places.map((place) => this.#source.heatOf(place))
    return places[heats.indexOf(Math.max(...heats))]
  }

  /** Explores what begins at `start` if it is small, up to entries of other regions unless
   * `wholly`; else nothing of it was found. */
  #exploreSmall(start: number, wholly: boolean): boolean {
    const { total, small } = this.#limits
    const { placed, leaders, entries, sites } = this
    if (placed.has(start)) return true
    this.placed = new Map(placed)
    this.leaders = new Set(leaders)
    this.entries = new Set(entries)
    this.sites = new Map(sites)
    if (this.#explore(start, Math.min(placed.size + small, total), wholly)) return true
    Object.assign(this, { placed, leaders, entries, sites })
    return false
  }

  #decode(offset: number): Placed | undefined {
    const page = this.#source.page(pageOf(offset))
    if (!page) return undefined
    const within = offset - pageOf(offset) * PAGE_BYTES
    const mode = codeModeOf(this.#source.codeMode)
    let instruction = this.#source.decode(page, mode, within)
    const next = instruction === 'truncated' && this.#source.page(pageOf(offset) + 1)
    if (next) instruction = this.#source.decode(joined(page, within, next), mode)
    return typeof instruction === 'string' ? undefined : { instruction, offset }
  }
}

/** The bytes of an instruction that begins in one page and ends in the next. */
function joined(page: Uint8Array, within: number, next: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES - within + MAX_LENGTH)
  bytes.set(page.subarray(within))
  bytes.set(next.subarray(0, MAX_LENGTH), PAGE_BYTES - within)
  return bytes
}
