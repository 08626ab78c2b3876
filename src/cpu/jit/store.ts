/**
 * The regions that have been compiled, or that were kept by an earlier process, by their code: what
 * is forgotten here because its page was rewritten or reused is there again when the same code is.
 *
 * A module is shared by all places of its regions; an instance serves one place of each of them,
 * whose pages are its globals. Modules are bounded by their bytes, the least recently placed going
 * first, and regions by their number.
 */
import { PAGE_BYTES, pageOf } from './region.ts'
import { functionName, pageName, type SharedRegions } from './compiler.ts'
import { entryKey, type KeptRegions, liesIn, type PageAt, type RegionShape } from './shape.ts'

/** Bytes of modules that are held; native code takes some five times as much. */
const MODULE_BYTES = 8 << 20
/** A module takes what so many bytes more of it would, however small it is. */
const MODULE_OVERHEAD = 4 << 10
/** Of a byte, how much is told apart. */
const BYTE_BITS = 4
/** How many regions are remembered. */
const REGIONS = 8192
/** Places that a region may have at once: domains that run the same program. */
const PLACES = 8

/** A region of a batch. */
interface StoredRegion {
  readonly shape: RegionShape
  readonly batch: Batch
  readonly index: number
}

/** Code of a mode at a machine address. */
export interface CodeAt {
  readonly address: number
  readonly codeMode: number
}

/** A place that has the code of a stored region. */
export interface Match {
  readonly region: StoredRegion
  readonly pageAt: PageAt
}

interface Instance {
  readonly exports: WebAssembly.Exports
  readonly placed: Set<number>
}

/** A region's function, for one place, until it is released. */
export interface PlacedFunction {
  readonly code: WebAssembly.ExportValue
  release(): void
}

/** Regions of one module. */
export class Batch {
  readonly regions: readonly StoredRegion[]
  /** Under which it is kept outside. */
  readonly name: string | undefined
  bytes = 0
  /** Somebody waits for its module. */
  isAwaited = false
  #module: WebAssembly.Module | undefined
  #instances: Instance[] = []

  constructor(shapes: readonly RegionShape[], name: string | undefined) {
    this.regions = shapes.map((shape, index) => ({ shape, batch: this, index }))
    this.name = name
  }

  get isCompiled(): boolean {
    return this.#module !== undefined
  }

  /** Whether some region of it has a place, or will have. */
  get isUsed(): boolean {
    return this.isAwaited || this.#instances.some(({ placed }) => placed.size > 0)
  }

  /** Whether a region of it may have one more place. */
  hasRoom(index: number): boolean {
    return this.#instances.length < PLACES
      || this.#instances.some(({ placed }) => !placed.has(index))
  }

  compiled(module: WebAssembly.Module, bytes: number): void {
    this.#module = module
    this.bytes = bytes + MODULE_OVERHEAD
  }

  /** Lets go of the module, so that its native code is freed. */
  drop(): void {
    this.#module = undefined
    this.#instances = []
    this.bytes = 0
  }

  place(index: number, imports: WebAssembly.Imports, pageAt: PageAt): PlacedFunction {
    const instance = this.#instances.find(({ placed }) => !placed.has(index))
      ?? this.#instantiate(imports)
    instance.placed.add(index)
    for (const page of this.regions[index]!.shape.pages) {
      const global = instance.exports[pageName(index, page)] as WebAssembly.Global | undefined
      if (global) global.value = pageAt(page) | 0
    }
    return {
      code: instance.exports[functionName(index)]!,
      release: () => this.#release(instance, index),
    }
  }

  #instantiate(imports: WebAssembly.Imports): Instance {
    const { exports } = new WebAssembly.Instance(this.#module!, imports)
    const instance = { exports, placed: new Set<number>() }
    this.#instances.push(instance)
    return instance
  }

  /** One instance is held for the next place. */
  #release(instance: Instance, index: number): void {
    instance.placed.delete(index)
    if (instance.placed.size > 0 || this.#instances.length === 1) return
    this.#instances = this.#instances.filter((other) => other !== instance)
  }
}

/** Where in a page code begins that is entered, by its first byte: most code that is asked for
 * begins nowhere of the kind, and its key takes longer to make. What was added stays. */
class Beginnings {
  readonly #bits = new Uint8Array(PAGE_BYTES << BYTE_BITS >> 3)

  add({ blocks, bytes, entries }: RegionShape): void {
    for (const block of entries) {
      const start = block === 0 ? 0 : blocks[block * 2 - 1]!
      const place = placeOf(blocks[block * 2]!, bytes[start]!)
      this.#bits[place >> 3]! |= 1 << (place & 7)
    }
  }

  has(address: number, byte: number): boolean {
    const place = placeOf(address, byte)
    return (this.#bits[place >> 3]! >> (place & 7) & 1) !== 0
  }
}

function placeOf(address: number, byte: number): number {
  return (address & PAGE_BYTES - 1) << BYTE_BITS | (byte ^ byte >> 4) & (1 << BYTE_BITS) - 1
}

export class RegionStore {
  /** In the order in which they were last placed. */
  readonly #batches = new Set<Batch>()
  readonly #beginnings = new Beginnings()
  readonly #starts = new Map<number, StoredRegion[]>()
  readonly #byName = new Map<string, Batch>()
  #bytes = 0
  #count = 0

  /** Bytes of the modules that are held. */
  get bytes(): number {
    return this.#bytes
  }

  /** How many regions are remembered. */
  get count(): number {
    return this.#count
  }

  addKept({ name, shapes }: KeptRegions): void {
    this.#add(new Batch(shapes, name))
  }

  /** Adds the regions of a module that has been compiled. */
  addCompiled(
    shapes: readonly RegionShape[], module: WebAssembly.Module, bytes: number,
    name: string | undefined,
  ): Batch {
    const batch = new Batch(shapes, name)
    this.#add(batch)
    this.loaded(batch, module, bytes)
    return batch
  }

  /** Adds what was compiled for another core, if there is room beside what is used here. */
  addShared({ shapes, module, bytes, name }: SharedRegions): void {
    if (this.isFull(bytes)) this.dropIdle()
    if (this.isFull(bytes)) return
    const kept = name === undefined ? undefined : this.#byName.get(name)
    if (kept) this.loaded(kept, module, bytes)
    else this.addCompiled(shapes, module, bytes, name)
  }

  /** A batch that was kept has its module now. */
  loaded(batch: Batch, module: WebAssembly.Module, bytes: number): void {
    if (batch.isCompiled) return
    batch.compiled(module, bytes)
    this.#bytes += batch.bytes
  }

  used(batch: Batch): void {
    this.#batches.delete(batch)
    this.#batches.add(batch)
  }

  /** A region that may be entered with the code at an address of the machine's memory, and may have
   * a place there, a wide one rather than others; `pagesAround` says where its pages are, by which
   * of them that address is in. */
  find(
    memory: Uint8Array, { address, codeMode }: CodeAt, pagesAround: (page: number) => PageAt,
    onlyWide = false,
  ): Match | undefined {
    if (!this.#beginnings.has(address, memory[address]!)) return undefined
    const there = this.#starts.get(entryKey(memory, address))
    if (!there) return undefined
    const offset = address & PAGE_BYTES - 1
    for (const region of there) {
      if (onlyWide && !region.shape.isWide) return undefined
      if (region.shape.codeMode !== codeMode || !region.batch.hasRoom(region.index)) continue
      for (const page of entryPagesAt(region.shape, offset)) {
        const pageAt = pagesAround(page)
        if (liesIn(region.shape, memory, pageAt)) return { region, pageAt }
      }
    }
    return undefined
  }

  /** Whether modules should be dropped before one of `bytes` is added. */
  isFull(bytes: number): boolean {
    return this.#bytes + bytes > MODULE_BYTES || this.#count > REGIONS
  }

  /** Drops modules of which nothing has a place, down to half of what may be. */
  dropIdle(): void {
    for (const batch of this.#batches) {
      if (this.#bytes <= MODULE_BYTES / 2 && this.#count <= REGIONS / 2) return
      if (!batch.isUsed) this.#drop(batch)
    }
  }

  /** Drops modules of which nothing has a place, if they are kept outside. */
  dropKept(): void {
    for (const batch of this.#batches) {
      if (batch.name !== undefined && !batch.isUsed) this.#drop(batch)
    }
  }

  #drop(batch: Batch): void {
    this.#bytes -= batch.bytes
    batch.drop()
    // What is kept outside can come back, but not without bound.
    if (batch.name === undefined || this.#count > REGIONS / 2) this.remove(batch)
  }

  /** Forgets a batch that is not used. */
  remove(batch: Batch): void {
    if (!this.#batches.delete(batch)) return
    this.#bytes -= batch.bytes
    this.#count -= batch.regions.length
    if (batch.name !== undefined) this.#byName.delete(batch.name)
    batch.drop()
    for (const region of batch.regions) {
      for (const key of new Set(region.shape.keys)) {
        const left = this.#starts.get(key)!.filter((other) => other !== region)
        if (left.length > 0) this.#starts.set(key, left)
        else this.#starts.delete(key)
      }
    }
  }

  #add(batch: Batch): void {
    this.#batches.add(batch)
    this.#count += batch.regions.length
    if (batch.name !== undefined) this.#byName.set(batch.name, batch)
    for (const region of batch.regions) {
      this.#beginnings.add(region.shape)
      for (const key of new Set(region.shape.keys)) {
        const there = this.#starts.get(key)
        if (!there) this.#starts.set(key, [region])
        else if (region.shape.isWide) there.unshift(region)
        else there.push(region)
      }
    }
  }
}

/** The pages, relative to a region's page 0, that it may be entered in with the code at `offset` of
 * a page. */
function entryPagesAt({ blocks, entries }: RegionShape, offset: number): Set<number> {
  return new Set([...entries].map((block) => blocks[block * 2]!)
    .filter((at) => (at & PAGE_BYTES - 1) === offset).map(pageOf))
}
