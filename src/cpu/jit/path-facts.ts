/**
 * What is known on the way to an instruction of a region, beside its flags: which registers differ
 * by a constant, which pages were looked up, and bounds of floats.
 *
 * A *root* is a value that nobody knows; a register holds a root plus an offset. Accesses off one
 * root mostly stay in one page, so that the look-up of the first serves the others, after a test
 * that they do. Where paths meet, everything is forgotten but what is known of floats
 * (path-joins.ts).
 */
import type { AddressSymbol, KnownPage, PageReuse } from '../interpreter/parts.ts'
import { REGION_BASE } from './base-uses.ts'
import type { FloatLanes } from './float-lanes.ts'
import type { Hold, RegionLocals } from './flag-state.ts'
import { X87Facts } from './x87-facts.ts'

/** Pages that are remembered: each keeps two locals alive. */
const PAGES = 6

/** Numbers of roots: addresses that count from the region, and then everything else. */
export const REGION_ROOT = 0
let roots = REGION_ROOT

interface Page extends KnownPage {
  readonly root: number
  readonly write: boolean
  hold: Hold | undefined
}

export class PathFacts implements PageReuse {
  /** SSE instructions need not ask again whether they may; nor AVX instructions. */
  sseChecked = false
  avxChecked = false
  /** What the accesses behind the current instruction are based on; see base-uses.ts. */
  later = 0
  readonly x87: X87Facts
  /** Of general registers of which a part was written last, how wide that is. */
  readonly parts: Map<number, number>
  readonly #locals: RegionLocals
  readonly #registers: (AddressSymbol | undefined)[]
  readonly #pages: Page[]
  /** Of vector registers, by their addresses. */
  readonly #floats = new Map<number, FloatLanes>()

  constructor(
    locals: RegionLocals, x87: X87Facts, parts: ReadonlyMap<number, number> = new Map(),
    registers: readonly (AddressSymbol | undefined)[] = [], pages: readonly Page[] = [],
  ) {
    this.x87 = x87
    this.parts = new Map(parts)
    this.#locals = locals
    this.#registers = [...registers]
    this.#pages = pages.map((page) => ({ ...page }))
    for (const { hold } of pages) if (hold) locals.hold(hold)
  }

  register(index: number): AddressSymbol {
    return this.#registers[index] ??= { root: ++roots }
  }

  setRegister(index: number, symbol: AddressSymbol | undefined): void {
    this.#registers[index] = symbol
  }

  find({ root }: AddressSymbol, write: boolean): KnownPage | undefined {
    return this.#pages.find((page) => page.root === root && (page.write || !write))
  }

  isWanted({ root }: AddressSymbol): boolean {
    if (root === REGION_ROOT) return (this.later >> REGION_BASE & 1) === 1
    return this.#registers.some((symbol, index) =>
      symbol?.root === root && (this.later >> index & 1) === 1)
  }

  note({ root }: AddressSymbol, write: boolean, page: KnownPage): void {
    if (this.#pages.length === PAGES) this.#release(this.#pages.shift()!)
    this.#pages.push({ ...page, root, write, hold: undefined })
  }

  /** Ends an instruction, whose locals are held by the pages that it noted. */
  endInstruction(hold: Hold): void {
    for (const page of this.#pages) {
      if (page.hold) continue
      page.hold = hold
      this.#locals.hold(hold)
    }
  }

  get allFloats(): ReadonlyMap<number, FloatLanes> {
    return this.#floats
  }

  floats(register: number): FloatLanes | undefined {
    return this.#floats.get(register)
  }

  setFloats(register: number, known: FloatLanes | undefined): void {
    if (known) this.#floats.set(register, known)
    else this.#floats.delete(register)
  }

  clone(): PathFacts {
    const copy = new PathFacts(
      this.#locals, this.x87.clone(), this.parts, this.#registers, this.#pages)
    for (const [register, known] of this.#floats) copy.#floats.set(register, known)
    copy.sseChecked = this.sseChecked
    copy.avxChecked = this.avxChecked
    return copy
  }

  forgetAll(): void {
    for (const page of this.#pages.splice(0)) this.#release(page)
  }

  #release({ hold }: Page): void {
    if (hold) this.#locals.release(hold)
  }
}
