/**
 * The compiled regions of a core: asked for when code is hot, entered through records once they are
 * there, forgotten when their code is written to.
 *
 * A region is known by the machine addresses of its blocks from when it is asked for. Its entries
 * are found by address too, so regions outlive the records that enter them.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import { CODE_MODE_LONG, type CoreControlView, Stop } from '../core-memory.ts'
import type { CodeCache } from '../interpreter/code-cache.ts'
import { hasRegions } from '../interpreter/code-mode.ts'
import type { MemorySizes } from '../interpreter/engine-module.ts'
import type { CodeLines } from '../interpreter/code-lines.ts'
import { JumpTargets } from '../interpreter/jump-targets.ts'
import { field } from '../interpreter/record.ts'
import { RegionLinks } from '../interpreter/region-links.ts'
import { InterpretedCode } from './code-source.ts'
import {
  type CompiledRegions, ImmediateCompiler, type LoadedRegions, pack, type PackedRegion,
  type RegionCompiler,
} from './compiler.ts'
import { noCounts } from './counts.ts'
import { discover } from './discovery.ts'
import { Entries, type LiveRegion } from './entries.ts'
import type { RegionLimits } from './exploration.ts'
import type { Without } from './features.ts'
import { PAGE_BYTES } from './region.ts'
import { Rewrites } from './rewrites.ts'
import {
  blocksIn, entryKey, isWithin, type KeptRegions, liesIn, linesIn, type PageAt, type RegionShape,
} from './shape.ts'
import { type Batch, type Match, RegionStore } from './store.ts'

/** A region executes no more instructions than it has until it looks at the budget again: only
 * edges back lead to what may have been executed. */
export const REGION_LIMIT = 800
const LIMITS: RegionLimits = { instructions: 400, total: 400, small: 40, targets: 16 }
const WIDE_LIMITS: RegionLimits = { ...LIMITS, total: REGION_LIMIT, small: 200 }
/** A region that was entered as often as makes code hot so many times has paid for compiling it. */
const PAID = 2
/** Code that is known to have been hot counts as hot this much sooner. */
const KNOWN_SHIFT = 4

export interface JitNeeds {
  readonly control: CoreControlView
  readonly code: CodeCache
  readonly decode: Decode
  readonly core: ArrayBuffer
  readonly machine: Uint8Array
  readonly sizes: MemorySizes
  readonly table: WebAssembly.Table
  /** Memories and parts, as modules import them. */
  readonly imports: WebAssembly.Imports
  readonly heatLimit: number
  /** How often a region's entry is as hot as that before the region becomes a wide one. */
  readonly busyLimit: number
  /** What compiling shall leave out. */
  readonly without?: Without
  /** Without one, code is compiled as soon as it is hot. */
  readonly compiler?: RegionCompiler
  /** What is known from earlier processes, for the compiler to load. */
  readonly kept?: readonly KeptRegions[]
  /** Machine address of a byte of code by its linear address, or -1. */
  translate(linear: bigint): number
}

export class Jit {
  readonly #needs: JitNeeds
  readonly #compiler: RegionCompiler
  readonly #isImmediate: boolean
  readonly #records: DataView
  readonly #targets: JumpTargets
  /** By machine page. */
  readonly #pages = new Map<number, Set<LiveRegion>>()
  /** Those that are being compiled, by number; and by batch those whose module is being loaded. */
  readonly #awaited = new Map<number, LiveRegion>()
  readonly #loading = new Map<Batch, { readonly live: LiveRegion, readonly index: number }[]>()
  readonly #loadingByName = new Map<string, Batch>()
  readonly #store = new RegionStore()
  readonly #queue: PackedRegion[] = []
  /** By the machine address of a block, the region that was made of it last. */
  readonly #blocks = new Map<number, LiveRegion>()
  readonly #entries: Entries
  readonly #rewrites = new Rewrites()
  readonly #freeIndexes: number[] = []
  #lastNumber = 0
  readonly counts = noCounts()

  constructor(needs: JitNeeds) {
    this.#needs = needs
    this.#isImmediate = !needs.compiler
    this.#compiler = needs.compiler ?? new ImmediateCompiler(needs.decode)
    this.#records = new DataView(needs.core)
    this.#targets = new JumpTargets(needs.core)
    this.#entries = new Entries(needs.code, new RegionLinks(needs.core),
      needs.without?.includes('wide') ? Infinity : needs.busyLimit)
    for (const kept of needs.kept ?? []) this.#store.addKept(kept)
  }

  /** Makes a region of the code that begins at a record, which is about to be executed. */
  hot(record: number): void {
    const { control, code, without = [] } = this.#needs
    if (!hasRegions(control.codeMode) || !this.#compiler.works) return
    if (control.codeMode !== CODE_MODE_LONG && without.includes('32-bit')) return
    const offset = this.#records.getUint16(record + field.pageOffset, true)
    const machine = (control.codeMachinePage | offset) >>> 0
    const live = this.#entries.at(machine)
    if (live && live.shape.codeMode === control.codeMode) {
      this.#arrived(machine, offset, live)
      return
    }
    const known = this.#blocks.get(machine)
    if (live || known && !known.code) {
      // It may yet turn out that the region is not entered here. One of another mode is in the way
      // for as long as it is there.
      code.cool(record, this.#needs.heatLimit >>> 1)
      this.counts.pending += 1
      return
    }
    const match = this.#match(machine)
    if (!match && !this.#rewrites.allow(control.codeMachinePage)) {
      code.cool(record, 0)
      this.counts.putOff += 1
      return
    }
    if (match) this.#enterKnown(match)
    else this.#discover(offset)
    if (this.#isImmediate) this.poll()
  }

  /** Sends off what is hot, and installs what has come. */
  poll(): void {
    if (this.#queue.length > 0) {
      const regions = this.#queue.splice(0)
      const { sizes, without = [] } = this.#needs
      this.#compiler.request({ sizes, regions, without })
    }
    for (let news = this.#compiler.take(); news; news = this.#compiler.take()) {
      switch (news.kind) {
        case 'compiled': this.#install(news); break
        case 'loaded': this.#installLoaded(news); break
        case 'shared': this.#store.addShared(news)
      }
    }
  }

  /** A record was found for the code at an address. */
  found(machine: number, record: number): void {
    const { code, control, heatLimit } = this.#needs
    // The region would come back here: what it writes to is known as code again and again.
    if (control.stop === Stop.RETRY) return
    if (this.#entries.enter({ address: machine, codeMode: control.codeMode }, record)) return
    // It is found again and again when others have its place among those looked up.
    const isNew = this.#records.getUint16(record + field.heat, true) === 0
    if (heatLimit === 0 || !isNew || this.#blocks.has(machine)) return
    const match = this.#match(machine)
    if (!match) {
      // It would never become hot if it were at the limit already.
      if (heatLimit > 1) code.cool(record, 1)
      return
    }
    if (match.region.batch.isCompiled) {
      this.#enterKnown(match)
    } else {
      code.cool(record, heatLimit - 1 - (heatLimit >>> KNOWN_SHIFT))
    }
  }

  /** The entry of a region was hot: if it is busy, what is entered from it becomes part of it. */
  #arrived(machine: number, offset: number, live: LiveRegion): void {
    const { code } = this.#needs
    const isBusy = this.#entries.arrived(machine)
    // Others may still lead to a record that is forgotten, which must not enter anything.
    const { codeMode } = live.shape
    this.#entries.enter({ address: machine, codeMode }, code.recordAt(machine, codeMode))
    // What is to take its place may be on its way.
    if (live.shape.isWide || !this.#blocks.get(machine)?.code) return
    const wide = this.#match(machine, true)
    if (wide) this.#enterKnown(wide)
    else if (isBusy) this.#discover(offset, live)
    if (this.#isImmediate) this.poll()
  }

  /** Forgets the regions that have code in lines of a page. */
  invalidate(page: number, lines: CodeLines): void {
    const regions = this.#pages.get(page)
    if (!regions) return
    for (const region of [...regions]) {
      if (!region.lines.get(page)!.meets(lines)) continue
      this.#rewrites.note(page, region.shape.isWide || this.#entries.arrivalsOf(region) >= PAID)
      this.#forget(region)
      this.counts.rewritten += 1
    }
  }

  /** Adds the lines of a page that regions have code of. */
  addLines(page: number, lines: CodeLines): void {
    for (const region of this.#pages.get(page) ?? []) lines.add(region.lines.get(page)!)
  }

  /** The records are gone, and no frame is watched. */
  flushed(): void {
    this.#rewrites.clear()
    this.#targets.clear()
    for (const [page, regions] of this.#pages) {
      for (const region of regions) this.#needs.code.watch(page, region.lines.get(page)!)
    }
  }

  /** Forgets all. */
  forgetAll(): void {
    for (const region of this.#all()) this.#forget(region)
  }

  /** Lets go of modules that have no place now, and can be loaded again. */
  dropKept(): void {
    this.#store.dropKept()
  }

  /** Where a region's pages are when its page `number` is that of the current code. */
  #pagesAround(number: number): PageAt {
    const { control } = this.#needs
    const linear = control.codePage
    // Addresses of 32-bit code have an end.
    const end = control.codeMode === CODE_MODE_LONG ? 1n << 64n : 1n << 32n
    const machines = new Map<number, number>([[number, control.codeMachinePage]])
    return (page) => {
      const known = machines.get(page)
      if (known !== undefined) return known
      const at = linear + BigInt((page - number) * PAGE_BYTES)
      const machine = at < 0n || at >= end ? -1 : this.#needs.translate(at)
      machines.set(page, machine)
      return machine
    }
  }

  /** A stored region that may be entered with the code at an address of the current page. */
  #match(machine: number, onlyWide = false): Match | undefined {
    const at = { address: machine, codeMode: this.#needs.control.codeMode }
    return this.#store.find(this.#needs.machine, at, (page) => this.#pagesAround(page), onlyWide)
  }

  /** Makes a stored region live, at once if its module is there. */
  #enterKnown({ region: { shape, batch, index }, pageAt }: Match): void {
    const live = this.#watch(shape, pageAt)
    // Only what is written from then on is told of.
    if (!liesIn(shape, this.#needs.machine, pageAt)) {
      this.#forget(live)
      return
    }
    this.counts.known += 1
    this.#store.used(batch)
    if (batch.isCompiled) {
      this.#enter(live, batch, index)
      return
    }
    const waiting = this.#loading.get(batch)
    waiting?.push({ live, index })
    if (waiting) return
    batch.isAwaited = true
    this.#loading.set(batch, [{ live, index }])
    this.#loadingByName.set(batch.name!, batch)
    this.#compiler.load({ name: batch.name! })
  }

  /** Asks for the region that begins at an offset of the current page; beyond the entries of others
   * if it is to be more than `narrow`. */
  #discover(offset: number, narrow?: LiveRegion): void {
    const { control, machine } = this.#needs
    const pageAt = this.#pagesAround(0)
    const source = new InterpretedCode({
      ...this.#needs, codeMode: control.codeMode, targets: this.#targets,
      arrivalsAt: (at) => this.#entries.arrivalsAt(at),
      isBlock: (at) => this.#blocks.has(at),
    }, pageAt)
    const region = narrow ? discover(source.withoutEntries, offset, WIDE_LIMITS)
      : discover(source, offset, LIMITS)
    if (!region) return
    const number = this.#lastNumber + 1
    const packed = pack(region, number, {
      isWide: narrow !== undefined,
      byteAt: (at) => machine[source.machineOf(at)]!,
      keyAt: (at) => entryKey(machine, source.machineOf(at)),
    })
    if (narrow && isWithin(linesIn(packed.shape, pageAt), narrow.lines)) return
    this.#lastNumber = number
    this.#awaited.set(number, this.#watch(packed.shape, pageAt))
    this.#queue.push(packed)
    this.counts.asked += 1
    if (narrow) this.counts.widened += 1
    for (const { instructions } of region.blocks) this.counts.instructions += instructions.length
  }

  /** A region of code in these pages, whose changes are noticed from now on. */
  #watch(shape: RegionShape, pageAt: PageAt): LiveRegion {
    const lines = linesIn(shape, pageAt)
    const blocks = blocksIn(shape, pageAt)
    const entries = [...shape.entries].map((block) => blocks[block]!)
    const live: LiveRegion = { shape, pageAt, lines, blocks, entries, isForgotten: false }
    for (const block of blocks) this.#blocks.set(block, live)
    this.#entries.claim(live)
    for (const [page, covered] of lines) {
      const regions = this.#pages.get(page) ?? new Set()
      this.#pages.set(page, regions)
      regions.add(live)
      this.#needs.code.watch(page, covered)
    }
    return live
  }

  #install({ module, numbers, bytes, name }: CompiledRegions): void {
    this.#makeRoom(bytes)
    this.counts.bytes += bytes
    const regions = numbers.map((number) => this.#awaited.get(number)!)
    const shapes = regions.map(({ shape }) => shape)
    const batch = this.#store.addCompiled(shapes, module, bytes, name)
    numbers.forEach((number, index) => {
      this.#awaited.delete(number)
      if (regions[index]!.isForgotten) return
      this.#enter(regions[index]!, batch, index)
      this.counts.compiled += 1
    })
  }

  #installLoaded({ module, name, bytes }: LoadedRegions): void {
    const batch = this.#loadingByName.get(name)!
    const waiting = this.#loading.get(batch)!
    this.#loadingByName.delete(name)
    this.#loading.delete(batch)
    // It is not dropped meanwhile.
    this.#makeRoom(bytes)
    batch.isAwaited = false
    if (!module) {
      this.#store.remove(batch)
      for (const { live } of waiting) if (!live.isForgotten) this.#giveUp(live)
      return
    }
    this.#store.loaded(batch, module, bytes)
    for (const { live, index } of waiting) if (!live.isForgotten) this.#enter(live, batch, index)
  }

  /** Forgets a region whose module cannot be had: its code is hot again when it is jumped to. */
  #giveUp(live: LiveRegion): void {
    const { code, heatLimit } = this.#needs
    this.#forget(live)
    for (const machine of live.entries) {
      const record = code.recordAt(machine, live.shape.codeMode)
      if (record !== 0) code.cool(record, heatLimit - 1)
    }
  }

  /** Lets the code of a live region be entered. */
  #enter(live: LiveRegion, batch: Batch, index: number): void {
    const { imports, table } = this.#needs
    const placed = batch.place(index, imports, live.pageAt)
    const tableIndex = this.#freeIndexes.pop() ?? table.grow(1)
    table.set(tableIndex, placed.code)
    live.code = { tableIndex, release: placed.release }
    for (const other of this.#entries.place(live)) this.#forget(other)
  }

  /** Makes room for a module: what is hot comes back. */
  #makeRoom(bytes: number): void {
    if (!this.#store.isFull(bytes)) return
    this.#store.dropIdle()
    if (!this.#store.isFull(bytes)) return
    for (const region of this.#all()) {
      if (!region.code) continue
      this.#forget(region)
      this.counts.evicted += 1
    }
    this.#store.dropIdle()
  }

  /** All regions; one has lines in several pages. */
  #all(): ReadonlySet<LiveRegion> {
    return new Set([...this.#pages.values()].flatMap((regions) => [...regions]))
  }

  #forget(region: LiveRegion): void {
    for (const page of region.lines.keys()) {
      const regions = this.#pages.get(page)
      regions?.delete(region)
      if (regions?.size === 0) this.#pages.delete(page)
    }
    for (const block of region.blocks) {
      if (this.#blocks.get(block) === region) this.#blocks.delete(block)
    }
    region.isForgotten = true
    this.#entries.leave(region)
    if (!region.code) return
    const { tableIndex, release } = region.code
    this.#needs.table.set(tableIndex, null)
    this.#freeIndexes.push(tableIndex)
    release()
  }
}
