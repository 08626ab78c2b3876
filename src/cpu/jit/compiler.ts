/**
 * What a compiler of regions is asked for and answers, so that it may be another thread; and the
 * compiling itself.
 *
 * A request carries the bytes that a region was discovered in: the guest may change its code
 * meanwhile, and the core that asked then drops the answer.
 */
import type { Decode } from '../../isa/decode/decoder.ts'
import { buildWithParts, type MemorySizes } from '../interpreter/engine-module.ts'
import { type Block, type BlockEnd, CODE_MODE, type Region } from './region.ts'
import { translate } from './translate.ts'

interface PackedBlock {
  readonly offset: number
  /** Where its bytes end in `bytes`. */
  readonly end: number
  readonly leadsTo: BlockEnd
}

/** A region as data that another thread can be sent. */
export interface PackedRegion {
  /** The core's number for it. */
  readonly number: number
  readonly blocks: readonly PackedBlock[]
  readonly bytes: Uint8Array
  readonly entries: readonly number[]
  /** Pages relative to the first, each with its machine address. */
  readonly pages: readonly (readonly [page: number, machine: number])[]
}

export interface CompileRequest {
  /** Machine address of the core's doorbell word. */
  readonly doorbell: number
  readonly sizes: MemorySizes
  readonly regions: readonly PackedRegion[]
}

/** Functions `region0`, `region1`, ... of the regions with these numbers. */
export interface CompiledRegions {
  readonly module: WebAssembly.Module
  readonly numbers: readonly number[]
  /** Size of the module. */
  readonly bytes: number
}

/** Compiles for a core. What it answers comes in any order, and may never come. */
export interface RegionCompiler {
  /** False once it compiles no more. */
  readonly works: boolean
  request(request: CompileRequest): void
  /** An answer that has come. */
  take(): CompiledRegions | undefined
}

/** The bytes of a region's code are those of `read` (offset, length). */
export function pack(
  region: Region, number: number, machineOf: (page: number) => number,
  read: (offset: number, length: number) => Uint8Array,
): PackedRegion {
  const parts: Uint8Array[] = []
  let end = 0
  const blocks = region.blocks.map(({ offset, instructions, end: leadsTo }) => {
    const last = instructions.at(-1)
    if (last) {
      const part = read(offset, last.offset + last.instruction.length - offset)
      parts.push(part)
      end += part.length
    }
    return { offset, end, leadsTo }
  })
  const bytes = new Uint8Array(end)
  let at = 0
  for (const part of parts) {
    bytes.set(part, at)
    at += part.length
  }
  const pages = region.pages.map((page) => [page, machineOf(page)] as const)
  return { number, blocks, bytes, entries: region.entries, pages }
}

function unpack(packed: PackedRegion, decode: Decode): Region {
  let at = 0
  const blocks = packed.blocks.map(({ offset, end, leadsTo }): Block => {
    const start = at
    const instructions = []
    while (at < end) {
      const instruction = decode(packed.bytes.subarray(at, end), CODE_MODE)
      if (typeof instruction === 'string') throw new Error('a region has code that is none')
      instructions.push({ instruction, offset: offset + at - start })
      at += instruction.length
    }
    return { offset, instructions, end: leadsTo }
  })
  return { blocks, entries: packed.entries, pages: packed.pages.map(([page]) => page) }
}

export function compileRegions(request: CompileRequest, decode: Decode): CompiledRegions {
  const { doorbell, regions, sizes } = request
  const bytes = buildWithParts(sizes, (module, parts) => {
    regions.forEach((packed, index) => {
      const machines = new Map(packed.pages)
      const f = module.function({ parameters: ['i32'], result: 'i32' })
      translate(parts, f, unpack(packed, decode), {
        doorbell, machineOf: (page) => machines.get(page) ?? -1,
      })
      module.exportFunction(functionName(index), f)
    })
  })
  return {
    module: new WebAssembly.Module(bytes),
    numbers: regions.map(({ number }) => number),
    bytes: bytes.length,
  }
}

export function functionName(index: number): string {
  return `region${index}`
}

/** Compiles when asked. */
export class ImmediateCompiler implements RegionCompiler {
  readonly works = true
  readonly #decode: Decode
  readonly #answers: CompiledRegions[] = []

  constructor(decode: Decode) {
    this.#decode = decode
  }

  request(request: CompileRequest): void {
    this.#answers.push(compileRegions(request, this.#decode))
  }

  take(): CompiledRegions | undefined {
    return this.#answers.shift()
  }
}
