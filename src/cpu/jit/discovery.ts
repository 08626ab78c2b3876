/**
 * The region that begins at an entry: blocks of what was explored there, and where they lead.
 */
import { type CodeSource, Exploration, type RegionLimits } from './exploration.ts'
import {
  type Block, type BlockEnd, flowOf, pagesOf, type Placed, type Region, type Target, targetsOf,
  transferIn,
} from './region.ts'

/** The region that begins at `offset` of page 0; undefined when nothing there can be translated. */
export function discover(
  source: CodeSource, offset: number, limits: RegionLimits,
): Region | undefined {
  return new Discovery(source, limits).run(offset)
}

class Discovery {
  readonly #limits: RegionLimits
  readonly #codeMode: number
  readonly #found: Exploration
  readonly #blocks: Block[] = []

  constructor(source: CodeSource, limits: RegionLimits) {
    this.#limits = limits
    this.#codeMode = source.codeMode
    this.#found = new Exploration(source, limits)
  }

  run(entry: number): Region | undefined {
    this.#found.run(entry)
    if (!this.#found.placed.has(entry)) return undefined
    this.#makeBlocks()
    this.#connectReturns()
    this.#enterUnreached()
    if (!this.#canEnter(0)) return undefined
    return {
      codeMode: this.#codeMode,
      blocks: this.#blocks,
      entries: [...this.#blocks.keys()].filter((number) => this.#canEnter(number)),
      pages: [...new Set(this.#blocks.flatMap(pagesOf))],
    }
  }

  /** Whether a block is to be entered from outside. Where there is nothing to do, or what may be
   * left to the interpreter after all, the region would lead back to itself. */
  #canEnter(number: number): boolean {
    const { offset, instructions: [first] } = this.#blocks[number]!
    return this.#found.entries.has(offset) && first !== undefined
      && !transferIn(first.instruction, this.#codeMode)
  }

  #makeBlocks(): void {
    const leaders = [...this.#found.leaders].filter((offset) => this.#found.placed.has(offset))
    const numbers = new Map(leaders.map((offset, number) => [offset, number]))
    const target = (offset: number): Target => ({ offset, block: numbers.get(offset) ?? -1 })
    for (const leader of leaders) {
      const instructions: Placed[] = []
      let end: BlockEnd | undefined
      for (let offset = leader; !end;) {
        const placed = this.#found.placed.get(offset)
        if (offset !== leader && (numbers.has(offset) || !placed)) {
          end = { kind: 'goes', to: target(offset) }
          break
        }
        const flow = flowOf(placed!, this.#codeMode)
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
          const seen = this.#found.seenFrom(placed!.offset).map(target)
          end = { kind: 'jumps', likely: seen.filter(({ block }) => block >= 0) }
        } else if (flow.kind === 'transfers') {
          end = { kind: 'transfers' }
        }
      }
      this.#blocks.push({ offset: leader, instructions, end: end! })
    }
  }

  /** Gives the returns of each function the places behind its calls. */
  #connectReturns(): void {
    const numbers = new Map(this.#blocks.map((block, number) => [block.offset, number]))
    const likely = new Map<number, Set<number>>()
    for (const [start, sites] of this.#found.sites) {
      const within = [...new Set(sites)].filter((site) => numbers.has(site))
      if (!this.#found.functions.has(start) || !numbers.has(start) || within.length === 0) continue
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
    this.#blocks.forEach(({ offset }, number) => {
      if (this.#found.entries.has(offset)) reach(number)
    })
    this.#blocks.forEach(({ offset }, number) => {
      if (reached.has(number)) return
      this.#found.entries.add(offset)
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
      // Only what follows SYSCALL was explored.
      case 'transfers': return [last!.offset + last!.instruction.length]
      case 'leaves': {
        const left = this.#found.placed.get(end.at)!
        return [end.at + left.instruction.length]
      }
    }
  }
}
