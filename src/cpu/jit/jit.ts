/**
 * The compiled regions of a core: made when code is hot, entered through records, forgotten when a
 * page that they have code of is written to.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import { CODE_MODE_LONG, type CoreControlView } from '../core-memory.ts'
import type { CodeCache } from '../interpreter/code-cache.ts'
import { buildWithParts, type MemorySizes } from '../interpreter/engine-module.ts'
import { field } from '../interpreter/record.ts'
import { discover, PAGE_BYTES, type Region, type RegionLimits } from './region.ts'
import { translate } from './translate.ts'

const LIMITS: RegionLimits = { instructions: 400, callee: 60, returns: 8 }

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
  /** Machine address of a byte of code by its linear address, or -1. */
  translate(linear: bigint): number
}

interface Entry {
  readonly record: number
  readonly machine: number
}

interface Compiled {
  readonly tableIndex: number
  readonly pages: readonly number[]
  readonly entries: readonly Entry[]
}

export class Jit {
  readonly #needs: JitNeeds
  readonly #records: DataView
  /** By machine page. */
  readonly #regions = new Map<number, Set<Compiled>>()
  readonly #freeIndexes: number[] = []
  /** How many regions were made, for statistics. */
  compiled = 0

  constructor(needs: JitNeeds) {
    this.#needs = needs
    this.#records = new DataView(needs.core)
  }

  /** Makes a region of the code that begins at a record, which is about to be executed. */
  hot(record: number): void {
    const { control, code } = this.#needs
    if (control.codeMode !== CODE_MODE_LONG || !code.hasRoom) return
    const offset = this.#records.getUint16(record + field.pageOffset, true)
    const machines = new Map<number, number>()
    const machineOf = (page: number): number => {
      let machine = machines.get(page)
      if (machine === undefined) {
        machine = page === 0 ? control.codeMachinePage
          : this.#needs.translate(control.codePage + BigInt(page * PAGE_BYTES))
        machines.set(page, machine)
      }
      return machine
    }
    const region = discover({
      decode: this.#needs.decode,
      page: (page) => {
        const machine = machineOf(page)
        return machine < 0 ? undefined : this.#needs.machine.subarray(machine, machine + PAGE_BYTES)
      },
      isWarm: (at) => {
        const machine = machineOf(Math.floor(at / PAGE_BYTES))
        return machine >= 0 && code.knows(machine + (at & PAGE_BYTES - 1), CODE_MODE_LONG)
      },
    }, offset, LIMITS)
    if (region) this.#install(region, machineOf)
  }

  /** Forgets the regions that have code of a page. */
  invalidate(machine: number): void {
    const regions = this.#regions.get((machine & -PAGE_BYTES) >>> 0)
    if (!regions) return
    for (const region of [...regions]) this.#forget(region)
  }

  /** Forgets all; their records are gone. */
  flush(): void {
    const regions = new Set([...this.#regions.values()].flatMap((set) => [...set]))
    for (const { tableIndex } of regions) this.#freeIndexes.push(tableIndex)
    this.#regions.clear()
  }

  #install(region: Region, machineOf: (page: number) => number): void {
    const { code, table } = this.#needs
    const bytes = buildWithParts(this.#needs.sizes, (module, parts) => {
      const f = module.function({ parameters: ['i32'], result: 'i32' })
      translate(parts, f, region, { doorbell: this.#needs.doorbell, machineOf })
      module.exportFunction('region', f)
    })
    const instance = new WebAssembly.Instance(new WebAssembly.Module(bytes), this.#needs.imports)
    const tableIndex = this.#freeIndexes.pop() ?? table.grow(1)
    table.set(tableIndex, instance.exports['region'])
    this.compiled += 1
    const entries = region.entries.map((block) => {
      const { offset } = region.blocks[block]!
      const machine = machineOf(Math.floor(offset / PAGE_BYTES)) + (offset & PAGE_BYTES - 1)
      return { record: code.decode(machine), machine }
    })
    entries.forEach(({ record }, number) => code.enterRegion(record, tableIndex, number))
    const compiled = { tableIndex, pages: region.pages.map(machineOf), entries }
    for (const page of compiled.pages) {
      const regions = this.#regions.get(page) ?? new Set()
      this.#regions.set(page, regions)
      regions.add(compiled)
      code.watch(page)
    }
  }

  #forget(region: Compiled): void {
    for (const page of region.pages) this.#regions.get(page)?.delete(region)
    for (const { record, machine } of region.entries) {
      this.#needs.code.leaveRegion(record, machine, CODE_MODE_LONG)
    }
    this.#freeIndexes.push(region.tableIndex)
  }
}
