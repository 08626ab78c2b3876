/**
 * Regions: the basic blocks that are translated together, found by following branches, calls and
 * returns from an entry: direct ones where they say, indirect ones where they were seen to go.
 *
 * Places are byte offsets from the start of the page of the entry (page 0 of the region), so that a
 * region is the same wherever its pages are mapped, as long as they keep their distances.
 */
import { type Decode, MAX_LENGTH } from '../../isa/decode/decoder.ts'
import type { Instruction } from '../../isa/operand.ts'

export const PAGE_BYTES = 4096

/** The code of 64-bit mode: the only one that is translated. */
export const CODE_MODE = { long: true, defaultSize32: true } as const

export interface Placed {
  readonly instruction: Instruction
  readonly offset: number
}

/** Where control goes: an offset, and the number of the block there or -1 outside the region. */
export interface Target {
  readonly offset: number
  readonly block: number
}

export type BlockEnd =
  /** On to one place. */
  | { readonly kind: 'goes', readonly to: Target }
  | { readonly kind: 'branches', readonly taken: Target, readonly next: Target }
  /** To a computed address; `likely` are blocks that it may be. */
  | { readonly kind: 'jumps', readonly likely: readonly Target[] }
  /** The interpreter carries out the instruction at `at`. */
  | { readonly kind: 'leaves', readonly at: number }

export interface Block {
  readonly offset: number
  readonly instructions: readonly Placed[]
  readonly end: BlockEnd
}

export interface Region {
  readonly blocks: readonly Block[]
  /** Numbers of the blocks that may be entered from outside; the first is where it began. */
  readonly entries: readonly number[]
  /** Numbers of the pages that it has code of, relative to page 0. */
  readonly pages: readonly number[]
}

/** What is known of the code around the entry. */
export interface CodeSource {
  readonly decode: Decode
  /** Bytes of a page of the region, or undefined when it is not to be had. */
  page(number: number): Uint8Array | undefined
  /** Whether the interpreter has met the code at an offset often enough, by jumping there or
   * going on there. */
  isWarm(offset: number, byJump: boolean): boolean
  /** Where the indirect jump, call or return at an offset was seen to go, most often first. */
  seenFrom(offset: number): readonly number[]
}

export interface RegionLimits {
  readonly instructions: number
  /** Instructions of a function that is translated along with its caller. */
  readonly callee: number
  /** Places that an indirect jump, call or return is followed to. */
  readonly targets: number
}

export function pageOf(offset: number): number {
  return Math.floor(offset / PAGE_BYTES)
}

/** The page of an instruction's last byte. */
export function lastPageOf({ instruction, offset }: Placed): number {
  return pageOf(offset + instruction.length - 1)
}

/** The region that begins at `offset` of page 0; undefined when nothing there can be translated. */
export function discover(
  source: CodeSource, offset: number, limits: RegionLimits,
): Region | undefined {
  return new Discovery(source, limits).run(offset)
}

/** The pages of a block's code. */
export function pagesOf({ offset, instructions }: Block): number[] {
  const last = instructions.at(-1)
  return last ? [pageOf(offset), lastPageOf(last)] : [pageOf(offset)]
}

/** The bytes of an instruction that begins in one page and ends in the next. */
function joined(page: Uint8Array, within: number, next: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(PAGE_BYTES - within + MAX_LENGTH)
  bytes.set(page.subarray(within))
  bytes.set(next.subarray(0, MAX_LENGTH), PAGE_BYTES - within)
  return bytes
}

/** Where a block may lead. */
export function targetsOf({ end }: Block): readonly Target[] {
  switch (end.kind) {
    case 'goes': return [end.to]
    case 'branches': return [end.taken, end.next]
    case 'jumps': return end.likely
    case 'leaves': return []
  }
}

/** What comes after an instruction. */
type Flow =
  | { readonly kind: 'next' | 'leaves' | 'jumps' }
  | { readonly kind: 'goes' | 'branches' | 'calls', readonly target: number }

function flowOf({ instruction, offset }: Placed): Flow {
  const { definition, operands, repeat } = instruction
  const { execute, interpreted } = definition.fields
  if (!execute || interpreted || repeat !== 0) return { kind: 'leaves' }
  const target = operands[0]
  if (target?.kind === 'relative') {
    // A target of 16 bits is rare enough for the interpreter.
    if (target.width !== 64) return { kind: 'leaves' }
    const to = offset + instruction.length + target.displacement
    if (definition.name === 'call') return { kind: 'calls', target: to }
    return { kind: definition.fields.endsBlock ? 'goes' : 'branches', target: to }
  }
  if (!definition.fields.endsBlock) return { kind: 'next' }
  return { kind: jumps.has(definition.name) ? 'jumps' : 'leaves' }
}

const jumps = new Set(['jmp', 'call', 'ret'])

/** Where exploring goes on, and how control gets there. */
interface Lead {
  readonly offset: number
  readonly byJump: boolean
}

class Discovery {
  readonly #source: CodeSource
  readonly #limits: RegionLimits
  readonly #placed = new Map<number, Placed>()
  readonly #leaders = new Set<number>()
  readonly #entries = new Set<number>()
  /** Where the functions begin that were explored. */
  readonly #functions = new Set<number>()
  /** Where calls return to, by the function called. */
  readonly #sites = new Map<number, number[]>()
  readonly #blocks: Block[] = []

  constructor(source: CodeSource, limits: RegionLimits) {
    this.#source = source
    this.#limits = limits
  }

  run(entry: number): Region | undefined {
    this.#entries.add(entry)
    this.#explore(entry, this.#limits.instructions)
    if (!this.#placed.has(entry)) return undefined
    this.#exploreCallees()
    for (const [target, sites] of this.#sites) {
      if (!this.#functions.has(target)) for (const site of sites) this.#entries.add(site)
    }
    this.#makeBlocks()
    this.#connectReturns()
    this.#enterUnreached()
    if (this.#blocks[0]!.instructions.length === 0) return undefined
    // Entered where there is nothing to do, a region would lead back to itself.
    const isEntry = ({ offset, instructions }: Block): boolean =>
      this.#entries.has(offset) && instructions.length > 0
    return {
      blocks: this.#blocks,
      entries: this.#blocks.flatMap((block, number) => isEntry(block) ? [number] : []),
      pages: [...new Set(this.#blocks.flatMap(pagesOf))],
    }
  }

  /** Collects what a function reaches without entering calls, up to a number of instructions in
   * the region. */
  #explore(start: number, limit: number): void {
    this.#functions.add(start)
    const pending = [start]
    for (;;) {
      const leader = pending.shift()
      if (leader === undefined) return
      this.#leaders.add(leader)
      let offset = leader
      while (!this.#placed.has(offset) && this.#placed.size < limit) {
        const placed = this.#decode(offset)
        if (!placed) break
        // What crosses into the next page is a block of its own.
        if (offset !== leader && lastPageOf(placed) !== pageOf(offset)) {
          pending.push(offset)
          break
        }
        this.#placed.set(offset, placed)
        const next = offset + placed.instruction.length
        const more = this.#follow(placed, next)
        for (const { offset: to, byJump } of more) {
          if (this.#isWanted(to, byJump)) pending.push(to)
        }
        if (flowOf(placed).kind !== 'next') break
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
    const flow = flowOf(placed)
    switch (flow.kind) {
      case 'next': return []
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
        this.#entries.add(next)
        return [{ offset: next, byJump: false }]
    }
  }

  #followIndirect({ instruction, offset }: Placed, next: number): Lead[] {
    const { name } = instruction.definition
    if (name === 'ret') return []
    const seen = this.#seenFrom(offset)
    if (name === 'jmp') return seen.map((target) => ({ offset: target, byJump: true }))
    for (const target of seen) this.#noteCall(target, next)
    // Functions that are not known return there.
    this.#entries.add(next)
    return [{ offset: next, byJump: true }]
  }

  #noteCall(target: number, site: number): void {
    this.#sites.set(target, [...this.#sites.get(target) ?? [], site])
  }

  #seenFrom(offset: number): readonly number[] {
    return this.#source.seenFrom(offset).slice(0, this.#limits.targets)
  }

  #isWanted(offset: number, byJump: boolean): boolean {
    return !this.#leaders.has(offset) && this.#source.isWarm(offset, byJump)
  }

  #exploreCallees(): void {
    const { instructions, callee } = this.#limits
    // Map iteration meets what is added on the way.
    for (const target of this.#sites.keys()) {
      if (this.#functions.has(target) || !this.#source.isWarm(target, true)) continue
      if (this.#placed.size + callee > instructions) return
      this.#explore(target, this.#placed.size + callee)
    }
  }

  #decode(offset: number): Placed | undefined {
    const page = this.#source.page(pageOf(offset))
    if (!page) return undefined
    const within = offset - pageOf(offset) * PAGE_BYTES
    let instruction = this.#source.decode(page, CODE_MODE, within)
    const next = instruction === 'truncated' && this.#source.page(pageOf(offset) + 1)
    if (next) instruction = this.#source.decode(joined(page, within, next), CODE_MODE)
    return typeof instruction === 'string' ? undefined : { instruction, offset }
  }

  #makeBlocks(): void {
    const leaders = [...this.#leaders].filter((offset) => this.#placed.has(offset))
    const numbers = new Map(leaders.map((offset, number) => [offset, number]))
    const target = (offset: number): Target => ({ offset, block: numbers.get(offset) ?? -1 })
    for (const leader of leaders) {
      const instructions: Placed[] = []
      let end: BlockEnd | undefined
      for (let offset = leader; !end;) {
        const placed = this.#placed.get(offset)
        if (offset !== leader && (numbers.has(offset) || !placed)) {
          end = { kind: 'goes', to: target(offset) }
          break
        }
        const flow = flowOf(placed!)
        offset += placed!.instruction.length
        if (flow.kind === 'leaves') {
          end = { kind: 'leaves', at: placed!.offset }
          break
        }
        instructions.push(placed!)
        if (flow.kind === 'goes' || flow.kind === 'calls') {
          end = { kind: 'goes', to: target(flow.target) }
        } else if (flow.kind === 'branches') {
          end = { kind: 'branches', taken: target(flow.target), next: target(offset) }
        } else if (flow.kind === 'jumps') {
          const seen = this.#seenFrom(placed!.offset).map(target)
          end = { kind: 'jumps', likely: seen.filter(({ block }) => block >= 0) }
        }
      }
      this.#blocks.push({ offset: leader, instructions, end: end! })
    }
  }

  /** Gives the returns of each function the places behind its calls. */
  #connectReturns(): void {
    const numbers = new Map(this.#blocks.map((block, number) => [block.offset, number]))
    const likely = new Map<number, Set<number>>()
    for (const [start, sites] of this.#sites) {
      const within = [...new Set(sites)].filter((site) => numbers.has(site))
      if (!this.#functions.has(start) || !numbers.has(start) || within.length === 0) continue
      for (const block of this.#reachable(start, numbers)) {
        const last = this.#blocks[block]!.instructions.at(-1)
        if (last?.instruction.definition.name !== 'ret') continue
        const places = likely.get(block) ?? new Set()
        likely.set(block, places)
        for (const site of within) places.add(site)
      }
    }
    for (const [number, places] of likely) {
      const block = this.#blocks[number]!
      const seen = targetsOf(block).map(({ offset }) => offset)
      const targets = [...new Set([...seen, ...places])].slice(0, this.#limits.targets)
        .map((offset) => ({ offset, block: numbers.get(offset)! }))
      this.#blocks[number] = { ...block, end: { kind: 'jumps', likely: targets } }
    }
  }

  /** Makes entries of the places behind calls that no return in the region is known to reach. */
  #enterUnreached(): void {
    const reached = new Set<number>()
    const reach = (from: number): void => {
      const pending = [from]
      for (;;) {
        const number = pending.pop()
        if (number === undefined) return
        if (reached.has(number)) continue
        reached.add(number)
        for (const { block } of targetsOf(this.#blocks[number]!)) {
          if (block >= 0) pending.push(block)
        }
      }
    }
    this.#blocks.forEach(({ offset }, number) => { if (this.#entries.has(offset)) reach(number) })
    this.#blocks.forEach(({ offset }, number) => {
      if (reached.has(number)) return
      this.#entries.add(offset)
      reach(number)
    })
  }

  /** Blocks that a function reaches without entering calls. */
  #reachable(start: number, numbers: ReadonlyMap<number, number>): Set<number> {
    const found = new Set<number>()
    const pending = [numbers.get(start)!]
    for (;;) {
      const number = pending.pop()
      if (number === undefined) return found
      if (found.has(number)) continue
      found.add(number)
      const block = this.#blocks[number]!
      for (const offset of this.#within(block)) {
        const next = numbers.get(offset)
        if (next !== undefined) pending.push(next)
      }
    }
  }

  /** Where a function goes on after a block; after a call, behind it. */
  #within(block: Block): number[] {
    const last = block.instructions.at(-1)
    if (last?.instruction.definition.name === 'call') {
      return [last.offset + last.instruction.length]
    }
    const { end } = block
    switch (end.kind) {
      case 'goes': return [end.to.offset]
      case 'branches': return [end.taken.offset, end.next.offset]
      case 'jumps':
        return last?.instruction.definition.name === 'ret' ? []
          : end.likely.map(({ offset }) => offset)
      case 'leaves': {
        const left = this.#placed.get(end.at)!
        return [end.at + left.instruction.length]
      }
    }
  }
}
