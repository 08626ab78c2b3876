/**
 * What is known on the way to an instruction of a region, beside its flags: which registers differ
 * by a constant, which pages were looked up, and bounds of floats.
 *
 * A *root* is a value that nobody knows; a register holds a root plus an offset. Accesses off one
 * root mostly stay in one page, so that the look-up of the first serves the others, after a test
 * that they do. Where paths meet, pages are forgotten (path-joins.ts); in loops the
 * micro-TLB stands in for them (micro-entries.ts).
 */
import type { AddressSymbol, KnownPage, PageReuse } from '../interpreter/parts.ts'
import type { FloatLanes } from './float-lanes.ts'
import type { Hold, RegionLocals } from './flag-state.ts'
import type { MicroEntries } from './micro-entries.ts'
import { X87Facts } from './x87-facts.ts'

/** Pages that are remembered: each keeps two locals alive. */
const PAGES = 6

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
  readonly #micro: MicroEntries
  readonly #registers: (AddressSymbol | undefined)[]
  readonly #pages: Page[]
  /** Of vector registers, by their addresses. */
  readonly #floats = new Map<number, FloatLanes>()

  constructor(
    locals: RegionLocals, micro: MicroEntries, x87: X87Facts,
    parts: ReadonlyMap<number, number> = new Map(),
    registers: readonly (AddressSymbol | undefined)[] = [], pages: readonly Page[] = [],
  ) {
    this.x87 = x87
    this.parts = new Map(parts)
    this.#locals = locals
    this.#micro = micro
    this.#registers = [...registers]
    this.#pages = pages.map((page) => ({ ...page }))
    for (const { hold } of pages) if (hold) locals.hold(hold)
  }

  register(index: number): AddressSymbol {
    return this.#registers[index] ??= { root: this.#micro.newRoot() }
  }

  setRegister(index: number, symbol: AddressSymbol | undefined): void {
    this.#registers[index] = symbol
  }

  /** The symbol of a base with a shifted index. */
  sum(base: AddressSymbol | undefined, index: AddressSymbol, scale: number): AddressSymbol {
    return this.#micro.sum(base, index, scale)
  }

  /** At the head of a loop that moves a register by `step` bytes in each round. */
  move(register: number, loop: number, step: number): void {
    this.#micro.move(this.register(register).root, loop, step)
  }

  get registers(): readonly (AddressSymbol | undefined)[] {
    return this.#registers
  }

  microEntry(symbol: AddressSymbol, write: boolean, bytes: number): number | undefined {
    return this.#micro.find(symbol, write, bytes)
  }

  find({ root }: AddressSymbol, write: boolean): KnownPage | undefined {
    return this.#pages.find((page) => page.root === root && (page.write || !write))
  }

  isWanted({ root }: AddressSymbol): boolean {
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
      this.#locals, this.#micro, this.x87.clone(), this.parts, this.#registers, this.#pages)
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
