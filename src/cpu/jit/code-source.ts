/**
 * What is known of the code around a place, for the discovery of a region: its bytes, and what the
 * interpreter has met of it.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import type { CodeCache } from '../interpreter/code-cache.ts'
import type { JumpTarget, JumpTargets } from '../interpreter/jump-targets.ts'
import type { CodeSource } from './exploration.ts'
import { PAGE_BYTES, pageOf } from './region.ts'
import type { PageAt } from './shape.ts'

/** What belongs to a region was jumped to this often, as a part of what makes code hot; nothing is
 * known of what control only falls into. */
const WARM = 0.03

export interface CodeSourceNeeds {
  readonly decode: Decode
  readonly codeMode: number
  readonly code: Pick<CodeCache, 'heatAt' | 'recordsAt'>
  readonly targets: Pick<JumpTargets, 'byRecord'>
  readonly machine: Uint8Array
  readonly heatLimit: number
  /** How often the entry of a region at a machine address was hot again, if there is one. */
  arrivalsAt(machine: number): number | undefined
  /** Whether a block of a region begins there. */
  isBlock(machine: number): boolean
}

export class InterpretedCode implements CodeSource {
  readonly decode: Decode
  readonly codeMode: number
  readonly #needs: CodeSourceNeeds
  readonly #pageAt: PageAt
  readonly #warm: number
  #targets: ReadonlyMap<number, readonly JumpTarget[]> | undefined

  constructor(needs: CodeSourceNeeds, pageAt: PageAt) {
    this.decode = needs.decode
    this.codeMode = needs.codeMode
    this.#needs = needs
    this.#pageAt = pageAt
    this.#warm = Math.floor(needs.heatLimit * WARM)
  }

  /** Machine address of an offset, or -1. */
  machineOf(offset: number): number {
    const page = this.#pageAt(pageOf(offset))
    return page < 0 ? -1 : page + (offset & PAGE_BYTES - 1)
  }

  page(number: number): Uint8Array | undefined {
    const page = this.#pageAt(number)
    return page < 0 ? undefined : this.#needs.machine.subarray(page, page + PAGE_BYTES)
  }

  isWarm(offset: number, byJump: boolean): boolean {
    const machine = this.machineOf(offset)
    if (machine < 0) return false
    // What has become a region is not counted any more, and was not if it was known.
    if (this.#isEntryAt(machine) || this.#needs.isBlock(machine)) return true
    return this.#needs.code.heatAt(machine, this.codeMode) >= (byJump ? this.#warm : 0)
  }

  heatOf(offset: number): number {
    const machine = this.machineOf(offset)
    if (machine < 0) return 0
    const { code, heatLimit } = this.#needs
    const arrivals = this.#needs.arrivalsAt(machine)
    // What has become an entry was hot once before.
    return arrivals === undefined ? Math.max(code.heatAt(machine, this.codeMode), 0)
      : (1 + arrivals) * heatLimit
  }

  /** The same, but as if there were no other regions. */
  get withoutEntries(): CodeSource {
    return {
      decode: this.decode,
      codeMode: this.codeMode,
      page: (number) => this.page(number),
      isWarm: (offset, byJump) => this.isWarm(offset, byJump),
      heatOf: (offset) => this.heatOf(offset),
      isEntry: () => false,
      seenFrom: (offset) => this.seenFrom(offset),
    }
  }

  isEntry(offset: number): boolean {
    return this.#isEntryAt(this.machineOf(offset))
  }

  #isEntryAt(machine: number): boolean {
    return this.#needs.arrivalsAt(machine) !== undefined
  }

  seenFrom(offset: number): readonly number[] {
    this.#targets ??= this.#needs.targets.byRecord()
    const counts = new Map<number, number>()
    const page = pageOf(offset) * PAGE_BYTES
    for (const record of this.#needs.code.recordsAt(this.machineOf(offset), this.codeMode)) {
      for (const target of this.#targets.get(record) ?? []) {
        const to = page + target.offset
        counts.set(to, (counts.get(to) ?? 0) + target.count)
      }
    }
    return [...counts.keys()].sort((a, b) => counts.get(b)! - counts.get(a)!)
  }
}
