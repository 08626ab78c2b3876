/**
 * The compiled regions of a core: asked for when code is hot, entered through records once they are
 * there, forgotten when their code is written to.
 *
 * A region is known by the machine addresses of its blocks from when it is asked for. Its entries
 * are found by address too, so regions outlive the records that enter them.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import { CODE_MODE_LONG, type CoreControlView } from '../core-memory.ts'
import type { CodeCache } from '../interpreter/code-cache.ts'
import type { MemorySizes } from '../interpreter/engine-module.ts'
import { CodeLines } from '../interpreter/code-lines.ts'
import { field } from '../interpreter/record.ts'
import {
  type CompiledRegions, functionName, ImmediateCompiler, pack, type PackedRegion,
  type RegionCompiler,
} from './compiler.ts'
import { discover, PAGE_BYTES, pageOf, type Region, type RegionLimits } from './region.ts'
import { Rewrites } from './rewrites.ts'

/** A region executes no more instructions than it has until it looks at the budget again: only
 * edges back lead to what may have been executed. */
export const REGION_LIMIT = 400
const LIMITS: RegionLimits = { instructions: REGION_LIMIT, callee: 60, returns: 8 }
/** What belongs to a region was jumped to this often, as a part of what makes code hot; nothing is
 * known of what control only falls into. */
const WARM = 0.03
/** Bytes of modules that are held; native code takes some five times as much. */
const MODULE_BYTES = 24 << 20
/** How many regions may be held. */
const REGIONS = 8192

export interface JitNeeds {
  readonly control: CoreControlView
  readonly code: CodeCache
  readonly decode: Decode
  readonly core: ArrayBuffer
  readonly machine: Uint8Array
  readonly doorbell: number
  readonly sizes: MemorySizes
  readonly table: WebAssembly.Table
  /** Memories and parts, as modules import them. */
  readonly imports: WebAssembly.Imports
  readonly heatLimit: number
  /** Without one, code is compiled as soon as it is hot. */
  readonly compiler?: RegionCompiler
  /** Machine address of a byte of code by its linear address, or -1. */
  translate(linear: bigint): number
}

/** Functions that came in one module, which lives as long as one of them. */
interface Batch {
  readonly bytes: number
  live: number
}

interface LiveRegion {
  /** Lines of code by machine page. */
  readonly lines: ReadonlyMap<number, CodeLines>
  /** Machine addresses of its entries, in their order, and of all its blocks. */
  readonly entries: readonly number[]
  readonly blocks: readonly number[]
  readonly instructions: number
  /** Once it is compiled. */
  code?: { readonly tableIndex: number, readonly batch: Batch }
}

interface Entry {
  readonly tableIndex: number
  readonly number: number
}

/** What was done so far. */
export interface JitCounts {
  /** Regions and instructions that were asked for. */
  asked: number
  instructions: number
  /** Regions that came, and the bytes of their modules. */
  compiled: number
  bytes: number
  /** Regions that were forgotten because their code was written to, and for want of room. */
  rewritten: number
  evicted: number
  /** Hot code that was not compiled: because it is being compiled, or is written to often. */
  pending: number
  putOff: number
}

export class Jit {
  readonly #needs: JitNeeds
  readonly #compiler: RegionCompiler
  readonly #isImmediate: boolean
  readonly #records: DataView
  /** By machine page. */
  readonly #pages = new Map<number, Set<LiveRegion>>()
  /** Those that are being compiled, by number. */
  readonly #awaited = new Map<number, LiveRegion>()
  readonly #queue: PackedRegion[] = []
  /** By the machine address of a block, the region that was made of it last. */
  readonly #blocks = new Map<number, LiveRegion>()
  readonly #entries = new Map<number, Entry>()
  readonly #rewrites = new Rewrites()
  readonly #freeIndexes: number[] = []
  #live = 0
  #liveBytes = 0
  #lastNumber = 0
  readonly counts: JitCounts = {
    asked: 0, instructions: 0, compiled: 0, bytes: 0, rewritten: 0, evicted: 0, pending: 0,
    putOff: 0,
  }

  constructor(needs: JitNeeds) {
    this.#needs = needs
    this.#isImmediate = !needs.compiler
    this.#compiler = needs.compiler ?? new ImmediateCompiler(needs.decode)
    this.#records = new DataView(needs.core)
  }

  /** Makes a region of the code that begins at a record, which is about to be executed. */
  hot(record: number): void {
    const { control, code } = this.#needs
    if (control.codeMode !== CODE_MODE_LONG || !this.#compiler.works) return
    const offset = this.#records.getUint16(record + field.pageOffset, true)
    const machine = (control.codeMachinePage | offset) >>> 0
    const known = this.#blocks.get(machine)
    if (known && !known.code) {
      // It may yet turn out that the region is not entered here.
      code.cool(record, this.#needs.heatLimit >>> 1)
      this.counts.pending += 1
      return
    }
    if (!this.#rewrites.allow(control.codeMachinePage)) {
      code.cool(record, 0)
      this.counts.putOff += 1
      return
    }
    this.#discover(offset)
    if (this.#isImmediate) this.poll()
  }

  /** Sends off what is hot, and installs what has come. */
  poll(): void {
    if (this.#queue.length > 0) {
      const regions = this.#queue.splice(0)
      this.#compiler.request({
        doorbell: this.#needs.doorbell, sizes: this.#needs.sizes, regions,
      })
    }
    while (this.#awaited.size > 0) {
      const answer = this.#compiler.take()
      if (!answer) return
      this.#install(answer)
    }
  }

  /** A record was found for the code at an address. */
  found(machine: number, record: number): void {
    const entry = this.#entries.get(machine)
    if (entry) this.#needs.code.enterRegion(record, entry.tableIndex, entry.number)
  }

  /** Forgets the regions that have code in lines of a page. */
  invalidate(page: number, lines: CodeLines): void {
    const regions = this.#pages.get(page)
    if (!regions) return
    for (const region of [...regions]) {
      if (!region.lines.get(page)!.meets(lines)) continue
      this.#forget(region)
      this.#rewrites.note(page)
      this.counts.rewritten += 1
    }
  }

  /** Adds the lines of a page that regions have code of. */
  addLines(page: number, lines: CodeLines): void {
    for (const region of this.#pages.get(page) ?? []) lines.add(region.lines.get(page)!)
  }

  /** The records are gone, and no frame is watched. */
  flushed(): void {
    for (const [page, regions] of this.#pages) {
      for (const region of regions) this.#needs.code.watch(page, region.lines.get(page)!)
    }
  }

  /** Forgets all. */
  forgetAll(): void {
    for (const region of this.#all()) this.#forget(region)
  }

  #discover(offset: number): void {
    const { control, code, decode, heatLimit } = this.#needs
    const warm = Math.floor(heatLimit * WARM)
    const machines = new Map<number, number>([[0, control.codeMachinePage]])
    const pageAt = (page: number): number => {
      const known = machines.get(page)
      if (known !== undefined) return known
      const machine = this.#needs.translate(control.codePage + BigInt(page * PAGE_BYTES))
      machines.set(page, machine)
      return machine
    }
    const machineOf = (at: number): number => {
      const page = pageAt(pageOf(at))
      return page < 0 ? -1 : (page | at & PAGE_BYTES - 1) >>> 0
    }
    const region = discover({
      decode,
      page: (number) => {
        const page = pageAt(number)
        return page < 0 ? undefined : this.#needs.machine.subarray(page, page + PAGE_BYTES)
      },
      isWarm: (at, byJump) => {
        const machine = machineOf(at)
        if (machine < 0) return false
        return code.heatAt(machine, CODE_MODE_LONG) >= (byJump ? warm : 0)
      },
    }, offset, LIMITS)
    if (region) this.#ask(region, pageAt, machineOf)
  }

  #ask(
    region: Region, pageAt: (page: number) => number, machineOf: (offset: number) => number,
  ): void {
    const number = ++this.#lastNumber
    const packed = pack(region, number, pageAt, (offset, length) => {
      const machine = machineOf(offset)
      return this.#needs.machine.subarray(machine, machine + length)
    })
    const lines = new Map<number, CodeLines>(
      packed.pages.map(([, machine]) => [machine, new CodeLines()]))
    let instructions = 0
    for (const block of region.blocks) {
      const last = block.instructions.at(-1)
      if (!last) continue
      instructions += block.instructions.length
      lines.get(pageAt(pageOf(block.offset)))!.addRange(
        block.offset & PAGE_BYTES - 1, last.offset + last.instruction.length - block.offset)
    }
    const blocks = region.blocks.map((block) => machineOf(block.offset))
    const live: LiveRegion = {
      lines, blocks, instructions, entries: region.entries.map((block) => blocks[block]!),
    }
    for (const block of blocks) this.#blocks.set(block, live)
    for (const [page, covered] of lines) {
      const regions = this.#pages.get(page) ?? new Set()
      this.#pages.set(page, regions)
      regions.add(live)
      this.#needs.code.watch(page, covered)
    }
    this.#awaited.set(number, live)
    this.#queue.push(packed)
    this.counts.asked += 1
    this.counts.instructions += instructions
  }

  #install(answer: CompiledRegions): void {
    const { code, imports, table } = this.#needs
    const { bytes, numbers } = answer
    this.counts.bytes += bytes
    const wanted = numbers.some((number) => this.#awaited.has(number))
    if (!wanted) return
    if (this.#liveBytes + bytes > MODULE_BYTES || this.#live > REGIONS) this.#evict()
    const { exports } = new WebAssembly.Instance(answer.module, imports)
    const batch: Batch = { bytes, live: 0 }
    this.#liveBytes += bytes
    numbers.forEach((number, index) => {
      const region = this.#awaited.get(number)
      this.#awaited.delete(number)
      if (!region) return
      const tableIndex = this.#freeIndexes.pop() ?? table.grow(1)
      table.set(tableIndex, exports[functionName(index)])
      region.code = { tableIndex, batch }
      batch.live += 1
      this.#live += 1
      this.counts.compiled += 1
      region.entries.forEach((machine, entry) => {
        // Whoever was first there keeps the entry.
        if (this.#entries.has(machine)) return
        this.#entries.set(machine, { tableIndex, number: entry })
        const record = code.recordAt(machine, CODE_MODE_LONG)
        if (record !== 0) code.enterRegion(record, tableIndex, entry)
      })
    })
  }

  /** Makes room: what is hot comes back. */
  #evict(): void {
    for (const region of this.#all()) {
      if (!region.code) continue
      this.#forget(region)
      this.counts.evicted += 1
    }
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
    if (!region.code) {
      for (const [number, awaited] of this.#awaited) {
        if (awaited === region) this.#awaited.delete(number)
      }
      return
    }
    const { tableIndex, batch } = region.code
    for (const machine of region.entries) {
      if (this.#entries.get(machine)?.tableIndex !== tableIndex) continue
      this.#entries.delete(machine)
      this.#needs.code.leaveRegion(machine, CODE_MODE_LONG)
    }
    this.#needs.table.set(tableIndex, null)
    this.#freeIndexes.push(tableIndex)
    this.#live -= 1
    if (--batch.live === 0) this.#liveBytes -= batch.bytes
  }
}
